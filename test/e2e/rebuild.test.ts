// The machine with the service is lost. On an empty one, storage and master key bring everything
// back that the backups tell of.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { BackupDetailWire } from '../../src/api/schema/backup.ts';
import type { RegisteredInstanceListWire } from '../../src/api/schema/registered-instance.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { runCairn, startService, TestService } from '../fixtures/service.ts';
import {
  backUp,
  listBackups,
  register,
  showBackup,
  untilEnded,
} from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let lost: TestService;
let rebuilt: TestService;
let instanceId: string;
let first: BackupDetailWire;
let second: BackupDetailWire;
let sums: Record<string, string>;

before(async () => {
  server = scene.use(await startPostgres({ version: '17' }));
  await server.query(
    'create table notes as select g, md5(g::text) from generate_series(1, 9999) g',
  );
  lost = scene.use(await startService({ versions: ['17'] }));
  instanceId = await register(lost, server.url);
  first = await backUp(lost, instanceId, 'first');
  await server.query("update notes set md5 = 'changed' where g > 5000");
  sums = await tableSums(server.url);
  second = await backUp(lost, instanceId, 'second');
  rebuilt = scene.use(await openEmptyMachine());
});
after(() => scene.disposeAsync());

async function openEmptyMachine(): Promise<TestService> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-rebuilt-'));
  await chmod(folder, 0o711);
  const key = await readFile(join(lost.dataDir, 'master.key'), 'utf8');
  return new TestService(folder, {
    serveArgs: [],
    environment: {
      ...lost.environment,
      CAIRN_STORAGE: pathToFileURL(join(lost.dataDir, 'repository')).href,
      CAIRN_MASTER_KEY: key.trim(),
    },
  });
}

type Rebuilt = { readonly backups: number; readonly known_backups: number };

suite('cairn catalog rebuild', () => {
  test('refuses while another Cairn owns the storage', async () => {
    const refused = await rebuilt.cli('catalog', 'rebuild', '--json');
    assert.equal(refused.exitCode, exitCodes.conflict, refused.stdout);
    assert.match(refused.stdout, /--take-over/);
    const again = await backUp(lost, instanceId, 'unharmed');
    assert.equal(again.status, 'COMPLETED');
    const deleted = await lost.cli('backup', 'delete', again.id, '--wait');
    assert.equal(deleted.exitCode, 0, deleted.stderr);
  });

  test('takes over, shuts the old Cairn out, and can be repeated', async () => {
    const taken = await rebuilt.cli('catalog', 'rebuild', '--take-over', '--json');
    assert.equal(taken.exitCode, 0, taken.stdout + taken.stderr);
    assert.equal(taken.json<Rebuilt>().backups, 2);
    const body = { instance_id: instanceId, name: 'too-late' };
    const late = await lost.request<{ job_id: string }>('POST', '/v3/{p}/backups', body);
    const job = await untilEnded(lost, late.body.job_id);
    assert.equal(job.status, 'failed');
    assert.match(job.error?.message ?? '', /belongs to another Cairn/);
    await lost.kill('SIGTERM');
    await assert.rejects(lost.start(), /belongs to another Cairn/);
    const again = (await rebuilt.cli('catalog', 'rebuild', '--json')).json<Rebuilt>();
    assert.deepEqual([again.backups, again.known_backups], [0, 2]);
  });

  test('has every backup as it was', async () => {
    await rebuilt.start();
    assert.equal((await listBackups(rebuilt, `instance_id=${instanceId}`)).total_count, 2);
    // Jobs, and what they told, are gone with the old catalog.
    for (const { job_id: _, ...before } of [first, second]) {
      const { job_id: __, ...now } = await showBackup(rebuilt, before.id);
      assert.deepEqual(now, { ...before, taken: null });
    }
  });

  test('restores to a folder, to a new instance, and downloads', async () => {
    const folder = join(rebuilt.folder, 'restored');
    const toFolder = await rebuilt.cli('restore', '--backup', second.id, '--to', folder);
    assert.equal(toFolder.exitCode, 0, toFolder.stderr);
    const args = ['restore', '--backup', second.id, '--new-instance', 'copy', '--json'];
    const restored = await rebuilt.cli(...args);
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    const { instance } = restored.json<{ instance: { port: number; id: string } }>();
    assert.deepEqual(await tableSums(atPort(server.url, instance.port)), sums);
    const removed = await rebuilt.cli('instance', 'remove', instance.id, '--yes');
    assert.equal(removed.exitCode, 0, removed.stderr);
    const path = join(rebuilt.folder, 'first.tar.zst');
    const loaded = await rebuilt.cli('backup', 'download', first.id, '--to', path);
    assert.equal(loaded.exitCode, 0, loaded.stdout + loaded.stderr);
    assert.ok((await readFile(path)).byteLength > 100_000);
    await rm(folder, { recursive: true });
  });

  test('backs up again once the address is given, and stores only what is new', async () => {
    const path = '/cairn/v1/{p}/instances?name=shop-server';
    const answer = await rebuilt.request<RegisteredInstanceListWire>('GET', path);
    const [instance] = answer.body.instances;
    assert.equal(instance?.id, instanceId);
    assert.equal(instance.status, 'failed');
    assert.match(instance.failure_reason ?? '', /cairn instance update/);
    const early = await rebuilt.cli('backup', 'create', '--instance', instanceId, '--json');
    assert.notEqual(early.exitCode, 0);
    const updated = await rebuilt.cli('instance', 'update', 'shop-server', '--url', server.url);
    assert.equal(updated.exitCode, 0, updated.stdout + updated.stderr);
    const third = await backUp(rebuilt, instanceId, 'third');
    const [before = 0, now = 0] = [first.totals?.stored_bytes, third.totals?.stored_bytes];
    assert.ok(now > 0 && now < before / 2, `${now} B after ${before} B`);
  });

  test('deletes, prunes and checks', async () => {
    const deleted = await rebuilt.cli('backup', 'delete', first.id, '--wait');
    assert.equal(deleted.exitCode, 0, deleted.stderr);
    assert.equal((await rebuilt.cli('prune')).exitCode, 0);
    const checked = await rebuilt.cli('check', '--read-data');
    assert.equal(checked.exitCode, 0, checked.stdout);
    assert.match(checked.stdout, /backups: +2\n/);
  });
});

