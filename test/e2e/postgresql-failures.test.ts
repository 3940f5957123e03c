// Everything that goes wrong with a PostgreSQL server, brought about on real ones: each must end
// soon, with an error that says what to do, and leave nothing behind.
import assert from 'node:assert/strict';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { inspect } from 'node:util';
import type { FileSource } from '../../src/engines/engine.ts';
import type { BackupLimits } from '../../src/engines/postgresql/base-backup.ts';
import { takeBaseBackup } from '../../src/engines/postgresql/base-backup.ts';
import { findPostmaster } from '../../src/engines/postgresql/postmaster-file.ts';
import type { ErrorKind } from '../../src/model/errors.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { Connection } from '../../src/model/instance.ts';
import { Secret } from '../../src/model/secret.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted, runSql } from '../fixtures/engine-scene.ts';
import { createFolderSink, createNullSink } from '../fixtures/file-source.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from '../fixtures/postgres-server.ts';
import { startStallingProxy } from '../fixtures/stalling-proxy.ts';

let scene: EngineScene;
let server: TestServer;
let connection: Connection;

before(async () => {
  scene = await createEngineScene();
  server = await startPostgres({ version: '17' });
  connection = scene.driver.parseUrl(server.url);
  await server.query(
    'create table plain as select g, repeat(md5(g::text), 9) from generate_series(1, 60000) g',
  );
  await server.query('checkpoint');
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await scene[Symbol.asyncDispose]();
});

/** The error that the work ends with; no part of it may hold a password. */
async function failure(work: Promise<unknown>, kind: ErrorKind): Promise<CairnError> {
  const error = await work.then(
    () => assert.fail('it did not fail'),
    (reason) => reason,
  );
  assert.ok(error instanceof CairnError, inspect(error));
  assert.equal(error.kind, kind, inspect(error));
  const text = `${inspect(error, { depth: 9 })}${JSON.stringify(error)}${error.stack}`;
  for (const secret of ['not-the-password', server.password]) assert.ok(!text.includes(secret));
  return error;
}

const takeNull = (from: Connection, signal = neverAborted): Promise<unknown> =>
  backUp(scene.driver, from, { sink: createNullSink(), signal });

const severity = async (from: Connection, check: string): Promise<string> => {
  const { findings } = await scene.driver.inspect(from, neverAborted);
  const found = findings.find((finding) => finding.check === check);
  if (found?.severity !== 'fine') assert.ok(found?.hint, check);
  return found.severity;
};

/** A sink that makes the server wait from the second MB on, for as long as the test likes. */
function createSlowSink(until: Promise<unknown>) {
  const sink = createNullSink();
  const begun = Promise.withResolvers<void>();
  const write = (bytes: Uint8Array): undefined | Promise<void> => {
    void sink.write(bytes);
    if (sink.totals.bytes < 1_000_000) return undefined;
    begun.resolve();
    return until.then(() => undefined);
  };
  return { sink: { ...sink, write }, begun: begun.promise };
}

suite('logging in', () => {
  test('a wrong password', async () => {
    const wrong = { ...connection, password: new Secret('not-the-password') };
    const error = await failure(scene.driver.inspect(wrong, neverAborted), 'engine-refused');
    assert.match(error.message, /password of user postgres was not accepted/);
    await failure(takeNull(wrong), 'engine-refused');
  });

  test('no password', async () => {
    const none = { ...connection, password: null };
    const error = await failure(scene.driver.inspect(none, neverAborted), 'engine-refused');
    assert.match(error.message, /none is configured/);
  });

  test('a closed port, an unknown host, a missing socket', async () => {
    const closed = { ...connection, port: await findFreePort() };
    const refused = await failure(scene.driver.inspect(closed, neverAborted), 'engine-unreachable');
    assert.match(refused.message, /nothing listens at 127\.0\.0\.1:\d+/);
    await failure(takeNull({ ...connection, host: 'no.such.host.invalid' }), 'engine-unreachable');
    await failure(takeNull({ ...connection, host: '/nonexistent' }), 'engine-unreachable');
  });

  test('a missing database', async () => {
    const error = await failure(takeNull({ ...connection, database: 'missing' }), 'engine-refused');
    assert.match(error.message, /database missing does not exist/);
  });

  test('TLS where the server has none', async () => {
    const error = await failure(takeNull({ ...connection, tls: 'require' }), 'engine-refused');
    assert.match(error.message, /does not offer TLS/);
  });
});

