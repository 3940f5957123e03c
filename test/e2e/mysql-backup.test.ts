// Physical backups of a real MariaDB server at work, compared with what the vendor's own tools make
// of the same stream.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BaseBackupResult } from '../../src/engines/engine.ts';
import type { Query } from '../../src/engines/mysql/connection.ts';
import type { FolderLook } from '../../src/engines/mysql/data-folder.ts';
import { lookAtDataFolder } from '../../src/engines/mysql/data-folder.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { giveAll } from '../../src/platform/server-folder.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { CommittedBackup } from '../../src/repository/repository.ts';
import type { Load } from '../fixtures/mariadb-load.ts';
import { startLoad } from '../fixtures/mariadb-load.ts';
import type { PhysicalScene, TakeOptions } from '../fixtures/mariadb-physical.ts';
import { backupProgram, createPhysicalScene, sceneSignal } from '../fixtures/mariadb-physical.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import type { ModelFiles, TestRepository } from '../fixtures/repositories.ts';
import {
  extractAll,
  openTestRepository,
  testBackupId,
  testFacts,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { until } from '../fixtures/until.ts';
import { extractWithMbstream } from '../fixtures/xbstream-chunks.ts';

suite('a physical backup of MariaDB', { timeout: 300_000 }, () => {
  let scene: PhysicalScene;
  let server: MariadbServer;
  let store: TestRepository;

  before(async () => {
    scene = await createPhysicalScene();
    server = scene.server;
    store = await openTestRepository();
  });
  after(async () => {
    await scene[Symbol.asyncDispose]();
    await store.repository[Symbol.asyncDispose]();
  });

  async function storeBackup(
    number: number,
    options: Omit<TakeOptions, 'sink'> = {},
  ): Promise<{ readonly result: BaseBackupResult; readonly committed: CommittedBackup }> {
    await using writer = await store.repository.openWriter({
      instanceId: testInstanceId,
      backupId: testBackupId(number),
      previousBackupId: number > 1 ? testBackupId(number - 1) : null,
      now: new Date(),
      signal: sceneSignal,
      log: silentLogger,
    });
    const result = await scene.take({ ...options, sink: writer });
    const facts = testFacts();
    const instance = { name: 'shop', engine: 'mysql' } as const;
    const committed = await writer.commit({ ...facts, instance, base: result });
    return { result, committed };
  }

  async function extract(number: number): Promise<ModelFiles> {
    const reader = await store.repository.openReader(
      testInstanceId,
      testBackupId(number),
      sceneSignal,
    );
    return await extractAll(reader);
  }

  test('a second backup of an unchanged server stores next to nothing', async () => {
    // What was changed is written to the files at some time.
    await server.query('set global innodb_max_dirty_pages_pct = 0');
    await until('all pages are written', async () => {
      const [row] = await server.query("show status like 'Innodb_buffer_pool_pages_dirty'");
      return Number(row?.['Value']) === 0;
    });
    await storeBackup(1);
    const progress: (readonly [number, number | null])[] = [];
    const onProgress = (...step: readonly [number, number | null]) => void progress.push(step);
    const { committed } = await storeBackup(2, { onProgress });
    const { logicalBytes, storedBytes } = committed.totals;
    assert.ok(storedBytes < logicalBytes * 0.02, `${storedBytes} of ${logicalBytes}`);
    const [doneBytes, totalBytes] = progress.at(-1) ?? [0, null];
    assert.equal(doneBytes, logicalBytes);
    assert.ok(totalBytes !== null && doneBytes > totalBytes / 2 && doneBytes < totalBytes * 2);
    assert.ok(progress.every(([done], at) => done >= (progress[at - 1]?.[0] ?? 0)));
  });

  test('an account that the socket lets in without a password is enough', async () => {
    const user = userInfo().username;
    await server.query('create user if not exists ?@localhost', [user]);
    const ways = 'mysql_native_password using password(?) or unix_socket';
    await server.query(`alter user ?@localhost identified via ${ways}`, [user, server.password]);
    await server.query('grant all privileges on *.* to ?@localhost with grant option', [user]);
    const local = { ...server.connection, host: server.socketPath, user, password: null };
    const taken = await scene.take({ connection: local });
    assert.equal(taken.serverVersion, server.serverVersion);
  });

  suite('under load', () => {
    let load: Load;
    let result: BaseBackupResult;
    let files: ModelFiles;
    let doneBefore: number;

    before(async () => {
      load = startLoad(server, 2);
      await until('the load runs', () => load.commits.length > 100 && load.ddlRounds > 0);
      doneBefore = load.commits.length;
      const roundsBefore = load.ddlRounds;
      // A slow one: tables change while theirs are copied.
      const program = await scene.writeTee('stream', ['--throttle=100']);
      ({ result } = await storeBackup(3, { program }));
      assert.ok(load.ddlRounds > roundsBefore, 'no table has changed meanwhile');
      await load.stop();
      files = await extract(3);
    });

    test('the repository holds what mbstream extracts, byte for byte', async () => {
      const stream = await readFile(join(scene.folder, 'stream'));
      const expected = extractWithMbstream(stream);
      assert.deepEqual([expected.exitCode, expected.stderr], [0, '']);
      assert.deepEqual([...files.keys()].toSorted(), [...expected.files.keys()]);
      for (const [path, bytes] of expected.files) {
        assert.ok(files.get(path)?.equals(bytes), `${path} differs`);
      }
      assert.ok(files.has(result.lastLogFile));
      for (const type of ['R', 'D']) {
        assert.ok(stream.includes(Buffer.from(`XBSTCK01\0${type}`)), `no chunk of type ${type}`);
      }
    });

    test('the data stops exactly where the position says', async () => {
      const stop = result.stopPosition;
      assert.ok(stop.engine === 'mysql' && stop.gtidSet !== null);
      const last = Number(stop.gtidSet.split('-').at(-1));
      const expected = load.commits.filter(({ sequence }) => sequence <= last);
      assert.ok(expected.length > doneBefore && expected.length < load.commits.length);
      await using restored = await startMariadb({ populate: (dir) => prepare(files, dir) });
      const rows = await restored.query('select writer, id from busy.ledger order by writer, id');
      const sorted = expected.toSorted((a, b) => a.writer - b.writer || a.id - b.id);
      assert.deepEqual(
        rows.map((row) => `${row['writer']} ${row['id']}`),
        sorted.map(({ writer, id }) => `${writer} ${id}`),
      );
      for (const engine of ['innodb', 'aria', 'myisam']) {
        const [row] = await restored.query(`select count(*) as n from busy.still_${engine}`);
        assert.equal(Number(row?.['n']), 1500, engine);
      }
    });

    test('positions, version and notes are those of the server', async () => {
      const { startPosition: start, stopPosition: stop } = result;
      assert.ok(start.engine === 'mysql' && stop.engine === 'mysql');
      assert.match(start.file, /^bin\.\d{6}$/);
      assert.ok(start.file < stop.file || start.offsetBytes < stop.offsetBytes);
      assert.equal(result.serverVersion, server.serverVersion);
      assert.equal(result.systemIdentifier, '0-11');
      assert.deepEqual(
        [result.notes['kind'], result.notes['flavor'], result.notes['pageSizeBytes']],
        ['physical', 'mariadb', 16_384],
      );
      assert.match(String(result.notes['toolVersion']), /^\d+\.\d+\.\d+-MariaDB$/);
      const settings = result.notes['settings'] as Record<string, string>;
      assert.equal(settings['innodb_data_file_path'], 'ibdata1:12M:autoextend');
      assert.ok(!JSON.stringify(result).includes(server.password));
      const databases = result.contents?.databases.map(({ name }) => name);
      assert.deepEqual(databases, ['busy', 'other']);
    });
  });

  async function prepare(from: ModelFiles, dataDir: string): Promise<void> {
    const identity = await findServerIdentity(null);
    for (const [path, bytes] of from) {
      await mkdir(join(dataDir, path, '..'), { recursive: true });
      await writeFile(join(dataDir, path), bytes);
    }
    if (identity) await giveAll(dataDir, identity);
    const done = await runCommand(backupProgram, ['--prepare', `--target-dir=${dataDir}`], {
      timeoutMs: 60_000,
      identity,
    });
    assert.match(done.stderr, /completed OK!\s*$/);
  }

  suite('where the files are', () => {
    const look = async (change: (query: Query) => Query): Promise<FolderLook> =>
      await server.session((query) =>
        lookAtDataFolder(change(query), server.connection, {
          random: systemRandom,
          signal: sceneSignal,
        }),
      );
    const answering =
      (answer: Readonly<Record<string, string>>) =>
      (query: Query): Query =>
      async (sql, values) =>
        sql.includes('datadir')
          ? [{ datadir: server.dataDir, socket: server.socketPath, ...answer }]
          : await query(sql, values);

    test('here, as the user whom they belong to', async () => {
      const found = await look((query) => query);
      assert.ok(found.kind === 'here');
      assert.deepEqual(
        [found.folder.path, found.folder.socketPath],
        [server.dataDir, server.socketPath],
      );
      assert.deepEqual(found.folder.owner, await findServerIdentity(null));
    });

    test('elsewhere, when no server answers on the socket, or another', async () => {
      const nowhere = await look(answering({ socket: join(scene.folder, 'none') }));
      assert.ok(nowhere.kind === 'elsewhere' && /does not let us in/.test(nowhere.reason));
      const other = await look((query) => async (sql, values) => {
        return sql.includes('get_lock') ? [] : await query(sql, values);
      });
      assert.ok(other.kind === 'elsewhere' && /another server answers/.test(other.reason));
      const gone = await look(answering({ datadir: '/nonexistent/' }));
      assert.ok(gone.kind === 'elsewhere' && /is not on this host/.test(gone.reason));
    });
  });
});