suite('a catalog with a repository of its own', () => {
  test('takes no other over', async () => {
    await using other = await startService();
    const environment = {
      ...rebuilt.environment,
      CAIRN_STORAGE: pathToFileURL(join(other.dataDir, 'repository')).href,
      CAIRN_MASTER_KEY: (await readFile(join(other.dataDir, 'master.key'), 'utf8')).trim(),
    };
    const args = ['catalog', 'rebuild', '--take-over', '--data', rebuilt.dataDir, '--json'];
    const refused = await runCairn(args, { environment });
    assert.equal(refused.exitCode, exitCodes.conflict, refused.stdout);
    assert.match(refused.stdout, /needs a catalog of its own/);
    assert.equal(existsSync(join(other.dataDir, 'repository', 'owners')), false);
  });
});

suite('the recovery kit', () => {
  test('goes to paper and back, and says which line is wrong', async () => {
    const kit = await rebuilt.cli('key', 'export');
    assert.equal(kit.exitCode, 0, kit.stderr);
    assert.match(kit.stdout, /repository: {2}[0-9a-f]{32}\n/);
    const key = rebuilt.environment['CAIRN_MASTER_KEY'] ?? '';
    const { CAIRN_MASTER_KEY: _, ...environment } = rebuilt.environment;
    const dataDir = join(rebuilt.folder, 'imported');
    const put = (input: string) =>
      runCairn(['key', 'import', '--data', dataDir, '--json'], { environment, input });
    const wrong = await put(kit.stdout.replace(/- (....)\n {4}4/, '- 0000\n    4'));
    assert.equal(wrong.exitCode, exitCodes.usage, wrong.stdout);
    assert.match(wrong.stdout, /line 3 of the master key has a wrong checksum/);
    const other = await put('ab'.repeat(32));
    assert.equal(other.exitCode, exitCodes.usage);
    assert.match(other.stdout, /sealed with another master key/);
    assert.equal(existsSync(dataDir), false, 'nothing is written that does not open');
    const done = await put(kit.stdout);
    assert.equal(done.exitCode, 0, done.stdout + done.stderr);
    assert.equal((await readFile(join(dataDir, 'master.key'), 'utf8')).trim(), key);
    assert.equal((await stat(join(dataDir, 'master.key'))).mode & 0o777, 0o600);
    assert.equal((await put(key)).json<{ new: boolean }>().new, false);
    const checked = await runCairn(['check', '--data', dataDir], { environment });
    assert.equal(checked.exitCode, 0, checked.stdout + checked.stderr);
    for (const log of [rebuilt.log, lost.log]) assert.ok(!log.includes(key));
  });
});
