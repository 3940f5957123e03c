// A service with a second storage: copies come by themselves, are told of, and are enough when the
// first storage is lost. Every test stands on the ones before it.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { BackupDetailWire, BackupListWire } from '../../src/api/schema/backup.ts';
import type { JobDetailListWire, JobDetailWire } from '../../src/api/schema/job.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { runCairn, startService } from '../fixtures/service.ts';
import { backUp, register } from '../fixtures/service-calls.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let folder: string;
let instanceId: string;
let first: BackupDetailWire;
let second: BackupDetailWire;
let masterKey: string;
let sums: Record<string, string>;

const offsiteDir = (): string => join(folder, 'offsite');
const offsiteUrl = (): string => pathToFileURL(offsiteDir()).href;
const repositoryDir = (): string => join(service.dataDir, 'repository');

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cairn-offsite-'));
  scene.defer(() => rm(folder, { recursive: true, force: true }));
  server = scene.use(await startPostgres({ version: '17' }));
  await server.query(
    'create table notes as select g, md5(g::text) from generate_series(1, 9999) g',
  );
  const environment = { CAIRN_OFFSITE_STORAGE: offsiteUrl(), CAIRN_OFFSITE_REGION: 'far' };
  service = scene.use(await startService({ versions: ['17'], environment }));
  masterKey = (await readFile(join(service.dataDir, 'master.key'), 'utf8')).trim();
  instanceId = await register(service, server.url);
  first = await backUp(service, instanceId, 'first');
});
after(() => scene.disposeAsync());

