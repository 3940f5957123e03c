// Increments of PostgreSQL 17 and 18: whatever happens to a database between backups, what the
// driver makes of an increment is what a second, independent reconstruction makes of the same bytes
// from the chain of all that was sent; and it starts, and holds what the server held.
import assert from 'node:assert/strict';
import { chown, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import type { BaseBackupResult, PreviousBackup } from '../../src/engines/engine.ts';
import { readEntries } from '../../src/engines/postgresql/backup-manifest.ts';
import { crc32c } from '../../src/engines/postgresql/crc32c.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { Connection } from '../../src/model/instance.ts';
import { formatLogPosition } from '../../src/model/log-position.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted, runSql } from '../fixtures/engine-scene.ts';
import type { FolderSink } from '../fixtures/file-source.ts';
import { createFolderSink } from '../fixtures/file-source.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { RawFiles } from '../fixtures/raw-increments.ts';
import { reconstruct, takeRecorded } from '../fixtures/raw-increments.ts';
import { tableSums } from '../fixtures/table-sums.ts';

const settings = { summarize_wal: 'on', autovacuum: 'off', max_wal_size: '4GB' };
let scene: EngineScene;
before(async () => {
  scene = await createEngineScene(['17', '18']);
});
after(() => scene[Symbol.asyncDispose]());

const parse = (url: string): Connection => scene.driver.parseUrl(url);

async function fill(server: TestServer, tablespaceDir: string): Promise<void> {
  await mkdir(tablespaceDir);
  const identity = await findServerIdentity(null);
  if (identity) await chown(tablespaceDir, identity.uid, identity.gid);
  await server.query(`create tablespace away location '${tablespaceDir}'`);
  await server.query('create database template_of_copy');
  const rows = 'select g as id, md5(g::text) as code, 0 as n from generate_series';
  for (const table of ['quiet', 'edited', 'shrunk', 'grown', 'rewritten', 'clustered', 'dropped']) {
    await server.query(`create table ${table} as ${rows}(1, 20000) g`);
    await server.query(`create index on ${table} (code)`);
  }
  await server.query(`create table moved tablespace away as ${rows}(1, 20000) g`);
  await server.query(`create table emptied as ${rows}(1, 20000) g`);
  await server.query(`create unlogged table light as ${rows}(1, 5000) g`);
  await server.query('create extension amcheck');
  await server.query('vacuum analyze');
}

/** All that gives files a new shape. */
async function changeMuch(server: TestServer): Promise<void> {
  await server.query("update edited set n = 1, code = code || 'x' where id % 500 = 0");
  await server.query('delete from shrunk where id > 5000');
  await server.query('vacuum (truncate) shrunk');
  await server.query("insert into grown select g, 'more', 2 from generate_series(1, 60000) g");
  await server.query('delete from rewritten where id % 3 = 0');
  await server.query('vacuum full rewritten');
  await server.query('cluster clustered using clustered_code_idx');
  await server.query('drop table dropped');
  await server.query('create table fresh as select g as id from generate_series(1, 3000) g');
  await server.query('truncate emptied');
  await server.query("insert into emptied select g, 'again', 3 from generate_series(1, 300) g");
  await server.query('update moved set n = 7 where id % 900 = 0');
  await server.query('alter table quiet add column note text default $$none$$');
  await server.query('create database copied template template_of_copy strategy file_copy');
  await server.query('insert into light select g, $$lost$$, 4 from generate_series(1, 3000) g');
  await server.query('vacuum (freeze) edited');
}

/** Smaller, larger and in another place again. */
async function changeBack(server: TestServer): Promise<void> {
  await server.query("insert into shrunk select g, 'regrown', 5 from generate_series(1, 40000) g");
  await server.query('delete from grown where id > 100');
  await server.query('vacuum grown');
  await server.query('drop table fresh');
  await server.query('create table fresh as select g as id from generate_series(1, 9000) g');
  await server.query('alter table moved set tablespace pg_default');
  await server.query('alter table emptied set tablespace away');
  await server.query('reindex table edited');
  // Sets hint bits, which checksums make whole pages in the log of.
  await server.query('select sum(n) from shrunk');
  await server.query('drop database copied');
}

/** Holds the server to writing while the backup is taken. */
async function whileBusy<T>(server: TestServer, work: () => Promise<T>): Promise<T> {
  await server.query('create table if not exists busy (id int, text text)');
  const client = new Client({ connectionString: server.url });
  await client.connect();
  let isDone = false;
  const writing = (async () => {
    for (let n = 0; !isDone; n++) {
      await client.query(
        'insert into busy select g, repeat($$y$$, 90) from generate_series(1,500) g',
      );
      if (n % 5 === 4) await client.query('delete from busy where id > 250');
      if (n % 20 === 19) await client.query('truncate busy');
    }
  })();
  try {
    return await work();
  } finally {
    isDone = true;
    await writing;
    await client.end();
  }
}

type Taken = { readonly sink: FolderSink; readonly result: BaseBackupResult };

async function take(server: TestServer, name: string, previous: Taken | null): Promise<Taken> {
  const folder = join(scene.folder, `${name}-${systemRandom.hex(4)}`);
  const sink = createFolderSink(folder, previous ? { previous: previous.sink } : {});
  const result = await backUp(scene.driver, parse(server.url), {
    sink,
    previous: previous ? previous.sink.toPrevious(previous.result) : null,
  });
  return { sink, result };
}

/** The table sums of a server that was started on the backup; every page and index is checked. */
async function startAndCheck({ sink, result }: Taken, server: TestServer) {
  const started = await scene.driver.startRestored({
    source: sink.toSource(result),
    homeDir: join(scene.folder, `restored-${systemRandom.hex(4)}`),
    recovery: null,
    login: { connection: parse(server.url), rolePassword: 'ensure' },
    port: 0,
    ...{ onProgress: () => undefined, signal: neverAborted, log: silentLogger },
  });
  try {
    await runSql(started.connection, async (query) => {
      const broken = await query(
        `select c.oid::regclass::text as name, v.* from pg_class c
         cross join lateral verify_heapam(c.oid) v
         where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p'`,
      );
      assert.deepEqual(broken, []);
      await query(
        `select bt_index_check(i.indexrelid, true) from pg_index i
         join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
         where a.amname = 'btree' and c.relpersistence = 'p'`,
      );
      assert.deepEqual(await query('select count(*)::int as n from light'), [{ n: 0 }]);
    });
    const url = new URL(server.url);
    url.port = String(started.connection.port);
    return await tableSums(url.href);
  } finally {
    await scene.driver.stopManaged(started.managed, neverAborted);
  }
}

/** Unlogged tables are empty after a restore. */
function withoutLight(sums: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(sums).filter(([name]) => !/light|busy/.test(name)));
}

