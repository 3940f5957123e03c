// A physical backup of a real MariaDB server becomes a server of its own, and what must not happen
// then: events that fire, a way back to the old server's files, a way in that stays open.
import assert from 'node:assert/strict';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  Extraction,
  FileSource,
  FolderRestoreOptions,
  RestoredLogin,
  StartedServer,
} from '../../src/engines/engine.ts';
import { planArchive } from '../../src/engines/mysql/archive-layout.ts';
import type { Query } from '../../src/engines/mysql/connection.ts';
import { withQueries } from '../../src/engines/mysql/connection.ts';
import { findServer, stopManagedServer } from '../../src/engines/mysql/managed-server.ts';
import { restoreFolder } from '../../src/engines/mysql/restore-folder.ts';
import { findTools } from '../../src/engines/mysql/server-binaries.ts';
import { startManaged } from '../../src/engines/mysql/start-managed.ts';
import type { StartParts } from '../../src/engines/mysql/start-restored.ts';
import { prepareRestored, startRestored } from '../../src/engines/mysql/start-restored.ts';
import { hasServerFacts } from '../../src/engines/server-facts.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import type { Connection } from '../../src/model/instance.ts';
import { Secret } from '../../src/model/secret.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { giveAll } from '../../src/platform/server-folder.ts';
import { isAlive } from '../../src/platform/server-process.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { Where } from '../fixtures/hand-started.ts';
import { runStartCommands } from '../fixtures/hand-started.ts';
import { takeToolBackup } from '../fixtures/mariadb-backup.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import { countTicks, fillShop, sumShop } from '../fixtures/mariadb-shop.ts';
import { until } from '../fixtures/until.ts';

const signal = AbortSignal.timeout(300_000);
const log = silentLogger;
/** Paths go through option files and shells. */
const homeName = `a "home", #1\\n it's`;

