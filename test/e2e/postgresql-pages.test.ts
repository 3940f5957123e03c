// Base backups over SQL connections, of real servers: the same files as in the server's own base
// backup, and of a later one only what was written since.
import assert from 'node:assert/strict';
import { readdirSync, statSync, utimesSync } from 'node:fs';
import { chown, mkdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import type { BaseBackupResult, FileMeta, FileSink } from '../../src/engines/engine.ts';
import { defaultLimits, takeBaseBackup } from '../../src/engines/postgresql/base-backup.ts';
import { PageLanes } from '../../src/engines/postgresql/page-source-read.ts';
import type { Connection } from '../../src/model/instance.ts';
import { Secret } from '../../src/model/secret.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import {
  backUp,
  createEngineScene,
  fingerprint,
  neverAborted,
  runSql,
} from '../fixtures/engine-scene.ts';
import type { FolderSink } from '../fixtures/file-source.ts';
import { createFolderSink, createNullSink } from '../fixtures/file-source.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { until } from '../fixtures/until.ts';

const settings = { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '4GB' };
const tables = { still: 'true', busy: 'true', steady: 'true', far: 'true' };

let scene: EngineScene;
const parse = (url: string): Connection => scene.driver.parseUrl(url);

before(async () => {
  scene = await createEngineScene();
});
after(() => scene[Symbol.asyncDispose]());

async function fill(server: TestServer, folder: string): Promise<void> {
  const identity = await findServerIdentity(null);
  await mkdir(folder, { mode: 0o700 });
  if (identity) await chown(folder, identity.uid, identity.gid);
  await server.query(`create tablespace away location '${folder}'`);
  await server.query(`
    create table still as select g as id, repeat(md5(g::text), 20) as body
      from generate_series(1, 20000) g;
    create index on still (id);
    create table busy as select g as id, md5(g::text) as body from generate_series(1, 20000) g;
    create table steady (id, body) with (fillfactor = 40) as
      select g, md5(g::text) from generate_series(1, 20000) g;
    create table far tablespace away as select g as id from generate_series(1, 5000) g;
    create unlogged table light as select g as id from generate_series(1, 5000) g`);
  await server.query('create database second');
  // Otherwise the first to read a table would write its hints.
  await server.query('vacuum freeze');
  await server.query('checkpoint');
}

/** As if nobody had written for an hour: younger files are always read. */
function age(folder: string): void {
  const hourAgo = new Date(Math.floor(Date.now() / 1000) * 1000 - 3_600_000);
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, entry);
    if (/(^|\/)\d+(_[a-z]+)?(\.\d+)?$/.test(entry) && statSync(path).isFile()) {
      utimesSync(path, hourAgo, hourAgo);
    }
  }
}

async function pathOf(server: TestServer, table: string): Promise<string> {
  const [row] = await server.query(`select pg_relation_filepath('${table}') as path`);
  return String(row?.path);
}

function keptBytesOf({ notes }: BaseBackupResult): number {
  assert.equal(notes.source, 'pages', JSON.stringify(notes));
  return Number(notes.keptBytes);
}

/** Notes the files that are not kept. */
function recordWritten(inner: FolderSink): { sink: FileSink; written: ReadonlySet<string> } {
  const written = new Set<string>();
  const beginFile = (meta: FileMeta): void => {
    written.add(meta.path);
    inner.beginFile(meta);
  };
  return { sink: { ...inner, beginFile }, written };
}

/** What is the same in two backups of an idle server: the log goes on, and the manifests differ. */
function shape(sink: FolderSink): string[] {
  const files = sink.files.filter(({ path }) => !/^(pg_wal\/|backup_manifest$)/.test(path));
  return [
    ...files.map(({ path, mode, sizeBytes }) => `${path} ${mode.toString(8)} ${sizeBytes}`),
    ...sink.directories.map(({ path, mode }) => `${path}/ ${mode.toString(8)}`),
  ].toSorted();
}

async function assertRestores(
  server: TestServer,
  sink: FolderSink,
  result: BaseBackupResult,
  expected: Record<string, string>,
): Promise<void> {
  const started = await scene.driver.startRestored({
    source: sink.toSource(result),
    homeDir: join(scene.folder, `restored-${systemRandom.hex(4)}`),
    recovery: null,
    login: { connection: parse(server.url), rolePassword: 'ensure' },
    port: 0,
    onProgress: () => undefined,
    signal: neverAborted,
    log: silentLogger,
  });
  try {
    await runSql(started.connection, async (query) => {
      assert.deepEqual(await fingerprint(query, tables), expected);
      assert.deepEqual(await query('select count(*)::int as n from light'), [{ n: 0 }]);
    });
  } finally {
    await scene.driver.stopManaged(started.managed, neverAborted);
  }
}