/** Every file has the size that the manifest tells, and the checksum where it tells one. */
async function assertManifest(sink: FolderSink): Promise<{ checksums: number; files: number }> {
  const manifest = (await sink.readWhole('backup_manifest')) ?? assert.fail('no manifest');
  const listed = new Set<string>();
  let checksums = 0;
  async function* whole() {
    yield manifest;
  }
  for await (const { Path = '', Size, Checksum } of readEntries(whole())) {
    const bytes = (await sink.readWhole(Path)) ?? assert.fail(`${Path} is listed and not there`);
    assert.equal(bytes.length, Size, Path);
    listed.add(Path);
    if (Checksum === undefined) continue;
    const crc = Buffer.alloc(4);
    crc.writeUInt32LE(crc32c(bytes));
    assert.equal(Checksum, crc.toString('hex'), Path);
    checksums++;
  }
  const others = sink.files.filter(({ path }) => !listed.has(path)).map(({ path }) => path);
  assert.deepEqual(
    others.filter((path) => !path.startsWith('pg_wal/')),
    ['backup_manifest'],
  );
  return { checksums, files: listed.size };
}

async function assertSame(sink: FolderSink, whole: RawFiles): Promise<void> {
  const rewritten = ['backup_manifest', 'backup_label'];
  const paths = sink.files.map(({ path }) => path).filter((path) => !rewritten.includes(path));
  assert.deepEqual(
    paths.toSorted(),
    [...whole.keys()].filter((p) => !rewritten.includes(p)).sort(),
  );
  for (const path of paths) {
    const bytes = await sink.readWhole(path);
    assert.ok(whole.get(path)?.equals(bytes ?? Buffer.alloc(0)), `${path} differs`);
  }
}

/** With its owner. */
async function copyFolder(from: string, to: string): Promise<void> {
  const { exitCode, stderr } = await runCommand('cp', ['-a', from, to], { timeoutMs: 60_000 });
  assert.equal(exitCode, 0, stderr);
}

async function removeSummaries({ dataDir }: TestServer): Promise<void> {
  const folder = join(dataDir, 'pg_wal/summaries');
  for (const name of await readdir(folder)) await rm(join(folder, name));
}

const isLog = (path: string): boolean => path.startsWith('pg_wal/');

