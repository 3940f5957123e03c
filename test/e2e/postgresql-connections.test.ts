// The ways to a PostgreSQL server: TLS in each mode, the socket, and a standby in the primary's
// place.
import assert from 'node:assert/strict';
import { appendFile, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { launchServer, stopManagedServer } from '../../src/engines/postgresql/managed-server.ts';
import type { Connection, TlsMode } from '../../src/model/instance.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted, runSql } from '../fixtures/engine-scene.ts';
import { createFolderSink, createNullSink } from '../fixtures/file-source.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { findBinDir, findFreePort, startPostgres } from '../fixtures/postgres-server.ts';

let scene: EngineScene;

before(async () => {
  scene = await createEngineScene();
});
after(() => scene[Symbol.asyncDispose]());

suite('TLS', () => {
  let server: TestServer;
  let certificate: string;

  before(async () => {
    const files = await makeCertificate(scene.folder);
    certificate = files.certificate;
    server = await startPostgres({
      version: 'debian-15',
      settings: { ssl: 'on', ssl_cert_file: files.certificate, ssl_key_file: files.key },
    });
  });
  after(() => server[Symbol.asyncDispose]());

  const connect = (host: string, tls: TlsMode, authority?: string): Connection => {
    const root = authority === undefined ? '' : `&sslrootcert=${authority}`;
    return {
      ...scene.driver.parseUrl(`${server.url}?sslmode=${tls}${root}`),
      host,
    };
  };
  const usesTls = async (connection: Connection): Promise<boolean> => {
    const rows = await runSql(connection, (query) =>
      query('select ssl from pg_stat_ssl where pid = pg_backend_pid()'),
    );
    return rows[0]?.ssl === true;
  };

  test('each mode does what libpq says', async () => {
    assert.equal(await usesTls(connect('127.0.0.1', 'disable')), false);
    assert.equal(await usesTls(connect('127.0.0.1', 'prefer')), true);
    assert.equal(await usesTls(connect('127.0.0.1', 'require')), true);
    assert.equal(await usesTls(connect('127.0.0.1', 'verify-ca', certificate)), true);
    assert.equal(await usesTls(connect('localhost', 'verify-full', certificate)), true);
  });

  test('a certificate that does not fit is refused, with the reason', async () => {
    for (const [connection, pattern] of [
      [connect('127.0.0.1', 'verify-full', certificate), /does not match/],
      [connect('localhost', 'verify-full'), /self.signed/],
      [connect('127.0.0.1', 'verify-ca'), /self.signed/],
    ] as const) {
      await assert.rejects(usesTls(connection), (error: Error & { kind?: string }) => {
        assert.equal(error.kind, 'engine-refused');
        assert.match(error.message, pattern);
        return true;
      });
    }
  });

  test('a backup goes through TLS', async () => {
    const sink = createNullSink();
    await backUp(scene.driver, connect('localhost', 'verify-full', certificate), { sink });
    assert.ok(sink.totals.bytes > 20_000_000);
  });

  test('prefer goes plain where only plain connections are let in', async () => {
    const hba = join(server.dataDir, 'pg_hba.conf');
    const before = await readFile(hba, 'utf8');
    await writeFile(hba, before.replaceAll(/^host /gm, 'hostnossl '));
    await server.query('select pg_reload_conf()');
    await systemClock.sleep(300);
    assert.equal(await usesTls(connect('127.0.0.1', 'prefer')), false);
    await assert.rejects(usesTls(connect('127.0.0.1', 'require')), { kind: 'engine-refused' });
  });

  test('the socket works, and nobody listed in pg_hba.conf may come in', async () => {
    const socket = { ...connect(dirname(server.dataDir), 'require') };
    assert.equal(await usesTls(socket), false);
    await backUp(scene.driver, socket, { sink: createNullSink() });
    await writeFile(join(server.dataDir, 'pg_hba.conf'), 'local all all scram-sha-256\n');
    await runSql(socket, (query) => query('select pg_reload_conf()'));
    await systemClock.sleep(300);
    await assert.rejects(usesTls(connect('127.0.0.1', 'disable')), {
      kind: 'engine-refused',
      message: /does not let user postgres in/,
      hint: /pg_hba\.conf/,
    });
    const { findings } = await scene.driver.inspect(socket, neverAborted);
    const login = findings.find((finding) => finding.check === 'replication-login');
    assert.equal(login?.severity, 'blocking');
    assert.match(login?.hint ?? '', /host replication postgres/);
  });
});

async function makeCertificate(folder: string): Promise<{ certificate: string; key: string }> {
  const certificate = join(folder, 'server.crt');
  const key = join(folder, 'server.key');
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  args.push('-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost');
  const done = await runCommand('openssl', [...args, '-keyout', key, '-out', certificate], {
    timeoutMs: 30_000,
  });
  assert.equal(done.exitCode, 0, done.stderr);
  const identity = await findServerIdentity(null);
  if (identity) await chown(key, identity.uid, identity.gid);
  return { certificate, key };
}

suite('a standby', () => {
  test('it is backed up, and its backup starts as a server of its own', async () => {
    await using primary = await startPostgres({ version: '16' });
    await primary.query('create table plain as select generate_series(1, 1000) as id');
    const connection = scene.driver.parseUrl(primary.url);
    await using standby = await startStandby(primary, connection);
    const { findings } = await scene.driver.inspect(standby.connection, neverAborted);
    const recovery = findings.find((finding) => finding.check === 'recovery');
    assert.equal(recovery?.severity, 'warning');
    const folder = join(scene.folder, 'standby-backup');
    const sink = createFolderSink(folder);
    const result = await backUp(scene.driver, standby.connection, { sink });
    assert.equal(result.notes.fromStandby, true);
    assert.ok(sink.files.some((file) => file.path === 'standby.signal'));
    const started = await scene.driver.startRestored({
      source: sink.toSource(result),
      homeDir: join(scene.folder, 'from-standby'),
      recovery: null,
      login: { connection: standby.connection, rolePassword: 'ensure' },
      port: 0,
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });
    try {
      const rows = await runSql(started.connection, (query) =>
        query('select count(*)::int as n, pg_is_in_recovery() as r from plain'),
      );
      assert.deepEqual(rows, [{ n: 1000, r: false }]);
    } finally {
      await scene.driver.stopManaged(started.managed, neverAborted);
    }
  });

  /** A folder restored by us, with what makes it follow the primary. */
  async function startStandby(primary: TestServer, connection: Connection) {
    const homeDir = join(scene.folder, 'standby');
    await mkdir(homeDir);
    const dataDir = join(homeDir, 'data');
    const sink = createFolderSink(join(scene.folder, 'primary-backup'));
    const result = await backUp(scene.driver, connection, { sink });
    await scene.driver.restoreFolder({
      source: sink.toSource(result),
      targetDir: dataDir,
      tablespaceDirs: {},
      recovery: null,
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });
    const line = `host=127.0.0.1 port=${primary.port} user=postgres password=${primary.password}`;
    await appendFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${line}'\n`);
    await writeFile(join(dataDir, 'standby.signal'), '');
    const identity = await findServerIdentity(null);
    if (identity) {
      const owner = `${identity.uid}:${identity.gid}`;
      await runCommand('chown', ['-R', owner, homeDir], { timeoutMs: 10_000 });
    }
    const port = await findFreePort();
    const binDir = await findBinDir('16');
    const settings = [`port=${port}`, `unix_socket_directories=${homeDir}`, 'fsync=off'];
    await launchServer({
      binDir,
      dataDir,
      logPath: join(homeDir, 'server.log'),
      identity,
      args: ['-D', dataDir, ...settings.flatMap((setting) => ['-c', setting])],
    });
    const standby = { ...connection, port };
    await untilReachable(standby);
    return {
      connection: standby,
      [Symbol.asyncDispose]: () =>
        stopManagedServer({ homeDir, dataDir, binDir }, systemClock, neverAborted),
    };
  }

  async function untilReachable(connection: Connection): Promise<void> {
    const deadlineMs = systemClock.monotonicMs() + 20_000;
    for (;;) {
      const isThere = await runSql(connection, (query) => query('select 1')).then(
        () => true,
        () => false,
      );
      if (isThere) return;
      assert.ok(systemClock.monotonicMs() < deadlineMs, 'the standby does not start');
      await systemClock.sleep(100);
    }
  }
});
