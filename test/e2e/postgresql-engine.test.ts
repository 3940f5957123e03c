// Backup and restore of real servers of every version, with a writer at work, and PostgreSQL's own
// judges.
import assert from 'node:assert/strict';
import { chown, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BaseBackupResult, StartedServer } from '../../src/engines/engine.ts';
import type { Connection } from '../../src/model/instance.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { isAlive } from '../../src/platform/server-process.ts';
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
import { createFolderSink } from '../fixtures/file-source.ts';
import type { PostgresVersion, TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';

const versions: readonly PostgresVersion[] = ['15', '16', '17', '18', 'debian-15'];
const staticTables = { plain: 'true', wide: 'true', far: 'true' };

const fill = `
  create table plain as select g as id, md5(g::text) as body from generate_series(1, 20000) g;
  create table wide as
    select g as id, repeat(md5(g::text), 300) as body from generate_series(1, 300) g;
  create index on plain (body);
  create table ledger (id bigint primary key, body text not null);
`;

// What production has and a restored server must not use.
const productionSettings = [
  `archive_command = 'touch /nonexistent/%f'`,
  `archive_mode = on`,
  `primary_conninfo = 'host=production'`,
  `restore_command = 'touch /nonexistent/%f'`,
  `synchronous_standby_names = '*'`,
];

type Writer = {
  committed(): number;
  until(count: number): Promise<void>;
  stop(): Promise<void>;
};

/** Commits one row after the other until told to stop; a failure stops it and shows at the end. */
function startWriter(server: TestServer): Writer {
  let isStopping = false;
  let id = 0;
  const done = (async () => {
    await runSql(parse(server.url), async (query) => {
      await query('set synchronous_commit = local');
      while (!isStopping) {
        const next = id + 1;
        await query('insert into ledger values ($1::bigint, md5($1::bigint::text))', [next]);
        id = next;
      }
    });
  })();
  done.catch(() => {
    isStopping = true;
  });
  return {
    committed: () => id,
    async until(count) {
      while (id < count && !isStopping) await systemClock.sleep(5);
    },
    async stop() {
      isStopping = true;
      await done;
    },
  };
}

let scene: EngineScene;
const parse = (url: string): Connection => scene.driver.parseUrl(url);

before(async () => {
  scene = await createEngineScene();
});
after(() => scene[Symbol.asyncDispose]());

for (const version of versions) {
  suite(`PostgreSQL ${version}`, () => {
    let server: TestServer;
    let sink: FolderSink;
    let result: BaseBackupResult;
    let home: string;
    let prints: Record<string, string>;
    let committedBefore: number;

    before(async () => {
      server = await startPostgres({ version });
      home = join(scene.folder, version);
      await mkdir(home);
      await server.query(fill);
      await makeTablespace(server, join(home, 'far away'));
      for (const setting of productionSettings) await server.query(`alter system set ${setting}`);
    });
    after(() => server[Symbol.asyncDispose]());

    test('the inspection finds nothing missing', async () => {
      const inspection = await scene.driver.inspect(parse(server.url), neverAborted);
      assert.equal(inspection.majorVersion, version.replace('debian-', ''));
      assert.match(inspection.systemIdentifier, /^\d{15,20}$/);
      assert.ok(inspection.sizeBytes > 10_000_000);
      const open = inspection.findings.filter((finding) => finding.severity !== 'fine');
      // Unlimited by default, which the user should know.
      assert.deepEqual(
        open.map(({ check }) => check),
        ['max_slot_wal_keep_size'],
      );
    });

    test('a backup is taken while rows are committed', async () => {
      const writer = startWriter(server);
      await writer.until(50);
      committedBefore = writer.committed();
      const seen: [number, number | null][] = [];
      sink = createFolderSink(join(home, 'backup'));
      result = await backUp(scene.driver, parse(server.url), {
        sink,
        onProgress: (doneBytes, totalBytes) => void seen.push([doneBytes, totalBytes]),
      });
      await writer.stop();
      prints = await runSql(parse(server.url), (query) => fingerprint(query, staticTables));
      assert.ok(seen.length > 1);
      const [doneBytes, totalBytes] = seen.at(-1) ?? [0, null];
      assert.ok(totalBytes !== null && doneBytes > totalBytes / 2 && doneBytes < totalBytes * 3);
      const paths = sink.files.map((file) => file.path);
      assert.equal(new Set(paths).size, paths.length);
      for (const path of ['backup_label', 'backup_manifest', 'tablespace_map', 'PG_VERSION']) {
        assert.ok(paths.includes(path), path);
      }
      assert.ok(paths.some((path) => /^pg_tblspc\/\d+\/PG_/.test(path)));
      assert.ok(paths.some((path) => /^pg_wal\/[0-9A-F]{24}$/.test(path)));
      const slots = await server.query('select count(*)::int as n from pg_replication_slots');
      assert.deepEqual(slots, [{ n: 0 }]);
    });

    test('a restored server holds the same rows and leaves production alone', async () => {
      const homeDir = join(home, 'server');
      const phases = new Set<string>();
      const started = await scene.driver.startRestored({
        source: sink.toSource(result),
        homeDir,
        recovery: null,
        login: { connection: parse(server.url), rolePassword: 'ensure' },
        port: 0,
        onProgress: (phase) => void phases.add(phase),
        signal: neverAborted,
        log: silentLogger,
      });
      const pid = Number(
        (await readFile(join(homeDir, 'data/postmaster.pid'), 'utf8')).split('\n')[0],
      );
      try {
        assert.deepEqual([...phases], ['restoring', 'starting']);
        assert.equal(started.serverVersion, result.serverVersion);
        assert.equal(started.systemIdentifier, result.systemIdentifier);
        await compare(started, server);
        await assertIsolated(started.connection);
        assert.equal((await stat(homeDir)).mode & 0o777, 0o700);
      } finally {
        await scene.driver.stopManaged(started.managed, neverAborted);
      }
      assert.equal(isAlive(pid), false);
      await scene.driver.stopManaged(started.managed, neverAborted);
    });

    async function compare(started: StartedServer, source: TestServer): Promise<void> {
      await runSql(started.connection, async (query) => {
        assert.deepEqual(await fingerprint(query, staticTables), prints);
        const [ledger] = await query('select max(id)::int as last, count(*)::int as n from ledger');
        const last = Number(ledger?.last);
        assert.equal(ledger?.n, last, 'rows are missing in between');
        assert.ok(last >= committedBefore, `${last} rows, ${committedBefore} were committed`);
        const condition = { ledger: `id <= ${last}` };
        const expected = await runSql(parse(source.url), (q) => fingerprint(q, condition));
        assert.deepEqual(await fingerprint(query, condition), expected);
        await query('insert into ledger values (-1, $1)', ['a new row']);
      });
    }
  });
}

async function assertIsolated(connection: Connection): Promise<void> {
  const expected: Record<string, string> = {
    archive_mode: 'off',
    archive_command: '(disabled)',
    primary_conninfo: '',
    restore_command: '',
    synchronous_standby_names: '',
    listen_addresses: '127.0.0.1',
    max_logical_replication_workers: '0',
  };
  await runSql(connection, async (query) => {
    for (const [name, value] of Object.entries(expected)) {
      const [row] = await query(`select current_setting('${name}') as value`);
      assert.equal(row?.value, value, name);
    }
  });
}

async function makeTablespace(server: TestServer, folder: string): Promise<void> {
  const identity = await findServerIdentity(null);
  await mkdir(folder, { mode: 0o700 });
  if (identity) await chown(folder, identity.uid, identity.gid);
  await server.query(`create tablespace far location '${folder}'`);
  await server.query('create table far tablespace far as select * from plain where id % 3 = 0');
}

suite('the judges of Debian 15', () => {
  test('pg_verifybackup and pg_amcheck are content, the commands start it', async () => {
    await using debian = await createEngineScene([]);
    const home = debian.folder;
    const sink = createFolderSink(join(home, 'backup'));
    let connection: Connection;
    let result: BaseBackupResult;
    {
      await using server = await startPostgres({ version: 'debian-15' });
      await server.query(fill);
      await makeTablespace(server, join(home, 'far'));
      await server.query('create database second');
      connection = parse(server.url);
      result = await backUp(debian.driver, connection, { sink });
    }
    const restored = await debian.driver.restoreFolder({
      source: sink.toSource(result),
      targetDir: join(home, 'a folder'),
      tablespaceDirs: { [join(home, 'far')]: join(home, "far's new home") },
      recovery: null,
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });
    assert.deepEqual(restored.tablespaceDirs, [join(home, "far's new home")]);
    await verify(restored.dataDir);
    const shell = async (command: string): Promise<void> => {
      const done = await runCommand('/bin/sh', ['-c', command], {
        timeoutMs: 60_000,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
      });
      assert.equal(done.exitCode, 0, `${command}\n${done.stdout}${done.stderr}`);
    };
    for (const command of restored.startCommands) await shell(`${command} > /dev/null 2>&1`);
    try {
      await amcheck(connection);
      const map = await runSql(connection, (query) =>
        query('select pg_tablespace_location(oid) as at from pg_tablespace where oid > 16383'),
      );
      assert.deepEqual(map, [{ at: join(home, "far's new home") }]);
    } finally {
      const stop = restored.startCommands.at(-1)?.replace(/ -l .*/, ' -m fast stop');
      await shell(`${stop} > /dev/null`);
    }
  });

  async function verify(dataDir: string): Promise<void> {
    const bin = '/usr/lib/postgresql/15/bin';
    const done = await runCommand(join(bin, 'pg_verifybackup'), [dataDir], { timeoutMs: 60_000 });
    assert.equal(done.exitCode, 0, `${done.stdout}${done.stderr}`);
    assert.match(done.stdout, /backup successfully verified/);
  }

  async function amcheck(connection: Connection): Promise<void> {
    const args = ['--all', '--install-missing', '--heapallindexed', '-h', connection.host];
    args.push('-p', String(connection.port), '-U', connection.user);
    const done = await runCommand('/usr/lib/postgresql/15/bin/pg_amcheck', args, {
      timeoutMs: 120_000,
      env: { PGPASSWORD: connection.password?.reveal() ?? '', LC_ALL: 'C.UTF-8' },
    });
    assert.equal(done.exitCode, 0, `${done.stdout}${done.stderr}`);
  }
});