for (const version of ['17', '18'] as const) {
  suite(`increments of PostgreSQL ${version}`, () => {
    let server: TestServer;
    let chain: RawFiles;
    let last: Taken;

    before(async () => {
      server = await startPostgres({ version, settings });
      await fill(server, join(scene.folder, `away-${version}`));
    });
    after(() => server[Symbol.asyncDispose]());

    /** One more backup of the chain; what was sent is put together a second time. */
    async function takeNext(name: string, previous: Taken | null): Promise<Taken> {
      const folder = join(scene.folder, `${version}-${name}`);
      const sink = createFolderSink(folder, previous ? { previous: previous.sink } : {});
      const from = previous ? previous.sink.toPrevious(previous.result) : null;
      const { result, sent } = await takeRecorded(parse(server.url), sink, from);
      chain = previous ? reconstruct(sent, chain) : sent;
      await assertSame(sink, chain);
      const isIncrement = [...sent.keys()].some((path) => path.includes('INCREMENTAL.'));
      assert.equal(isIncrement, previous !== null, 'the server sent something else');
      last = { sink, result };
      return last;
    }

    test('a whole backup, to begin with', async () => {
      await takeNext('whole', null);
    });

    test('an increment after everything has changed is whole, and starts', async () => {
      await changeMuch(server);
      await takeNext('much', last);
      await assertManifest(last.sink);
      const label = (await last.sink.readWhole('backup_label'))?.toString() ?? '';
      assert.match(label, /^START WAL LOCATION: /);
      assert.doesNotMatch(label, /INCREMENTAL/);
      const sums = withoutLight(await tableSums(server.url));
      assert.deepEqual(withoutLight(await startAndCheck(last, server)), sums);
    });

    test('so is one on top of it, taken while the server writes', async () => {
      await changeBack(server);
      const sums = withoutLight(await tableSums(server.url));
      await whileBusy(server, () => takeNext('back', last));
      await assertManifest(last.sink);
      assert.deepEqual(withoutLight(await startAndCheck(last, server)), sums);
    });

    test('of an unchanged database next to nothing is sent', async (context) => {
      // What was written while the last one was taken is sent by this one.
      const settled = await take(server, 'settled', last);
      const { sink, result } = await take(server, 'idle', settled);
      const { checksums, files } = await assertManifest(sink);
      assert.equal(result.notes.source, 'increment');
      const logBytes = sink.files.filter(({ path }) => isLog(path)).map((file) => file.sizeBytes);
      const sentBytes = sink.writtenBytes - logBytes.reduce((sum, bytes) => sum + bytes, 0);
      const totalBytes = sink.files.reduce((sum, file) => sum + file.sizeBytes, 0);
      const rest = `${checksums} of ${files} files have checksums`;
      context.diagnostic(`${sentBytes} of ${totalBytes} bytes sent besides the log; ${rest}`);
      // Free space maps come whole, 24 KiB for each table of four databases.
      assert.ok(sentBytes < 6 * 1024 * 1024, `${sentBytes} bytes`);
      assert.ok(checksums > files / 2, rest);
    });

    test('an increment to a file that the previous backup lacks is refused', async () => {
      const previous = last.sink.toPrevious(last.result);
      const [path = ''] = last.sink.files
        .map((file) => file.path)
        .filter((p) => /^base\/5\/1/.test(p));
      const lacking: PreviousBackup = {
        ...previous,
        findFile: (asked) => (asked === path ? null : previous.findFile(asked)),
      };
      const sink = createFolderSink(join(scene.folder, `${version}-lacking`));
      await assert.rejects(backUp(scene.driver, parse(server.url), { sink, previous: lacking }), {
        kind: 'engine-refused',
        message: new RegExp(`${path} is unusable.*has no such file`),
      });
    });

    const reasonsOf = (result: BaseBackupResult) => {
      assert.notEqual(result.notes.source, 'increment');
      return String(result.notes.sourceReasons);
    };

    test('a manifest that cannot be read, or is not one, leads to a whole backup', async () => {
      const previous = last.sink.toPrevious(last.result);
      const read = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('{ "PostgreSQL-Backup-Manifest-Version": 2, ');
        throw new CairnError('repository-damaged', 'object x is damaged');
      };
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('no manifest at all\n');
      };
      for (const [index, reading] of [read, broken].entries()) {
        const sink = createFolderSink(join(scene.folder, `${version}-unread-${index}`));
        const unread: PreviousBackup = { ...previous, read: reading };
        const result = await backUp(scene.driver, parse(server.url), { sink, previous: unread });
        assert.match(reasonsOf(result), /object x is damaged|manifest/);
      }
    });

    test('without summaries of the log the backup is a whole one', async () => {
      await removeSummaries(server);
      const sink = createFolderSink(join(scene.folder, `${version}-unsummarized`));
      const previous = last.sink.toPrevious(last.result);
      const result = await backUp(scene.driver, parse(server.url), { sink, previous });
      assert.match(reasonsOf(result), /summar/);
    });
  });
}

// Backups begin with a segment, so another history easily has one at the very same place: for the
// server's own summaries the two are one.
test('a server that was set back and went on is not taken for the one before', async () => {
  await using server = await startPostgres({ version: '18', settings });
  await server.query('create table t as select g as id from generate_series(1, 5000) g');
  await server.query('create unlogged table light (id int)');
  await server.query('create extension amcheck');
  await server.stop();
  const copy = join(scene.folder, 'earlier');
  await copyFolder(server.dataDir, copy);
  await server.start();
  await server.query('update t set id = -id');
  const first = await take(server, 'before', null);
  await server.stop();
  await rm(server.dataDir, { recursive: true });
  await copyFolder(copy, server.dataDir);
  await server.start();
  const [row] = await server.query("select pg_backup_start('other', true)::text as lsn");
  assert.equal(`postgresql:1:${row?.lsn}`, formatLogPosition(first.result.startPosition));
  await server.query('select pg_switch_wal()');
  const second = await take(server, 'after', first);
  const sums = withoutLight(await tableSums(server.url));
  assert.deepEqual(withoutLight(await startAndCheck(second, server)), sums);
  assert.match(String(second.result.notes.sourceReasons), /was started again/);
  await rm(copy, { recursive: true });
});
