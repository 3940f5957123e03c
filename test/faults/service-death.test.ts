// The service dies or is told to stop while a backup is being made: whatever happens to the
// processes, the backup ends, and no process outlives the service but the servers that it restored.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import type { GatedProxy } from '../fixtures/gated-proxy.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  hasManifest,
  register,
  requestBackup,
  showBackup,
  showJob,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const leaseMs = 120_000;
const stopMs = 10_000;
const goneMs = 15_000;

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let proxy: GatedProxy;
let service: TestService;
let instanceId: string;
let url: string;

before(async () => {
  const environment = { CAIRN_JOB_LEASE_MS: String(leaseMs) };
  const started = scene.use(await startGatedScene('17', { versions: ['17'], environment }));
  ({ proxy, service, instanceId, url } = started);
});
afterEach(() => proxy.open());
after(() => scene.disposeAsync());

async function assertCompleted(backupId: string, jobId: string): Promise<void> {
  const job = await untilEnded(service, jobId);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  const { status } = await showBackup(service, backupId);
  assert.equal(status, 'COMPLETED');
}

async function untilNoProcess(): Promise<void> {
  const look = async (): Promise<boolean> => (await service.processes()).length === 0;
  await until('no process of the service is left', look, goneMs);
}

suite('the service in the middle of a backup', () => {
  test('told to stop: it ends in time, and the backup is taken up again', async () => {
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'told-to-stop');
    await untilHeld(service, proxy, jobId);
    const beganMs = performance.now();
    assert.deepEqual(await service.kill('SIGTERM'), { code: 0, signal: null });
    assert.ok(performance.now() - beganMs < stopMs, 'it did not end in time');
    assert.deepEqual(await service.processes(), []);
    assert.equal(hasManifest(join(service.dataDir, 'repository'), backupId), false);
    await service.start();
    const again = await untilHeld(service, proxy, jobId);
    assert.equal(again.attempt, 1, 'stopping the service has cost the job an attempt');
    proxy.open();
    await assertCompleted(backupId, jobId);
  });

  test('interrupted from the terminal: workers, who hear it too, end the same way', async () => {
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'interrupted');
    await untilHeld(service, proxy, jobId);
    for (const pid of await service.workers()) process.kill(pid, 'SIGINT');
    assert.deepEqual(await service.kill('SIGINT'), { code: 0, signal: null });
    assert.deepEqual(await service.processes(), []);
    proxy.open();
    await service.start();
    await assertCompleted(backupId, jobId);
  });

  test('killed: its workers go away by themselves, and the backup is taken up again', async () => {
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'killed-service');
    await untilHeld(service, proxy, jobId);
    assert.ok((await service.workers()).length > 0);
    await service.kill('SIGKILL');
    await untilNoProcess();
    await service.start();
    proxy.open();
    await assertCompleted(backupId, jobId);
  });

  test('killed with its workers: the lease runs out, then the backup goes on', async () => {
    const shortLease = { CAIRN_JOB_LEASE_MS: '3000' };
    await using other = await startService({ versions: ['17'], environment: shortLease });
    const id = await register(other, url);
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(other, id, 'power-cut');
    await untilHeld(other, proxy, jobId);
    const pids = await other.workers();
    const killed = other.kill('SIGKILL');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await killed;
    await other.start();
    proxy.open();
    const job = await untilEnded(other, jobId);
    assert.deepEqual([job.status, job.attempt], ['succeeded', 2]);
    assert.equal((await showBackup(other, backupId)).status, 'COMPLETED');
  });

  test('killed right after the call was answered: nothing of the answer is lost', async () => {
    const { backupId, jobId } = await requestBackup(service, instanceId, 'hardly-answered');
    await service.kill('SIGKILL');
    await untilNoProcess();
    await service.start();
    assert.equal((await showJob(service, jobId)).backup_id, backupId);
    await assertCompleted(backupId, jobId);
  });
});