suite('a physical backup of MariaDB', { timeout: 300_000 }, () => {
  let folder: string;
  let outsideDir: string;
  let server: MariadbServer;
  let source: FileSource;
  let sums: Record<string, string>;
  let ticks: number;
  let parts: StartParts;
  let started: StartedServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cairn-mysql-restore-'));
    await chmod(folder, 0o711);
    const identity = await findServerIdentity(null);
    outsideDir = join(folder, 'outside');
    await mkdir(outsideDir);
    if (identity) await chown(outsideDir, identity.uid, identity.gid);
    server = await startMariadb({ settings: { 'event-scheduler': 'ON' } });
    await server.session((query) => fillShop(query, outsideDir));
    await delay(1500);
    await server.query('set global event_scheduler = off');
    sums = await server.session(sumShop);
    ticks = await countTicks(server.query);
    assert.ok(ticks > 0, 'the event has fired on the source');
    const settings = { sql_mode: '', character_set_server: 'utf8mb4' };
    source = await takeToolBackup(server, join(folder, 'unpacked'), settings);
    const tools = await findTools(server.serverVersion, { binDirs: [], identity });
    const unexpected = async (): Promise<never> => assert.fail('nothing is to be replayed');
    parts = {
      ...{ clock: systemClock, random: systemRandom, identity, extraConfigFile: null },
      ...{ tools, replayLog: unexpected, loadDump: unexpected },
    };
  });

  after(async () => {
    if (started) await stopManagedServer(started.managed, systemClock, AbortSignal.timeout(60_000));
    await server?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const loginAs = (user: string, password: string | null): Connection => ({
    ...{ ...server.connection, user, password: password === null ? null : new Secret(password) },
  });
  const restore = (
    name: string,
    connection: Connection,
    rolePassword: RestoredLogin['rolePassword'] = 'ensure',
    port = 0,
  ): ReturnType<typeof startRestored> =>
    startRestored(
      {
        ...{ source, homeDir: join(folder, name), recovery: null, port, signal, log },
        login: { connection, rolePassword },
        onProgress: () => undefined,
      },
      parts,
    );
  const ask = <T>(work: (query: Query) => Promise<T>): Promise<T> =>
    withQueries(started.connection, { signal }, work);

  test('becomes a server with all rows, which lets in who was let in', async () => {
    started = await restore(homeName, loginAs('keeper', 'keeper-secret'));
    assert.equal(started.serverVersion, server.serverVersion);
    assert.deepEqual(await ask(sumShop), sums);
    const [users] = await ask((query) =>
      query("select group_concat(user order by user) as u from mysql.user where user <> ''"),
    );
    assert.match(String(users?.['u']), /^app,keeper,mariadb.sys,(mysql|postgres|nobody|root|,)+$/);
    const [view] = await ask((query) => query('select count(*) as n from shop.big_orders'));
    assert.equal(Number(view?.['n']), 5000 - Math.floor(30000 / 7));
    await ask(async (query) => {
      await query('insert into shop.orders (id, net) values (100000, 1)');
      const [audit] = await query("select count(*) as n from shop.audit where what = 'added'");
      assert.equal(Number(audit?.['n']), 1);
      await query('delete from shop.orders where id = 100000');
      await query('delete from shop.audit');
      const grants = await query("show grants for app@'10.1.%'");
      assert.match(JSON.stringify(grants), /GRANT SELECT, INSERT ON `shop`\.\*/);
    });
    const names = await readdir(join(folder, homeName));
    assert.ok(!names.includes('service.sql'), 'the way in is closed');
    assert.equal((await stat(join(folder, homeName, 'data'))).mode & 0o777, 0o700);
  });

  test('fires no events, listens here only, and writes a log of its own', async () => {
    await delay(1500);
    assert.equal(await ask(countTicks), ticks);
    const [row] = await ask((query) =>
      query(
        `select @@event_scheduler as scheduler, @@bind_address as bound, @@log_bin as logs,
           @@binlog_format as format, @@server_id as id, @@port as port,
           @@global.sql_mode as mode`,
      ),
    );
    assert.equal(row?.['scheduler'], 'OFF');
    assert.equal(row?.['mode'], '', 'the old server\u2019s');
    assert.deepEqual([row?.['bound'], Number(row?.['logs'])], ['127.0.0.1', 1]);
    assert.equal(row?.['format'], 'ROW');
    assert.ok(Number(row?.['id']) >= 0x8000_0000);
    assert.equal(Number(row?.['port']), started.connection.port);
    const events = await ask((query) => query('show binlog events'));
    assert.ok(!/cairn_service|CREATE USER/i.test(JSON.stringify(events)), JSON.stringify(events));
  });

  test('keeps away from a file that lay outside the old server\u2019s data folder', async () => {
    // Nobody holds its files any more: what leads there would lead there.
    await server.stop();
    const before = await readFile(join(outsideDir, 'shop', 'far.ibd'));
    await ask((query) => query('insert into shop.far select seq from shop.seq_1001_to_3000'));
    const managed = started.managed;
    await stopManagedServer(managed, systemClock, signal);
    assert.ok((await readFile(join(outsideDir, 'shop', 'far.ibd'))).equals(before));
    assert.ok((await stat(join(managed.dataDir, 'shop', 'far.ibd'))).size > 0);
    assert.equal(await findServer(managed.dataDir), null);
    const again = { connection: started.connection, port: 0, rolePassword: 'keep' } as const;
    started = await startManaged(managed, { ...again, signal, log }, parts);
    const [row] = await ask((query) => query('select count(*) as n from shop.far'));
    assert.equal(Number(row?.['n']), 2100);
    await ask((query) => query('delete from shop.far where id > 100'));
  });

  test('is found while it runs, not when it was killed, and comes up again', async () => {
    const { managed, connection } = started;
    const options = { connection, port: connection.port, signal, log };
    const found = await findServer(managed.dataDir);
    assert.equal(found?.port, connection.port);
    const same = await startManaged(managed, { ...options, rolePassword: 'keep' }, parts);
    assert.deepEqual((await findServer(managed.dataDir))?.pid, found?.pid);
    assert.equal(same.connection.port, connection.port);
    assert.ok(found);
    process.kill(found.pid, 'SIGKILL');
    await until('it is gone', () => !isAlive(found.pid));
    assert.equal(await findServer(managed.dataDir), null);
    started = await startManaged(managed, { ...options, rolePassword: 'ensure' }, parts);
    assert.deepEqual(await ask(sumShop), sums);
  });

  test('is found by root in a container, who may not look at where others work', async (t) => {
    if (process.getuid?.() !== 0 || process.platform !== 'linux') return t.skip('needs root');
    const { dataDir } = started.managed;
    const module = new URL('../../src/engines/mysql/managed-server.ts', import.meta.url);
    const code = `import { findServer } from ${JSON.stringify(module.href)};
      console.log((await findServer(process.argv[1])).pid)`;
    const drop = ['--inh-caps=-sys_ptrace', '--bounding-set=-sys_ptrace', process.execPath];
    const args = [...drop, '--input-type=module', '-e', code, dataDir];
    const { stdout, stderr } = await runCommand('setpriv', args, { timeoutMs: 30_000 });
    assert.equal(stdout.trim(), String((await findServer(dataDir))?.pid), stderr);
  });

  test('a start that died before its way in was closed is done over', async () => {
    const { managed, connection } = started;
    const marker = join(managed.homeDir, 'service.sql');
    await writeFile(marker, '');
    const found = await findServer(managed.dataDir);
    await ask((query) => query("create user cairn_service@localhost identified by 'old'"));
    const options = { connection, port: connection.port, rolePassword: 'ensure' } as const;
    started = await startManaged(managed, { ...options, signal, log }, parts);
    assert.notEqual((await findServer(managed.dataDir))?.pid, found?.pid);
    const left = await ask((query) =>
      query("select user from mysql.user where user = 'cairn_service'"),
    );
    assert.equal(left.length, 0);
    await assert.rejects(stat(marker), { code: 'ENOENT' });
  });

  test('lets in a user whose password has changed, or is not known', async () => {
    const { managed } = started;
    await stopManagedServer(managed, systemClock, signal);
    for (const password of ['changed \\ \u2019since', null]) {
      const connection = loginAs('keeper', password);
      const options = { connection, port: 0, rolePassword: 'ensure' } as const;
      started = await startManaged(managed, { ...options, signal, log }, parts);
      if (password !== null) assert.equal(started.connection.password?.reveal(), password);
      assert.deepEqual(await ask(sumShop), sums);
      await stopManagedServer(managed, systemClock, signal);
    }
  });

  test('makes a user that the backup lacks where asked to, and else says so', async () => {
    const { managed } = started;
    const connection = loginAs('newcomer', 'fresh');
    const options = { connection, port: 0, signal, log };
    await assert.rejects(
      startManaged(managed, { ...options, rolePassword: 'ensure' }, parts),
      (error) => isErrorKind(error, 'engine-refused') && /no user newcomer/.test(error.message),
    );
    assert.equal(await findServer(managed.dataDir), null);
    started = await startManaged(managed, { ...options, rolePassword: 'create' }, parts);
    const grants = JSON.stringify(await ask((query) => query('show grants')));
    assert.match(grants, /RELOAD/);
    assert.doesNotMatch(grants, /INSERT|SUPER|GRANT OPTION/);
    await ask((query) => query('select count(*) from shop.orders'));
    await stopManagedServer(managed, systemClock, signal);
    // One that was let in from elsewhere only gets a twin.
    const app = { ...options, connection: loginAs('app', 'known') };
    started = await startManaged(managed, { ...app, rolePassword: 'ensure' }, parts);
    const who = await ask((query) => query('select current_user() as u'));
    assert.deepEqual(who, [{ u: 'app@127.0.0.1' }]);
  });

  test('nothing is touched when the port is taken, or the folder is not empty', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await new Promise((done) => blocker.once('listening', done));
    const address = blocker.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const login = loginAs('keeper', 'keeper-secret');
    await assert.rejects(restore('elsewhere', login, 'ensure', port), (error) =>
      isErrorKind(error, 'conflict'),
    );
    blocker.close();
    await assert.rejects(stat(join(folder, 'elsewhere')), { code: 'ENOENT' });
    await assert.rejects(restore(homeName, login), (error) => isErrorKind(error, 'invalid'));
  });

  test('a restore that is cancelled while it prepares leaves nothing that runs', async () => {
    await symlink(folder, join(folder, 'link'));
    const homeDir = join(folder, 'link', 'cancelled');
    const dataDir = join(homeDir, 'data');
    const over = new AbortController();
    // Under the name of the real one, and never done.
    const backup = join(folder, 'mariadb-backup');
    const loop = 'trap "exit 130" INT; while :; do sleep 0.1; done';
    const script = `#!/bin/bash\nexec -a "$0" bash -c '${loop}' "$0" "$@"\n`;
    await writeFile(backup, script, { mode: 0o755 });
    const options = { source, homeDir, recovery: null, log, onProgress: () => undefined };
    const tools = { ...parts.tools, backup };
    const restored = prepareRestored({ ...options, signal: over.signal }, { ...parts, tools });
    const isCancelled = assert.rejects(restored, (error) => isErrorKind(error, 'cancelled'));
    await until('the tool runs', () => findServer(dataDir));
    over.abort();
    await isCancelled;
    assert.equal(await findServer(dataDir), null);
    await assert.rejects(stat(join(dataDir, 'ibdata1')), { code: 'ENOENT' });
  });

  test('a recovery has a server that nobody else reaches; when it fails nothing runs', async () => {
    const homeDir = join(folder, 'recovered');
    const recovery = { target: { kind: 'latest', timeline: null }, log: null } as const;
    const failure = new Error('the log is not there');
    const options = {
      ...{ source, homeDir, signal, log, onProgress: () => undefined },
      recovery: { ...recovery, newestTimeline: 0, skippedTransactions: [] },
    };
    let seen: unknown;
    const replayLog: StartParts['replayLog'] = async (_recovery, work) => {
      seen = await withQueries(work.connection, { signal }, async (query) => {
        await query("create user later@localhost identified by 'x'");
        const [row] = await query('select @@skip_networking as n, @@log_bin as l');
        return [Number(row?.['n']), Number(row?.['l'])];
      });
      assert.ok(await findServer(join(homeDir, 'data')), 'whoever comes after us finds it');
      assert.equal((await stat(work.scratchDir)).mode & 0o777, 0o700);
      throw failure;
    };
    await assert.rejects(prepareRestored(options, { ...parts, replayLog }), failure);
    assert.deepEqual(seen, [1, 0]);
    const managed = { homeDir, dataDir: join(homeDir, 'data'), binDir: '' };
    assert.equal(await findServer(managed.dataDir), null);
    assert.equal(await hasServerFacts(managed), false);
  });

  test('a folder is one that the printed commands start a server on', async () => {
    const targetDir = join(folder, "by hand's");
    const { startCommands, dataDir } = await restoreTo(targetDir);
    await startByHand(startCommands, { dataDir, cwd: '/', identity: null });
    await writeFile(join(dataDir, 'shop', 'stray.ibd'), 'stray');
    const options = { write: 'differences' } as const;
    const again = await restoreTo(targetDir, options);
    await assert.rejects(stat(join(dataDir, 'shop', 'stray.ibd')), { code: 'ENOENT' });
    await startByHand(again.startCommands, { dataDir, cwd: '/', identity: null }, async () => {
      await assert.rejects(restoreTo(targetDir, options), (error) =>
        isErrorKind(error, 'conflict'),
      );
    });
    assert.ok((await readdir(folder)).every((name) => !name.includes('-recovery-')));
  });

  test('an archive is unpacked, prepared and started by what its page says', async () => {
    const layout = planArchive(source);
    const home = join(folder, 'archive');
    await mkdir(home);
    const files: Extraction[] = [];
    let page = '';
    for (const entry of layout.entries) {
      const targetPath = join(home, entry.path);
      if (entry.kind === 'directory') await mkdir(targetPath, { mode: entry.mode });
      if (entry.kind === 'file') files.push({ path: entry.source.path, targetPath });
      if (entry.kind === 'text') page = entry.content;
    }
    assert.ok(!files.some(({ path }) => path.endsWith('.isl')));
    await source.extract(files, { onProgress: () => undefined, signal });
    const { identity } = parts;
    if (identity) await giveAll(home, identity);
    const dataDir = join(home, 'data');
    const commands = page.split('\n').filter((line) => line.startsWith('  '));
    const start = commands.at(-1) ?? '';
    // Not prepared: no server starts on it.
    await using early = await runStartCommands([start], { dataDir, cwd: home, identity });
    await until('the server has given up', async () =>
      /Aborting/.test(await readFile(join(dataDir, 'server.log'), 'utf8').catch(() => '')),
    );
    await early[Symbol.asyncDispose]();
    await rm(join(dataDir, 'server.log'));
    await startByHand(commands, { dataDir, cwd: home, identity });
  });

  const restoreTo = (
    targetDir: string,
    more: Pick<FolderRestoreOptions, 'write'> = {},
  ): ReturnType<typeof restoreFolder> =>
    restoreFolder(
      {
        ...{ source, targetDir, tablespaceDirs: {}, recovery: null, signal, log, ...more },
        onProgress: () => undefined,
      },
      { ...parts, serverUser: 'postgres' },
    );

  /** What somebody started by hand is the backup, and is stopped. */
  async function startByHand(
    commands: readonly string[],
    where: Where,
    meanwhile?: () => Promise<void>,
  ): Promise<void> {
    await using server = await runStartCommands(commands, where);
    const connection = { ...loginAs('keeper', 'keeper-secret'), host: server.socketPath };
    const found = await until('the server answers', () =>
      withQueries(connection, { signal }, async (query) => {
        assert.equal(await countTicks(query), ticks);
        return await sumShop(query);
      }).catch((error) => {
        if (isErrorKind(error, 'engine-unreachable')) return null;
        throw error;
      }),
    );
    assert.deepEqual(found, sums);
    await meanwhile?.();
  }
});
