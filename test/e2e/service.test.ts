// The whole product as an operator runs it: one story on a real service and a real server, told
// over HTTP and by the command line. Every test stands on what the ones before it have made.
import assert from 'node:assert/strict';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BackupDetailWire, CreateBackupResponse } from '../../src/api/schema/backup.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import {
  backUp,
  listBackups,
  objectsOf,
  register,
  showBackup,
  showRdsJob,
} from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let first: BackupDetailWire;
let second: BackupDetailWire;
let sumsOfFirst: Record<string, string>;
let sumsOfSecond: Record<string, string>;

const repositoryDir = (): string => join(service.dataDir, 'repository');

before(async () => {
  server = scene.use(await startPostgres({ version: '17' }));
  await server.query(
    `create table orders as
     select g as id, md5(g::text) as code, 'new' as status from generate_series(1, 200000) g`,
  );
  await server.query('create table empty (id int)');
  await server.query('checkpoint');
  service = scene.use(
    await startService({ versions: ['17'], environment: { CAIRN_LOG_LEVEL: 'debug' } }),
  );
  instanceId = await register(service, server.url);
});
after(() => scene.disposeAsync());

suite('a service, from its first backup to its loss', () => {
  test('the create call answers as the seed page says and its job ends well', async () => {
    sumsOfFirst = await tableSums(server.url);
    const answer = await service.request<CreateBackupResponse>('POST', '/v3/{p}/backups', {
      instance_id: instanceId,
      name: 'first-backup',
      description: 'mannual backup',
    });
    assert.equal(answer.status, 200);
    const { backup, job_id: jobId } = answer.body;
    assert.deepEqual(Object.keys(answer.body).sort(), ['backup', 'job_id']);
    assert.match(backup.id, /^[0-9a-f]{32}br03$/);
    assert.match(backup.begin_time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000$/);
    const { id, begin_time, ...said } = backup;
    assert.deepEqual(said, {
      instance_id: instanceId,
      name: 'first-backup',
      description: 'mannual backup',
      databases: [],
      status: 'BUILDING',
      type: 'manual',
    });
    const atOnce = await showRdsJob(service, jobId);
    assert.equal(atOnce.status, 'Running');
    assert.deepEqual(atOnce.instance, { id: instanceId, name: 'shop-server' });
    assert.equal((await listBackups(service, `backup_id=${id}`)).total_count, 1);
    await until('the job is completed', async () => {
      // Asked in this order: what the job says first must be true of the backup afterwards.
      const job = await showRdsJob(service, jobId);
      const [listed] = (await listBackups(service, `backup_id=${id}`)).backups;
      assert.equal(listed?.begin_time, begin_time);
      if (job.status === 'Running') return false;
      assert.equal(job.status, 'Completed', job.fail_reason);
      assert.equal(listed?.status, 'COMPLETED');
      return true;
    });
    first = await showBackup(service, id);
    assert.ok(first.size > 0 && Number.isInteger(first.size));
    assert.equal(first.server_version.split('.')[0], '17');
  });

  test('a second backup after a small change stores little', async () => {
    await server.query("update orders set status = 'sent' where id <= 100");
    sumsOfSecond = await tableSums(server.url);
    assert.notDeepEqual(sumsOfSecond, sumsOfFirst);
    second = await backUp(service, instanceId, 'second-backup');
    const stored = [first, second].map(({ totals }) => totals?.stored_bytes ?? 0);
    assert.ok(Number(stored[1]) < Number(stored[0]) / 5, `stored ${stored.join(' and ')}`);
    assert.ok((second.totals?.logical_bytes ?? 0) >= (first.totals?.logical_bytes ?? 0) * 0.9);
  });

  test('the list has the newest first and both views agree', async () => {
    const listed = await listBackups(service, `instance_id=${instanceId}`);
    assert.deepEqual(
      listed.backups.map(({ id }) => id),
      [second.id, first.id],
    );
    const shown = await service.cli('backup', 'show', first.id, '--json');
    assert.deepEqual(shown.json<{ backup: BackupDetailWire }>().backup, first);
    assert.equal(first.taken?.kept_bytes, 0);
    for (const shownAs of [
      ['backup', 'show', first.id],
      ['job', 'show', first.job_id],
    ]) {
      const { stdout } = await service.cli(...shownAs);
      assert.match(
        stdout,
        /^taken: +.*\((?:pages|stream)\)\nbecause: +summarize_wal is off; .*no previous backup/m,
      );
    }
    const table = await service.cli('backup', 'list', '--instance', 'shop-server');
    assert.match(table.stdout, /^ID +NAME +TYPE +STATUS +SIZE +BEGAN +ENDED\n/);
    assert.match(table.stdout, new RegExp(`${second.id}.*\\n.*${first.id}`));
  });

  test('a restore to a new instance runs and holds the same rows', async () => {
    const { exitCode, stdout, stderr } = await service.cli(
      ...['restore', '--backup', first.id, '--new-instance', 'shop-copy', '--json'],
    );
    assert.equal(exitCode, 0, stdout + stderr);
    const { instance } = JSON.parse(stdout);
    assert.equal(instance.managed, true);
    assert.equal((await service.restoredServers()).length, 1);
    assert.deepEqual(await tableSums(atPort(server.url, instance.port)), sumsOfFirst);
    const refused = await service.cli('instance', 'remove', 'shop-copy', '--json');
    assert.equal(refused.exitCode, 2);
    assert.match(refused.json<{ error: { hint: string } }>().error.hint, /--yes/);
    assert.equal((await service.restoredServers()).length, 1);
  });

  test('a restored server can be backed up in its turn', async () => {
    const check = await service.cli('instance', 'check', 'shop-copy', '--json');
    assert.equal(check.exitCode, 0, check.stdout);
    const made = await service.cli(
      ...['backup', 'create', '--instance', 'shop-copy', '--name', 'copy-backup'],
      ...['--wait', '--json'],
    );
    assert.equal(made.exitCode, 0, made.stdout + made.stderr);
  });

  test('a restored server outlives the service and is removed by the next one', async () => {
    await service.restart();
    assert.equal((await service.restoredServers()).length, 1);
    const removed = await service.cli('instance', 'remove', 'shop-copy', '--yes', '--json');
    assert.equal(removed.exitCode, 0, removed.stdout + removed.stderr);
    assert.equal(removed.json<{ job: { status: string } }>().job.status, 'succeeded');
    assert.deepEqual(await service.restoredServers(), []);
  });

  test('a restarted service knows everything, tokens included', async () => {
    await service.restart();
    const listed = await listBackups(service, `instance_id=${instanceId}`);
    assert.deepEqual(
      listed.backups.map(({ id, status }) => [id, status]),
      [second, first].map(({ id }) => [id, 'COMPLETED']),
    );
    assert.deepEqual(await showBackup(service, first.id), first);
    assert.equal((await showRdsJob(service, first.job_id)).status, 'Completed');
    const check = await service.cli('instance', 'check', 'shop-server', '--json');
    assert.equal(check.exitCode, 0);
    assert.equal(check.json<{ ready: boolean }>().ready, true);
  });

  test('deleting the first backup leaves the second whole', async () => {
    const packs = objectsOf(repositoryDir(), first.id);
    assert.ok(packs.some((name) => name.includes('/packs/')));
    const deleted = await service.cli('backup', 'delete', first.id, '--wait', '--json');
    assert.equal(deleted.exitCode, 0, deleted.stdout + deleted.stderr);
    assert.deepEqual(deleted.json(), { backup_id: first.id, deleted: true });
    assert.deepEqual(await listBackups(service, `backup_id=${first.id}`), {
      backups: [],
      total_count: 0,
    });
    assert.ok(objectsOf(repositoryDir(), first.id).length < packs.length);
    const gone = await service.cli('backup', 'show', first.id, '--json');
    assert.equal(gone.exitCode, 3);
    const again = await service.request('DELETE', `/v3/{p}/backups/${first.id}`);
    assert.equal(again.status, 404);
  });

  test('another catalog may not use the repository', async () => {
    const kit = (await service.cli('key', 'export', '--json')).json<Kit>();
    const other = await runCairn(
      ['serve', '--data', join(service.folder, 'other'), '--listen', '127.0.0.1:0'],
      {
        environment: {
          ...service.environment,
          CAIRN_STORAGE: kit.storage,
          CAIRN_MASTER_KEY: kit.master_key,
        },
      },
    );
    assert.equal(other.exitCode, 4, other.stderr);
    assert.match(other.stderr, /belongs to another Cairn\n {2}give this Cairn a storage location/);
    await backUp(service, instanceId, 'third-backup');
  });

  test('a folder is restored with storage and key alone, and the server starts', async () => {
    const kit = (await service.cli('key', 'export', '--json')).json<Kit>();
    await service.kill('SIGTERM');
    const targetDir = join(service.folder, 'restored');
    const restored = await runCairn(
      ['restore', '--backup', second.id, '--to', targetDir, '--json'],
      { environment: { CAIRN_STORAGE: kit.storage, CAIRN_MASTER_KEY: kit.master_key } },
    );
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    const { dataDir, startCommands } = restored.json<FolderRestored>();
    assert.equal(dataDir, targetDir);
    assert.ok(startCommands.some((line) => line.includes(targetDir)));
    assert.deepEqual(await startAndSum(targetDir), sumsOfSecond);
    await rm(targetDir, { recursive: true, force: true });
    await service.start();
  });
});