suite('what a backup needs', () => {
  test('a role without REPLICATION', async () => {
    await server.query("create role plain_user login password 'not-the-password'");
    const user = { ...connection, user: 'plain_user', password: new Secret('not-the-password') };
    assert.equal(await severity(user, 'replication-right'), 'blocking');
    assert.equal(await severity(user, 'replication-login'), 'blocking');
    const error = await failure(takeNull(user), 'engine-refused');
    assert.match(error.hint ?? '', /alter role plain_user replication/);
    await server.query('alter role plain_user replication');
    assert.equal(await severity(user, 'replication-right'), 'fine');
    assert.equal(await severity(user, 'replication-login'), 'fine');
    await takeNull(user);
  });

  test('wal_level = minimal, no senders, no slots, no checksums', async () => {
    await using poor = await startPostgres({
      version: '16',
      settings: { wal_level: 'minimal', max_wal_senders: '0', max_replication_slots: '0' },
    });
    const from = scene.driver.parseUrl(poor.url);
    for (const check of ['wal_level', 'max_wal_senders', 'max_replication_slots']) {
      assert.equal(await severity(from, check), 'blocking', check);
    }
    const error = await failure(takeNull(from), 'engine-refused');
    assert.match(error.hint ?? '', /set wal_level = replica and restart/);
  });
});

