// Workers that die in the middle of a backup, by `kill -9`: nothing that they leave behind may
// count, and nobody may have to wait for what a dead process held.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import type { GatedProxy } from '../fixtures/gated-proxy.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  backUp,
  hasManifest,
  objectsOf,
  register,
  requestBackup,
  showBackup,
  showJob,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

/** So long that a test which waited for it would fail by its deadline. */
const leaseMs = 120_000;
const soonMs = 30_000;

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let proxy: GatedProxy;
let service: TestService;
let instanceId: string;
let url: string;
let failedId: string;

const repositoryDir = (): string => join(service.dataDir, 'repository');

before(async () => {
  const environment = { CAIRN_JOB_LEASE_MS: String(leaseMs) };
  ({ proxy, service, instanceId, url } = scene.use(await startGatedScene('16', { environment })));
});
afterEach(() => proxy.open());
after(() => scene.disposeAsync());

/** Kills the only worker and answers when another one has taken its place. */
async function killWorker(): Promise<void> {
  const [pid] = await until('a worker runs', async () => {
    const pids = await service.workers();
    return pids.length === 1 ? pids : null;
  });
  process.kill(Number(pid), 'SIGKILL');
  await until('another worker runs', async () => {
    const pids = await service.workers();
    return pids.length === 1 && pids[0] !== pid;
  });
}

/** Each attempt stores packs under names of its own. */
async function untilPacksStored(backupId: string, count: number): Promise<void> {
  await until(`${count} packs of the backup are stored`, () => {
    const packs = objectsOf(repositoryDir(), backupId).filter((name) => name.includes('/packs/'));
    return packs.length >= count;
  });
}

suite('a worker killed in the middle of a backup', () => {
  test('in every attempt: job and backup fail with the reason, the instance is free', async () => {
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'killed-always');
    const { attempts_max: attemptsMax } = await showJob(service, jobId);
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      await untilHeld(service, proxy, jobId, attempt);
      await untilPacksStored(backupId, attempt);
      await killWorker();
    }
    const job = await untilEnded(service, jobId, soonMs);
    assert.equal(job.status, 'failed');
    assert.equal(job.error?.kind, 'conflict');
    assert.match(job.error?.message ?? '', /worker stopped while the job ran \(attempt 3 of 3\)/);
    const backup = await showBackup(service, backupId);
    assert.equal(backup.status, 'FAILED');
    assert.ok(backup.failure_reason?.startsWith(job.error?.message ?? '?'), 'another reason');
    assert.notEqual(backup.end_time, '');
    assert.equal(hasManifest(repositoryDir(), backupId), false);
    failedId = backupId;
    proxy.open();
    await backUp(service, instanceId, 'after-failed');
  });

  test('what a failed backup left is deleted with it', async () => {
    assert.notDeepEqual(objectsOf(repositoryDir(), failedId), [], 'nothing was left to delete');
    const deleted = await service.cli('backup', 'delete', failedId, '--wait');
    assert.equal(deleted.exitCode, 0, deleted.stderr);
    assert.deepEqual(objectsOf(repositoryDir(), failedId), []);
  });

  test('once: the next attempt completes, long before the lease runs out', async () => {
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'killed-once');
    await untilHeld(service, proxy, jobId, 1);
    await killWorker();
    const killedMs = performance.now();
    assert.equal(hasManifest(repositoryDir(), backupId), false);
    await untilHeld(service, proxy, jobId, 2);
    assert.ok(performance.now() - killedMs < soonMs, 'the dead worker was waited for');
    proxy.open();
    const job = await untilEnded(service, jobId);
    assert.deepEqual([job.status, job.attempt], ['succeeded', 2]);
    assert.equal((await showBackup(service, backupId)).status, 'COMPLETED');
    assert.equal(hasManifest(repositoryDir(), backupId), true);
  });
});

suite('a worker of its own, without a supervisor', () => {
  test('is replaced by another when its lease has run out', async () => {
    const ownLeaseMs = 3_000;
    await using lone = await startService({
      serveArgs: ['--workers', '0'],
      environment: { CAIRN_JOB_LEASE_MS: String(ownLeaseMs) },
    });
    const id = await register(lone, url);
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(lone, id, 'two-workers');
    const first = startWorker(lone);
    await untilHeld(lone, proxy, jobId, 1);
    first.kill('SIGKILL');
    const second = startWorker(lone);
    await untilHeld(lone, proxy, jobId, 2);
    proxy.open();
    assert.equal((await untilEnded(lone, jobId)).status, 'succeeded');
    assert.equal((await showBackup(lone, backupId)).status, 'COMPLETED');
    second.kill('SIGTERM');
    const exit = await until('the worker has ended', () => second.exitCode !== null && second);
    assert.equal(exit.exitCode, 0);
  });
});

function startWorker({ dataDir, environment }: TestService): ChildProcess {
  const program = resolve(import.meta.dirname, '../../cairn');
  return spawn(program, ['worker', '--data', dataDir], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: 'ignore',
  });
}