async function offsiteBackups(): Promise<BackupListWire> {
  const path = `/v3/{p}/offsite-backups?instance_id=${instanceId}`;
  const answer = await service.request<BackupListWire>('GET', path);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

async function copyJobs(): Promise<JobDetailWire[]> {
  const path = `/cairn/v1/{p}/jobs?instance_id=${instanceId}`;
  const { jobs } = (await service.request<JobDetailListWire>('GET', path)).body;
  return jobs.filter(({ kind }) => kind === 'copy-offsite');
}

async function untilCopied(id: string): Promise<void> {
  await until(`backup ${id} is off-site`, async () =>
    (await offsiteBackups()).backups.some((backup) => backup.id === id),
  );
}

suite('a service with a second storage', () => {
  test('copies nothing before it is asked to, and names the region that it has', async () => {
    assert.deepEqual(await offsiteBackups(), { backups: [], total_count: 0 });
    assert.match((await service.cli('doctor')).stdout, /warning +off-site storage/);
    const elsewhere = ['policy', 'offsite', 'shop-server', '--keep-days', '3', '--region', 'x'];
    const refused = await service.cli(...elsewhere, '--json');
    assert.equal(refused.exitCode, exitCodes.usage, refused.stdout);
    assert.match(refused.stdout, /region far/);
    assert.deepEqual(await copyJobs(), []);
  });

  test('copies what there is, and each backup that comes', async () => {
    const set = await service.cli('policy', 'offsite', 'shop-server', '--keep-days', '3');
    assert.equal(set.exitCode, 0, set.stdout + set.stderr);
    await untilCopied(first.id);
    await server.query("update notes set md5 = 'changed' where g > 5000");
    sums = await tableSums(server.url);
    second = await backUp(service, instanceId, 'second');
    await server.query('update notes set md5 = null');
    await untilCopied(second.id);
    const { backups } = await offsiteBackups();
    assert.deepEqual(
      backups.map(({ id, name, status }) => [id, name, status]),
      [
        [second.id, 'second', 'COMPLETED'],
        [first.id, 'first', 'COMPLETED'],
      ],
    );
    const [job] = await until('the job has ended', async () => {
      const jobs = await copyJobs();
      return jobs.every(({ ended }) => ended !== null) && jobs;
    });
    assert.equal(job?.status, 'succeeded');
    assert.equal(job.result?.kind, 'copy-offsite');
    assert.deepEqual([job.result.copied, job.result.present, job.result.failed], [1, 1, []]);
    const shown = await service.cli('policy', 'show', 'shop-server');
    assert.match(shown.stdout, /newest off-site copy: +\S+ second \(2 in all\)/);
    assert.match((await service.cli('doctor')).stdout, /ok +off-site storage: .*newest off-site/);
    const windows = `/v3/{p}/instances/${instanceId}/offsite-restore-time`;
    const times = await service.request<{ restore_time: unknown[] }>('GET', windows);
    assert.equal(times.body.restore_time.length, 2);
    type Instances = { offsite_backup_instances: Array<{ id: string; keep_days: number }> };
    const listed = await service.request<Instances>('GET', '/v3/backups/offsite-backup-instance');
    const [item] = listed.body.offsite_backup_instances;
    assert.deepEqual([item?.id, item?.keep_days], [instanceId, 3]);
  });

  test('verifies the copy, finds what is lost there, and puts it back', async () => {
    const sound = await service.cli('storage', 'copy', '--verify', '--json');
    assert.equal(sound.exitCode, 0, sound.stdout + sound.stderr);
    assert.deepEqual(sound.json<{ backups: number }>().backups, 2);
    for (const [named, exitCode] of [
      ['shop-server', exitCodes.ok],
      [instanceId, exitCodes.ok],
      ['shop', exitCodes.notFound],
    ] as const) {
      const one = await service.cli('storage', 'copy', '--verify', '--instance', named, '--json');
      assert.equal(one.exitCode, exitCode, one.stdout + one.stderr);
    }
    const packs = join('instances', instanceId, 'backups', first.id, 'packs');
    await rename(join(offsiteDir(), packs), join(folder, 'aside'));
    const lacking = await service.cli('storage', 'copy', '--verify');
    assert.equal(lacking.exitCode, exitCodes.failed, lacking.stdout);
    assert.match(lacking.stdout, /packs\/\S+ is missing/);
    const copied = await service.cli('storage', 'copy');
    assert.equal(copied.exitCode, 0, copied.stdout + copied.stderr);
    assert.match(copied.stdout, /backups copied: +0\n.*there before: +2\n/s);
    assert.equal((await service.cli('storage', 'copy', '--verify')).exitCode, 0);
  });

  test('a copy is no storage for a service, and no copy goes into the repository', async () => {
    const dataDir = join(folder, 'other');
    const environment = { CAIRN_STORAGE: offsiteUrl(), CAIRN_MASTER_KEY: masterKey };
    const served = await runCairn(['serve', '--data', dataDir, '--listen', '127.0.0.1:0'], {
      environment,
    });
    assert.equal(served.exitCode, exitCodes.conflict, served.stderr);
    assert.match(served.stderr, /is the copy of a repository[\s\S]*cairn storage promote/);
    const to = pathToFileURL(repositoryDir()).href;
    const itself = await service.cli('storage', 'copy', '--to', to, '--json');
    assert.equal(itself.exitCode, exitCodes.conflict, itself.stdout);
  });

  test('the second storage being away fails no backup, and is said', async () => {
    await rename(offsiteDir(), join(folder, 'away'));
    const third = await backUp(service, instanceId, 'third');
    assert.equal(third.status, 'COMPLETED');
    const failed = await until('the copy has failed', async () =>
      (await copyJobs()).find(({ status, error }) => status === 'failed' && error),
    );
    assert.match(failed.error?.message ?? '', /does not hold the copy of repository/);
    const shown = await service.cli('policy', 'show', 'shop-server');
    assert.match(shown.stdout, /newest off-site copy: +not known: The storage is not available/);
    await rm(offsiteDir(), { recursive: true, force: true });
    await rename(join(folder, 'away'), offsiteDir());
    const fourth = await backUp(service, instanceId, 'fourth');
    await untilCopied(fourth.id);
    // The newest goes first.
    await untilCopied(third.id);
    assert.equal((await offsiteBackups()).total_count, 4);
  });

  test('restores from the copy alone when the first storage is lost', async () => {
    await rm(repositoryDir(), { recursive: true });
    const environment = {
      ...service.environment,
      ...{ CAIRN_STORAGE: offsiteUrl(), CAIRN_MASTER_KEY: masterKey },
    };
    const checked = await runCairn(['check', '--read-data'], { environment });
    assert.equal(checked.exitCode, 0, checked.stdout + checked.stderr);
    const dataDir = join(folder, 'restored');
    const restored = await runCairn(
      ['restore', '--backup', second.id, '--to', dataDir, '--data', join(folder, 'nothing')],
      { environment },
    );
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    assert.equal((await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim(), '17');
  });

  test('and is promoted, to go on with the same catalog', async () => {
    await service.kill('SIGTERM');
    await cp(offsiteDir(), join(folder, 'promoted'), { recursive: true });
    const url = pathToFileURL(join(folder, 'promoted')).href;
    const environment = { ...service.environment, CAIRN_STORAGE: url };
    const args = ['--data', service.dataDir];
    const promoted = await runCairn(['storage', 'promote', ...args], { environment });
    assert.equal(promoted.exitCode, 0, promoted.stdout + promoted.stderr);
    const twice = await runCairn(['storage', 'promote', ...args], { environment });
    assert.equal(twice.exitCode, exitCodes.conflict, twice.stdout);
    const again = scene.use(
      await startService({ versions: ['17'], folder: service.folder, environment }),
    );
    const toInstance = ['restore', '--backup', second.id, '--new-instance', 'copy', '--json'];
    const restored = await again.cli(...toInstance);
    assert.equal(restored.exitCode, 0, restored.stdout + restored.stderr);
    const { instance } = restored.json<{ instance: { port: number; id: string } }>();
    assert.deepEqual(await tableSums(atPort(server.url, instance.port)), sums);
    assert.equal((await again.cli('instance', 'remove', instance.id, '--yes')).exitCode, 0);
    const fifth = await backUp(again, instanceId, 'fifth');
    assert.equal(fifth.status, 'COMPLETED');
    assert.ok((fifth.totals?.stored_bytes ?? 0) < (first.totals?.stored_bytes ?? 0));
  });
});
