// Log that is replayed on the host of the old server, or within its reach: what the statements did
// outside the data folder then must not be done to it once more.
import assert from 'node:assert/strict';
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Recovery } from '../../src/engines/engine.ts';
import type { BinlogPosition } from '../../src/engines/mysql/binlog-scan.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import { endOfLog, folderLog } from '../fixtures/mariadb-ledger.ts';
import type { ReplayScene } from '../fixtures/mariadb-replay.ts';
import { openReplayScene } from '../fixtures/mariadb-replay.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';

suite('replayed log of MariaDB', { timeout: 180_000 }, () => {
  let server: MariadbServer;
  let scene: ReplayScene;
  let outsideDir: string;

  before(async () => {
    outsideDir = await mkdtemp(join(tmpdir(), 'cairn-outside-'));
    const identity = await findServerIdentity(null);
    if (identity) await chown(outsideDir, identity.uid, identity.gid);
    await chmod(outsideDir, 0o711);
    server = await startMariadb({ settings: { 'plugin-maturity': 'unknown' } });
    await server.session(async (query) => {
      await query("install soname 'ha_federatedx'");
      await query('create database books');
      await query('create table books.ledger (id int primary key) engine=InnoDB');
    });
    scene = await openReplayScene(server);
  });
  after(async () => {
    await scene?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
    await rm(outsideDir, { recursive: true, force: true });
  });

  const recoverFrom = (startPosition: BinlogPosition, endPosition: BinlogPosition): Recovery => ({
    target: { kind: 'latest', timeline: null },
    skippedTransactions: [],
    newestTimeline: 1,
    log: folderLog(server, { startPosition, endPosition }),
  });

  test('makes tables in the new data folder that lay outside the old one', async () => {
    const [data, index] = [`data directory='${outsideDir}'`, `index directory='${outsideDir}'`];
    const ends: BinlogPosition[] = [];
    await server.session(async (query) => {
      await query(`create table books.far (id int) engine=InnoDB ${data}`);
      await query(`create table books.old (id int) engine=MyISAM ${data} ${index}`);
      await query('insert into books.far values (1)');
      await query('insert into books.old values (2)');
      ends.push(await endOfLog(query));
      await query('drop table books.far, books.old');
    });
    const [end] = ends;
    assert.ok(end);
    const before = await readdir(outsideDir, { recursive: true });
    const { found } = await scene.replay(recoverFrom(scene.backupEnd, end), async (query) => ({
      rows: await query('select id from books.far union all select id from books.old'),
      outside: await readdir(outsideDir, { recursive: true }),
    }));
    assert.deepEqual(
      found.rows.map(({ id }) => id),
      [1, 2],
    );
    assert.deepEqual(found.outside, before);
  });

  test('writes no row to a server that tables of the old one lead to', async () => {
    const target = `mysql://root:${server.password}@127.0.0.1:${server.port}/books/ledger`;
    const start = await server.session(endOfLog);
    await server.session(async (query) => {
      await query(
        `create table books.remote (id int primary key) engine=FEDERATED connection='${target}'`,
      );
      await query('insert into books.remote values (1)');
    });
    const end = await server.session(endOfLog);
    await server.query('delete from books.ledger');
    await assert.rejects(
      scene.replay(recoverFrom(start, end), async () => undefined),
      (error) => isErrorKind(error, 'engine-refused') && /FEDERATED/.test(error.message),
    );
    assert.deepEqual(await server.query('select * from books.ledger'), []);
  });
});
