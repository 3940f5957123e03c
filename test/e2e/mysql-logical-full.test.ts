// A logical backup of a whole MariaDB: exact to one transaction, and a server of its own again.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Recovery } from '../../src/engines/engine.ts';
import { readAccounts } from '../../src/engines/mysql/logical-accounts.ts';
import { takeLogicalFull } from '../../src/engines/mysql/logical-backup.ts';
import type { DumpedAccount } from '../../src/engines/mysql/logical-contents.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import { Secret } from '../../src/model/secret.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { folderLog } from '../fixtures/mariadb-ledger.ts';
import type { FullBackup, MysqlLogicalScene } from '../fixtures/mysql-logical-scene.ts';
import {
  createMysqlLogicalScene,
  logicalParts,
  lookAtRestored,
} from '../fixtures/mysql-logical-scene.ts';
import { never } from '../fixtures/repositories.ts';

/** The server takes it; written twice as long, in hexadecimal, it would not. */
const largeBytes = 18_000_000;

let scene: MysqlLogicalScene;

before(async () => {
  scene = await createMysqlLogicalScene({ settings: { 'max-allowed-packet': '32M' } });
  await scene.server.session(async (query) => {
    await query("create user app@'%' identified by 'a secret'");
    await query("grant select, event on *.* to app@'%'");
    await query('create role reader');
    await query('grant select on shop.* to reader');
    await query("grant reader to app@'%'");
    await query("set default role reader for app@'%'");
    await query('create database shop');
    await query('create database other');
    await query('use shop');
    await query('create table shop.ledger (n int primary key)');
    await query('create table shop.filler as select seq as n, md5(seq) as x from seq_1_to_50000');
    await query('create table other.ledger (n int primary key)');
    await query(
      `create table other.large as select cast(repeat('x', ${largeBytes}) as binary) as x`,
    );
    await query('grant select on other.* to public');
    await query("create user odd@'%'");
    await query('create table shop.gone (id int)');
    await query("grant select on shop.gone to odd@'%'");
    await query('create view shop.broken as select id from shop.gone');
    await query('drop table shop.gone');
    await query('create event other.often on schedule every 1 second do delete from other.large');
  });
});
after(async () => await scene[Symbol.asyncDispose]());

/** Commits a number to each of two databases at a time, and keeps under which GTID. */
function startWriter(): { readonly stop: () => Promise<ReadonlyMap<number, bigint>> } {
  const commits = new Map<number, bigint>();
  let isOver = false;
  const done = scene.server.session(async (query) => {
    for (let n = 1; !isOver; n++) {
      await query('begin');
      await query('insert into shop.ledger values (?)', [n]);
      await query('insert into other.ledger values (?)', [n]);
      await query('commit');
      const [row] = await query('select @@last_gtid as gtid');
      commits.set(n, BigInt(String(row?.['gtid']).split('-')[2] ?? '0'));
      if (n === 500) await query('flush binary logs');
    }
  });
  return {
    async stop() {
      isOver = true;
      await done;
      return commits;
    },
  };
}