type Kit = { readonly storage: string; readonly master_key: string };
type FolderRestored = { readonly dataDir: string; readonly startCommands: readonly string[] };

/** Starts a server on the folder as an operator would, and answers the sums of its tables. */
async function startAndSum(dataDir: string): Promise<Record<string, string>> {
  const identity = await findServerIdentity(null);
  const port = await findFreePort();
  if (identity) {
    const owner = `${identity.uid}:${identity.gid}`;
    await runCommand('chown', ['-R', owner, dataDir], { timeoutMs: 30_000 });
  }
  await chmod(dataDir, 0o700);
  const settings = `port = ${port}\nunix_socket_directories = '${dataDir}'\n`;
  const configPath = join(dataDir, 'postgresql.conf');
  await writeFile(configPath, (await readFile(configPath, 'utf8')) + settings);
  const options = { timeoutMs: 60_000, identity, cwd: dataDir };
  const control = (...args: string[]) =>
    runCommand(join(server.binDir, 'pg_ctl'), ['-D', dataDir, ...args], options);
  // Without a log file the server would keep the pipe that `runCommand` reads to its end.
  const started = await control('start', '-w', '-l', join(dataDir, 'start.log'));
  assert.equal(started.exitCode, 0, started.stdout);
  try {
    return await tableSums(atPort(server.url, port));
  } finally {
    await control('stop', '-m', 'immediate');
  }
}