for (const role of ['postgres', 'only_replicates'] as const) {
  suite(`in the middle of a backup by role ${role}`, () => {
    let by: Connection;

    before(async () => {
      by = { ...connection, user: role };
      if (role !== 'postgres') {
        await server.query(`create role ${role} login replication password '${server.password}'`);
      }
      const { notes } = await backUp(scene.driver, by, { sink: createNullSink() });
      assert.equal(notes.source, role === 'postgres' ? 'pages' : 'stream');
    });

    test('the server crashes', async () => {
      const gate = Promise.withResolvers<void>();
      const { sink, begun } = createSlowSink(gate.promise);
      const work = failure(backUp(scene.driver, by, { sink }), 'engine-unreachable');
      await begun;
      await server.crash();
      gate.resolve();
      const error = await work;
      assert.match(error.message, /the server closed the connection/);
      await server.start();
    });

    test('an abort ends it at once, even while the sink waits', async () => {
      const controller = new AbortController();
      const { sink, begun } = createSlowSink(new Promise(() => undefined));
      const { signal } = controller;
      const work = failure(backUp(scene.driver, by, { sink, signal }), 'cancelled');
      await begun;
      const beganMs = systemClock.monotonicMs();
      controller.abort(new CairnError('cancelled', 'the job was cancelled'));
      const error = await work;
      assert.equal(error.message, 'the job was cancelled');
      assert.ok(systemClock.monotonicMs() - beganMs < 2000);
      await untilNothingLeft();
    });

    test('a server that falls silent is given up', async () => {
      await using proxy = await startStallingProxy(server.port, stallAt(2_000_000));
      const limits = { firstByteTimeoutMs: 60_000, silenceTimeoutMs: 1500 };
      const work = backUpWithin(limits, { ...by, port: proxy.port });
      const error = await failure(work, 'engine-unreachable');
      assert.match(error.message, /silent for 2 s during the base backup|silent for 3 s/);
    });

    test('a server that never begins is given up', async () => {
      await using proxy = await startStallingProxy(server.port, stallAt(3_000));
      const limits = { firstByteTimeoutMs: 1500, silenceTimeoutMs: 60_000 };
      const work = backUpWithin(limits, { ...by, port: proxy.port });
      await failure(work, 'engine-unreachable');
    });

    test('a cut line is noticed', async () => {
      const cut = { kind: 'cut', afterBytes: 2_000_000 } as const;
      await using proxy = await startStallingProxy(server.port, cut);
      const error = await failure(takeNull({ ...by, port: proxy.port }), 'engine-unreachable');
      assert.match(error.message, /closed the connection during the base backup/);
    });

    const stallAt = (afterBytes: number) => ({ kind: 'stall', afterBytes }) as const;

    const backUpWithin = (limits: BackupLimits, from: Connection): Promise<unknown> =>
      takeBaseBackup(
        from,
        {
          label: 'limits',
          sink: createNullSink(),
          previous: null,
          onProgress: () => undefined,
          signal: neverAborted,
          log: silentLogger,
        },
        { clock: systemClock, random: systemRandom, limits },
      );

    test('the sink fails', async () => {
      const sink = createNullSink();
      for (const write of [
        () => assert.fail('disk full'),
        () => Promise.reject(new CairnError('storage-full', 'disk full')),
      ]) {
        const work = backUp(scene.driver, by, { sink: { ...sink, write } });
        await assert.rejects(work, /disk full/);
      }
      await untilNothingLeft();
    });

    test('a damaged page is named', async () => {
      await server.query(
        'create table hurt as select g, md5(g::text) from generate_series(1, 9000) g',
      );
      const [row] = await server.query("select pg_relation_filepath('hurt') as path");
      await server.query('checkpoint');
      const file = await open(join(server.dataDir, String(row?.path)), 'r+');
      await file.write(Buffer.from('rot'), 0, 3, 3 * 8192 + 5000);
      await file.close();
      const error = await failure(takeNull(by), 'engine-refused');
      assert.match(error.message, /damaged pages/);
      assert.ok(error.message.includes(String(row?.path)), error.message);
      await server.query('drop table hurt');
      await takeNull(by);
    });

    async function untilNothingLeft(): Promise<void> {
      const deadlineMs = systemClock.monotonicMs() + 10_000;
      for (;;) {
        const [row] = await server.query(
          "select count(*)::int as n from pg_stat_activity where application_name = 'cairn'",
        );
        if (row?.n === 0) return;
        assert.ok(systemClock.monotonicMs() < deadlineMs, 'a connection is left on the server');
        await systemClock.sleep(50);
      }
    }
  });
}