test('a whole server comes back as of one transaction, and log goes on from there', async () => {
  const sink = scene.newSink();
  const writer = startWriter();
  const result = await takeLogicalFull(
    scene.server.connection,
    { sink, onProgress: () => undefined, signal: never, log: silentLogger },
    logicalParts,
  );
  const commits = await writer.stop();
  const { stopPosition: position, contents } = result;
  assert.ok(position.engine === 'mysql' && position.gtidSet !== null);
  assert.ok(position.offsetBytes > 4);
  assert.deepEqual(
    contents?.databases.map(({ name, tables }) => [name, tables.map((table) => table.name).sort()]),
    [
      ['other', ['large', 'ledger']],
      ['shop', ['filler', 'ledger']],
    ],
  );
  const lastSequence = BigInt(position.gtidSet.split('-')[2] ?? '');
  const expected = [...commits].filter(([, sequence]) => sequence <= lastSequence).length;
  assert.ok(commits.size > expected, 'transactions went on after the moment');
  assert.equal(await positionOf(lastSequence), `${position.file}:${position.offsetBytes}`);
  const was = await scene.server.session((query) => readAccounts(query, 'mariadb'));
  const { rows, accounts } = await restoreAndRead({ sink, result }, null);
  const event = 'ENABLED';
  const all = { n: expected, last: expected, other: expected, large: largeBytes, event };
  assert.deepEqual(rows, all);
  assert.deepEqual(comparable(accounts), comparable(was));
  assert.equal(accounts.length, was?.length);
  const everybody = accounts.find(({ name }) => name === '`PUBLIC`');
  assert.deepEqual(everybody?.grants, ['GRANT SELECT ON `other`.* TO PUBLIC']);
  const written = JSON.parse(String(await sink.readWhole('contents.json')));
  assert.match(written.databases[1].broken_views[0].create, /VIEW `shop`.`broken` AS select/);

  await scene.server.query("create user later@'%' identified by 'a secret'");
  await scene.server.query('drop event other.often');
  const [end] = await scene.server.query('show master status');
  const endPosition: LogPosition = {
    ...{ engine: 'mysql', file: String(end?.['File']), gtidSet: null },
    offsetBytes: Number(end?.['Position']),
  };
  const replayed = await restoreAndRead(
    { sink, result },
    {
      target: { kind: 'latest', timeline: null },
      log: folderLog(scene.server, { startPosition: position, endPosition }),
      ...{ skippedTransactions: [], newestTimeline: 0 },
    },
  );
  const [n, other, last] = [commits.size, commits.size, commits.size];
  assert.deepEqual(replayed.rows, { n, last, other, large: largeBytes, event: null });
  assert.ok(replayed.accounts.some(({ name }) => name === '`later`@`%`'));
});

test('a backup that log could not be replayed on is none', async () => {
  const changes = ['create procedure other.late() select 1', "create user late@'%'"];
  for (const change of changes) {
    let isChanged = false;
    const onWrite = (): undefined | Promise<void> => {
      if (isChanged) return undefined;
      isChanged = true;
      return scene.server.query(change).then(() => undefined);
    };
    const backup = takeLogicalFull(
      scene.server.connection,
      {
        ...{ sink: scene.newSink({ onWrite }), onProgress: () => undefined, signal: never },
        log: silentLogger,
      },
      logicalParts,
    );
    await assert.rejects(backup, /were changed while the backup was taken/);
  }
});

/** Where the transaction ends in the binary log, as the server itself says it. */
async function positionOf(sequence: bigint): Promise<string> {
  return await scene.server.session(async (query) => {
    for (const file of await query('show binary logs')) {
      const name = String(file['Log_name']);
      const events = await query(`show binlog events in '${name}'`);
      const at = events.findIndex(({ Info }) => String(Info).endsWith(`GTID 0-11-${sequence}`));
      if (at < 0) continue;
      const end = events.slice(at + 1).find(({ Event_type: type }) => type === 'Xid');
      return `${name}:${String(end?.['End_log_pos'])}`;
    }
    return assert.fail('no such transaction');
  });
}

type Found = {
  readonly rows: Readonly<Record<string, unknown>>;
  readonly accounts: readonly DumpedAccount[];
};

/** Restores the backup to a server of its own and looks at what it holds. */
async function restoreAndRead(backup: FullBackup, recovery: Recovery | null): Promise<Found> {
  const homeDir = join(scene.folder, `home-${recovery?.target.kind ?? 'end'}`);
  const connection = scene.server.connection;
  const login = { ...connection, user: 'app', password: new Secret('another!') };
  return await lookAtRestored(backup, { homeDir, recovery, login }, async (query) => {
    const [row] = await query(
      `select count(*) as n, max(n) as last, (select count(*) from other.ledger) as other,
         (select length(x) from other.large) as large,
         (select status from information_schema.events) as event from shop.ledger`,
    );
    return { rows: { ...row }, accounts: (await readAccounts(query, 'mariadb')) ?? [] };
  });
}

/** Without the one that the restore has given a new password, and what speaks of a table gone. */
function comparable(accounts: readonly DumpedAccount[] | null): readonly DumpedAccount[] {
  return (accounts ?? [])
    .filter(({ name }) => !name.startsWith('`app`'))
    .map((account) => ({
      ...account,
      grants: account.grants.filter((grant) => !grant.includes('gone')),
    }));
}