for (const version of ['15', '16', '18'] as const) {
  suite(`PostgreSQL ${version}`, () => {
    let server: TestServer;
    let home: string;
    let first: FolderSink;
    let firstResult: BaseBackupResult;

    before(async () => {
      home = join(scene.folder, version);
      await mkdir(home);
      server = await startPostgres({ version, settings });
      await fill(server, join(home, 'away'));
    });
    after(() => server[Symbol.asyncDispose]());

    const prints = () => runSql(parse(server.url), (query) => fingerprint(query, tables));

    test('the files are those of BASE_BACKUP', async () => {
      const session = new Client({ connectionString: server.url });
      await session.connect();
      try {
        await session.query('create temp table passing as select generate_series(1, 5000)');
        const streamed = createFolderSink(join(home, 'streamed'));
        await takeBaseBackup(
          parse(server.url),
          {
            ...{ label: "cairn's test", sink: streamed, previous: null, signal: neverAborted },
            ...{ onProgress: () => undefined, log: silentLogger },
          },
          { clock: systemClock, random: systemRandom, limits: defaultLimits },
        );
        const sink = createFolderSink(join(home, 'read'));
        keptBytesOf(await backUp(scene.driver, parse(server.url), { sink }));
        assert.deepEqual(shape(sink), shape(streamed));
      } finally {
        await session.end();
      }
    });

    test('a first backup restores, whatever is made, cut and dropped meanwhile', async () => {
      await server.query('create table doomed as select generate_series(1, 500000) as id');
      await server.query('create table short as select generate_series(1, 500000) as id');
      await server.query('checkpoint');
      age(server.dataDir);
      age(join(home, 'away'));
      let changes: Promise<unknown> | null = null;
      first = createFolderSink(join(home, 'first'), {
        onWrite: async () => {
          changes ??= server.query(`
            drop table doomed;
            truncate short;
            create table sudden as select generate_series(1, 5000) as id;
            update busy set body = 'changed' where id < 100`);
          await changes;
        },
      });
      firstResult = await backUp(scene.driver, parse(server.url), { sink: first });
      assert.equal(keptBytesOf(firstResult), 0);
      assert.deepEqual(await server.query('select * from pg_replication_slots'), []);
      await assertRestores(server, first, firstResult, await prints());
    });

    test('of the next only what was written is read', async () => {
      await server.query("update steady set body = 'again' where id = 7");
      const steady = await pathOf(server, 'steady');
      const second = createFolderSink(join(home, 'second'), { previous: first });
      const { sink, written } = recordWritten(second);
      const previous = first.toPrevious(firstResult);
      const result = await backUp(scene.driver, parse(server.url), { sink, previous });
      const still = await pathOf(server, 'still');
      const sizeIn = (of: FolderSink) => of.files.find(({ path }) => path === steady)?.sizeBytes;
      assert.equal(sizeIn(second), sizeIn(first));
      assert.ok(written.has(steady), 'a changed table was kept');
      assert.ok(!written.has(still), 'an unchanged table was read');
      const keptBytes = keptBytesOf(result);
      const readBytes = second.writtenBytes;
      const [size] = await server.query(`select pg_relation_size('still')::int as bytes`);
      assert.ok(keptBytes > Number(size?.bytes));
      assert.ok(readBytes < keptBytes + 40_000_000, `${readBytes} bytes were read`);
      await assertRestores(server, second, result, await prints());
    });
  });
}