suite('restoring', () => {
  let source: FileSource;

  before(async () => {
    await server.query("alter system set shared_preload_libraries = 'not_there'");
    const sink = createFolderSink(join(scene.folder, 'backup'));
    const result = await backUp(scene.driver, connection, { sink });
    source = sink.toSource(result);
    await server.query('alter system reset shared_preload_libraries');
  });

  const start = (from: FileSource, homeDir: string, sourceConnection = connection) =>
    scene.driver.startRestored({
      source: from,
      homeDir,
      recovery: null,
      login: { connection: sourceConnection, rolePassword: 'ensure' },
      port: 0,
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });

  /** The same backup without some files, as Debian has its configuration elsewhere. */
  const without = (...paths: string[]): FileSource => ({
    ...source,
    files: () => source.files().filter((file) => !paths.includes(file.path)),
  });
  const startable = (): FileSource => without('postgresql.auto.conf');

  test('a target that is not empty is refused and stays as it is', async () => {
    const target = join(scene.folder, 'full');
    await mkdir(target);
    await writeFile(join(target, 'precious'), 'x');
    const options = { source, tablespaceDirs: {}, signal: neverAborted, log: silentLogger };
    const work = scene.driver.restoreFolder({
      ...options,
      targetDir: target,
      recovery: null,
      onProgress: () => undefined,
    });
    const error = await failure(work, 'invalid');
    assert.match(error.message, /is not empty/);
    await failure(start(source, target), 'invalid');
    assert.deepEqual(await readdir(target), ['precious']);
  });

  test('a version that is not installed is named', async () => {
    const error = await failure(scene.driver.findServerBinaries('99.3'), 'engine-refused');
    assert.match(error.message, /PostgreSQL 99 is not installed here; found /);
    assert.match(error.hint ?? '', /postgresql-99/);
  });

  test('a server that does not start shows its log and leaves no process', async () => {
    const homeDir = join(scene.folder, 'broken');
    const error = await failure(start(source, homeDir), 'engine-refused');
    assert.match(error.message, /did not start: FATAL: .*could not access file "not_there"/);
    assert.match(error.hint ?? '', /install the extension's package for PostgreSQL 17/);
    assert.equal(await findPostmaster(join(homeDir, 'data')), null);
  });

  test('without configuration files, with a new password, under a long path', async () => {
    const from = without('postgresql.auto.conf', 'postgresql.conf', 'pg_hba.conf', 'pg_ident.conf');
    const homeDir = join(scene.folder, 'a'.repeat(60), 'b'.repeat(60));
    const changed = { ...connection, password: new Secret('changed-since-the-backup') };
    const started = await start(from, homeDir, changed);
    try {
      const rows = await runSql(started.connection, (query) => query('show shared_buffers'));
      assert.deepEqual(rows, [{ shared_buffers: '64MB' }]);
      const log = await readFile(join(homeDir, 'server.log'), 'utf8');
      assert.ok(!log.includes('changed-since'));
    } finally {
      await scene.driver.stopManaged(started.managed, neverAborted);
    }
  });

  test('a source without a password gets one', async () => {
    const homeDir = join(scene.folder, 'fresh');
    const started = await start(startable(), homeDir, { ...connection, password: null });
    try {
      assert.match(started.connection.password?.reveal() ?? '', /^[0-9a-f]{36}$/);
      await runSql(started.connection, (query) => query('select 1'));
      const wrong = { ...started.connection, password: new Secret('wrong') };
      await failure(scene.driver.inspect(wrong, neverAborted), 'engine-refused');
    } finally {
      await scene.driver.stopManaged(started.managed, neverAborted);
    }
  });

  test('a role that the backup does not have ends the server again', async () => {
    const homeDir = join(scene.folder, 'stranger');
    const stranger = { ...connection, user: 'stranger' };
    const error = await failure(start(startable(), homeDir, stranger), 'engine-refused');
    assert.match(error.message, /role "stranger" does not exist/);
    assert.equal(await findPostmaster(join(homeDir, 'data')), null);
  });

  test('an abort while the server starts leaves no process', async () => {
    const homeDir = join(scene.folder, 'aborted');
    const controller = new AbortController();
    const work = scene.driver.startRestored({
      source: startable(),
      homeDir,
      recovery: null,
      login: { connection, rolePassword: 'ensure' },
      port: 0,
      onProgress: (phase) => void (phase === 'starting' && controller.abort()),
      signal: controller.signal,
      log: silentLogger,
    });
    await failure(work, 'cancelled');
    assert.equal(await findPostmaster(join(homeDir, 'data')), null);
  });

  test('a folder that the server user cannot reach', {
    skip: process.getuid?.() !== 0,
  }, async () => {
    const closed = join(scene.folder, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const error = await failure(start(startable(), join(closed, 'home')), 'invalid');
    assert.match(error.message, /may not enter the folder .*closed/);
  });

  test('a pid file of another server is not trusted', async () => {
    const dataDir = join(scene.folder, 'strange');
    await mkdir(dataDir);
    await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n${dataDir}\n0\n5432\n\n`);
    const managed = { homeDir: scene.folder, dataDir, binDir: server.binDir };
    await scene.driver.stopManaged(managed, neverAborted);
  });
});
