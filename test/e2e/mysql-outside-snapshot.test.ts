// A dump of a whole MariaDB reads tables without transactions after its snapshot. What came in
// between is in it, and in the log: replayed, it would be there twice.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Recovery } from '../../src/engines/engine.ts';
import type { Query } from '../../src/engines/mysql/connection.ts';
import { takeLogicalFull } from '../../src/engines/mysql/logical-backup.ts';
import { CairnError } from '../../src/model/errors.ts';
import { Secret } from '../../src/model/secret.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { endOfLog, folderLog } from '../fixtures/mariadb-ledger.ts';
import type { FullBackup, MysqlLogicalScene } from '../fixtures/mysql-logical-scene.ts';
import {
  createMysqlLogicalScene,
  logicalParts,
  lookAtRestored,
} from '../fixtures/mysql-logical-scene.ts';
import { never } from '../fixtures/repositories.ts';

let scene: MysqlLogicalScene;
/** May read the tables, and nothing of the log. */
const login = { user: 'backup', password: new Secret('a secret') };

before(async () => {
  scene = await createMysqlLogicalScene();
  await scene.server.session(async (query) => {
    await query("create user backup@'%' identified by 'a secret'");
    await query("grant select, show view, trigger, event on *.* to backup@'%'");
    await query('create database shop');
    await query('create table shop.ledger (n int)');
    await query('create table shop.notes (n int) engine=Aria');
  });
});
after(async () => await scene[Symbol.asyncDispose]());

/** Dumps all while this is done between the snapshot and the moment at which `notes` is read. */
async function backUpAround(work: (query: Query) => Promise<void>): Promise<FullBackup> {
  const sink = scene.newSink();
  const backup = await scene.server.session(async (query) => {
    await query('truncate table shop.ledger');
    await query('truncate table shop.notes');
    await query('insert into shop.ledger values (1)');
    await query('insert into shop.notes values (1)');
    await query('lock tables shop.notes write');
    const taking = takeLogicalFull(
      { ...scene.server.connection, ...login },
      { sink, onProgress: () => undefined, signal: never, log: silentLogger },
      logicalParts,
    );
    await Promise.race([taking, waitUntilHeld()]);
    await work(query);
    await query('unlock tables');
    return { sink, result: await taking };
  });
  await scene.server.query('insert into shop.ledger values (3)');
  await scene.server.query('insert into shop.notes values (3)');
  return backup;
}

async function waitUntilHeld(): Promise<void> {
  for (const endMs = Date.now() + 20_000; Date.now() < endMs; await sleep(20)) {
    const [row] = await scene.server.query(
      `select count(*) as n from information_schema.processlist
       where info like 'SELECT %notes%' and state like 'Waiting for table%' and user = 'backup'`,
    );
    if (Number(row?.['n']) > 0) return;
  }
  throw new Error('the dump does not wait for the table');
}

async function toLatest({ result }: FullBackup, skipped: readonly string[]): Promise<Recovery> {
  const endPosition = await scene.server.session(endOfLog);
  return {
    target: { kind: 'latest', timeline: null },
    log: folderLog(scene.server, { startPosition: result.stopPosition, endPosition }),
    ...{ skippedTransactions: skipped, newestTimeline: 0 },
  };
}

const homeDir = (): string => join(scene.folder, 'home');

async function rowsAfter(backup: FullBackup, recovery: Recovery | null) {
  const options = { homeDir: homeDir(), recovery, login: { ...scene.server.connection, ...login } };
  return await lookAtRestored(backup, options, async (query) => {
    const numbers = async (table: string): Promise<readonly number[]> =>
      (await query(`select n from shop.${table} order by n`)).map(({ n }) => Number(n));
    return { ledger: await numbers('ledger'), notes: await numbers('notes') };
  });
}

function refuses(text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof CairnError && error.kind === 'invalid', String(error));
    assert.match(error.message, text);
    return true;
  };
}

test('a row that was read late and is in the log is never there twice', async () => {
  let gtid = '';
  const backup = await backUpAround(async (query) => {
    await query('insert into shop.notes values (2)');
    const [row] = await query('select @@last_gtid as gtid');
    gtid = String(row?.['gtid']);
  });
  await assert.rejects(
    rowsAfter(backup, await toLatest(backup, [])),
    refuses(new RegExp(`^transaction ${gtid} at \\S+ writes to table shop\\.notes: `)),
  );
  assert.equal(existsSync(join(homeDir(), 'data')), false, 'nothing was restored');
  const without = await rowsAfter(backup, await toLatest(backup, [gtid]));
  assert.deepEqual(without, { ledger: [1, 3], notes: [1, 2, 3] });
});

test('a statement that may have written such a row is refused as well', async () => {
  const backup = await backUpAround(async (query) => {
    await query("set session binlog_format = 'STATEMENT'");
    await query('insert into shop.notes values (2)');
  });
  await assert.rejects(
    rowsAfter(backup, await toLatest(backup, [])),
    refuses(/ is a statement that may write to shop\.notes: /),
  );
});

test('what else came in between is there once', async () => {
  const backup = await backUpAround(async () => {
    await scene.server.query('insert into shop.ledger values (2)');
    await scene.server.query('analyze table shop.ledger');
  });
  const found = await rowsAfter(backup, await toLatest(backup, []));
  assert.deepEqual(found, { ledger: [1, 2, 3], notes: [1, 3] });
});