suite('what the server is left with', () => {
  let server: TestServer;
  let home: string;

  before(async () => {
    home = join(scene.folder, 'around');
    await mkdir(home);
    server = await startPostgres({ version: 'debian-15', settings });
    await fill(server, join(home, 'away'));
  });
  after(() => server[Symbol.asyncDispose]());

  const nothingLeft = () =>
    until('the server has forgotten the backup', async () => {
      const [row] = await server.query(`
        select (select count(*) from pg_replication_slots)
          + (select count(*) from pg_stat_activity where application_name = 'cairn') as n`);
      return Number(row?.n) === 0;
    });

  test('a role reads files once the grants of the inspection are made', async () => {
    await server.query("create role reader login replication password 'reader-word'");
    const reader = { ...parse(server.url), user: 'reader', password: new Secret('reader-word') };
    const parallelReads = async () => {
      const { findings } = await scene.driver.inspect(reader, neverAborted);
      return findings.find(({ check }) => check === 'parallel-reads');
    };
    const before = await backUp(scene.driver, reader, { sink: createNullSink() });
    assert.equal(before.notes.source, 'stream');
    assert.match(String(before.notes.sourceReasons), /may not use pg_backup_start/);
    const hint = (await parallelReads())?.hint ?? '';
    const grants = hint.slice(hint.indexOf('grant execute'));
    assert.match(grants, /^grant execute on function pg_catalog\.pg_backup_start/);
    await server.query(grants);
    assert.equal((await parallelReads())?.hint, null);
    keptBytesOf(await backUp(scene.driver, reader, { sink: createNullSink() }));
  });

  test('with all grants but REPLICATION the refusal says what to grant', async () => {
    const reader = { ...parse(server.url), user: 'reader', password: new Secret('reader-word') };
    await server.query('alter role reader noreplication');
    const { findings } = await scene.driver.inspect(reader, neverAborted);
    const found = findings.find(({ check }) => check === 'parallel-reads');
    assert.match(found?.hint ?? '', /: alter role reader replication$/);
    await assert.rejects(backUp(scene.driver, reader, { sink: createNullSink() }), {
      kind: 'engine-refused',
      hint: /alter role reader replication/,
    });
    await server.query('alter role reader replication');
  });

  test('an abort and a failing sink leave no slot and no backup in progress', async () => {
    for (const ending of ['abort', 'sink'] as const) {
      const controller = new AbortController();
      const write = async (): Promise<void> => {
        if (ending === 'sink') throw new Error('the sink is full');
        controller.abort(new Error('enough'));
      };
      await assert.rejects(
        backUp(scene.driver, parse(server.url), {
          sink: { ...createNullSink(), write },
          signal: controller.signal,
        }),
      );
      await nothingLeft();
    }
  });

  test('a session that is ended by the server fails the backup', async () => {
    const sink = createNullSink();
    let ended: Promise<unknown> | null = null;
    const write = async (): Promise<void> => {
      ended ??= server.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'cairn'`);
      await ended;
    };
    const work = backUp(scene.driver, parse(server.url), { sink: { ...sink, write } });
    await assert.rejects(work, { kind: 'engine-unreachable', message: /closed the connection/ });
    await nothingLeft();
  });

  test('as many connections read as the server lets in', async () => {
    const reader = { ...parse(server.url), user: 'reader', password: new Secret('reader-word') };
    await nothingLeft();
    await server.query('alter role reader connection limit 2');
    const limits = { slowTimeoutMs: 10_000, silenceTimeoutMs: 10_000 };
    const parts = { signal: neverAborted, log: silentLogger, clock: systemClock, ...limits };
    {
      await using lanes = await PageLanes.open(reader, 4, parts);
      assert.equal(lanes.laneCount, 2);
      await assert.rejects(PageLanes.open(reader, 1, parts), { kind: 'engine-refused' });
    }
    await server.query('alter role reader connection limit -1');
  });

  test('a file that went back in time is read, one that only looks unchanged is not', async () => {
    age(server.dataDir);
    age(join(home, 'away'));
    const first = createFolderSink(join(home, 'first'));
    const previous = first.toPrevious(
      await backUp(scene.driver, parse(server.url), { sink: first }),
    );
    const [older, disguised] = [await pathOf(server, 'far'), await pathOf(server, 'still')];
    const times = statSync(join(server.dataDir, disguised));
    const olderTime = new Date(times.mtimeMs - 7_200_000);
    await utimes(join(server.dataDir, older), olderTime, olderTime);
    const { mtime } = times;
    await utimes(join(server.dataDir, disguised), mtime, mtime);
    const second = createFolderSink(join(home, 'second'), { previous: first });
    const { sink, written } = recordWritten(second);
    await backUp(scene.driver, parse(server.url), { sink, previous });
    assert.ok(written.has(older));
    assert.ok(!written.has(disguised));
  });

  test('a kept file and pg_verifybackup agree', async () => {
    const first = createFolderSink(join(home, 'verified-first'));
    age(server.dataDir);
    age(join(home, 'away'));
    const previous = first.toPrevious(
      await backUp(scene.driver, parse(server.url), { sink: first }),
    );
    const second = createFolderSink(join(home, 'verified'), { previous: first });
    const result = await backUp(scene.driver, parse(server.url), { sink: second, previous });
    assert.ok(keptBytesOf(result) > 10_000_000);
    const { dataDir } = await scene.driver.restoreFolder({
      source: second.toSource(result),
      targetDir: join(home, 'restored'),
      recovery: null,
      tablespaceDirs: {},
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });
    const verify = '/usr/lib/postgresql/15/bin/pg_verifybackup';
    const done = await runCommand(verify, [dataDir], { timeoutMs: 60_000 });
    assert.match(done.stdout, /backup successfully verified/, done.stderr);
  });
});

suite('pages and increments in turn', () => {
  test('each is the base of the other', async () => {
    const home = join(scene.folder, 'turns');
    await mkdir(home);
    await using server = await startPostgres({
      version: '17',
      settings: { ...settings, summarize_wal: 'on' },
    });
    await fill(server, join(home, 'away'));
    age(server.dataDir);
    age(join(home, 'away'));
    let last: [FolderSink, BaseBackupResult] | null = null;
    for (const source of ['pages', 'increment', 'pages']) {
      if (last && source === 'pages') {
        await server.query('alter system set summarize_wal = off');
        await server.query('select pg_reload_conf()');
      }
      await server.query(`update busy set body = '${source}' where id < 50`);
      const sink = createFolderSink(
        join(home, systemRandom.hex(4)),
        last ? { previous: last[0] } : {},
      );
      const previous = last ? last[0].toPrevious(last[1]) : null;
      const result = await backUp(scene.driver, parse(server.url), { sink, previous });
      assert.equal(result.notes.source, source, JSON.stringify(result.notes));
      if (last) assert.ok(sink.writtenBytes < 40_000_000, `${source}: ${sink.writtenBytes} bytes`);
      last = [sink, result];
    }
    assert.ok(last);
    const prints = await runSql(parse(server.url), (query) => fingerprint(query, tables));
    await assertRestores(server, ...last, prints);
  });
});
