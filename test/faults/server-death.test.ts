// The database server or the way to it fails in the middle of a backup, or somebody cancels it
// while the line stands still: the job ends soon and says why, and neither side keeps anything of
// it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import type { JobDetailWire } from '../../src/api/schema/job.ts';
import type { GatedProxy } from '../fixtures/gated-proxy.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import type { Requested } from '../fixtures/service-calls.ts';
import {
  backUp,
  objectsOf,
  requestBackup,
  showBackup,
  showRdsJob,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

/** Two seconds are promised; the rest is for two cores that others use too. */
const cancelMs = 4_000;
const soonMs = 20_000;

/** Everything that must be gone at the end, whatever fails on the way. */
const scene = new AsyncDisposableStack();
let server: TestServer;
let proxy: GatedProxy;
let service: TestService;
let instanceId: string;

before(async () => {
  const started = scene.use(await startGatedScene('18', { versions: ['18'] }));
  ({ server, proxy, service, instanceId } = started);
});
afterEach(() => proxy.open());
after(() => scene.disposeAsync());

/** Asks for a backup and answers when it stands still in the middle. */
async function beginBackup(name: string): Promise<Requested> {
  proxy.close(middleBytes);
  const requested = await requestBackup(service, instanceId, name);
  await untilHeld(service, proxy, requested.jobId);
  return requested;
}

/** Job and backup have failed with one reason, and the repository holds nothing of it. */
async function assertFailed(
  { backupId, jobId }: Requested,
  reason: RegExp,
): Promise<JobDetailWire> {
  const job = await untilEnded(service, jobId, soonMs);
  assert.match(job.error?.message ?? '', reason);
  const backup = await showBackup(service, backupId);
  assert.equal(backup.status, 'FAILED');
  assert.ok(backup.failure_reason?.startsWith(job.error?.message ?? '?'), 'another reason');
  const rdsJob = await showRdsJob(service, jobId);
  assert.equal(rdsJob.status, 'Failed');
  assert.match(rdsJob.fail_reason ?? '', reason);
  assert.deepEqual(objectsOf(join(service.dataDir, 'repository'), backupId), []);
  return job;
}

/** No sender streams any more and no slot keeps WAL. */
async function untilServerIsFree(): Promise<void> {
  await until('the server is rid of the backup', async () => {
    const [row] = await server.query(
      `select (select count(*) from pg_stat_replication) +
        (select count(*) from pg_replication_slots) as left`,
    );
    return Number(row?.['left']) === 0;
  });
}

suite('the server in the middle of a backup', () => {
  test('cancelled while the line stands still: it ends and lets the server go', async () => {
    const requested = await beginBackup('cancelled');
    const beganMs = performance.now();
    const path = `/cairn/v1/{p}/jobs/${requested.jobId}/cancel`;
    assert.equal((await service.request('POST', path)).status, 200);
    assert.equal((await untilEnded(service, requested.jobId)).status, 'cancelled');
    const spanMs = performance.now() - beganMs;
    assert.ok(spanMs < cancelMs, `the cancel took ${Math.round(spanMs)} ms`);
    const job = await assertFailed(requested, /cancelled on request/);
    assert.equal(job.attempt, 1);
    await untilServerIsFree();
    proxy.open();
    await backUp(service, instanceId, 'after-cancel');
  });

  test('the connection breaks once: the next attempt completes', async () => {
    const { jobId, backupId } = await beginBackup('broken-line');
    proxy.cut();
    await untilHeld(service, proxy, jobId, 2);
    proxy.open();
    assert.equal((await untilEnded(service, jobId)).status, 'succeeded');
    assert.equal((await showBackup(service, backupId)).status, 'COMPLETED');
    await untilServerIsFree();
  });

  test('an administrator ends the sender: the next attempt completes', async () => {
    const { jobId } = await beginBackup('ended-sender');
    const ended = await server.query('select pg_terminate_backend(pid) from pg_stat_replication');
    assert.equal(ended.length, 1);
    proxy.open();
    const job = await untilEnded(service, jobId);
    assert.deepEqual([job.status, job.attempt], ['succeeded', 2]);
  });

  test('the server crashes and stays away: a clear reason; then a backup works', async () => {
    await server.query("update orders set status = 'crash' where id < 50");
    const requested = await beginBackup('crashed');
    await server.crash();
    proxy.open();
    const { status, attempt, error } = await assertFailed(
      requested,
      new RegExp(`127\\.0\\.0\\.1:${proxy.port}`),
    );
    assert.deepEqual([status, attempt, error?.kind], ['failed', 3, 'engine-unreachable']);
    assert.ok(error?.hint, 'it does not say what to do');
    const check = await service.cli('instance', 'check', 'shop-server', '--json');
    assert.equal(check.exitCode, 6);
    await server.start();
    await backUp(service, instanceId, 'after-crash');
  });
});
