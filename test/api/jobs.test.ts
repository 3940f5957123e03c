import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { JobId } from '../../src/model/ids.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { Job } from '../../src/model/job.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

let backups = 0;

async function beginBackup(): Promise<{ instance: Instance; backupId: string; jobId: JobId }> {
  const instance = await scene.addInstance();
  const body = { instance_id: instance.id, name: `for-jobs-${++backups}` };
  const response = await scene.call('POST', scene.rds('/backups'), { body });
  return { instance, backupId: response.json().backup.id, jobId: response.json().job_id };
}

/** As a worker would, from the oldest on, until it has the wanted one. */
async function claim(id: JobId): Promise<Job> {
  for (;;) {
    const job = await scene.catalog.jobs.claim({
      owner: 'worker',
      pools: ['default'],
      conflicts: {},
      now: scene.clock.now(),
      leaseExpiresAt: new Date(scene.clock.now().getTime() + 30_000),
    });
    assert.ok(job, 'a job to claim');
    if (job.id === id) return job;
  }
}

const leaseOf = ({ id, fence }: Job) => ({ jobId: id, owner: 'worker', fence });
const show = async (id: string) =>
  (await scene.call('GET', scene.rds(`/jobs?id=${id}`))).json().job;
const detail = async (id: string) =>
  (await scene.call('GET', scene.cairn(`/jobs/${id}`))).json().job;

describe('a job', () => {
  test('is running from the moment it was asked for, and says how far it is', async () => {
    const { instance, backupId, jobId } = await beginBackup();
    assert.deepEqual(await show(jobId), {
      id: jobId,
      name: 'CreateBackup',
      status: 'Running',
      created: '2030-01-01T00:00:00+0000',
      process: '0%',
      instance: { id: instance.id, name: instance.name },
      entities: {},
    });
    assert.equal((await detail(jobId)).status, 'queued');
    const lease = leaseOf(await claim(jobId));
    const progress = { phase: 'reading', doneBytes: 60, totalBytes: 100, bytesPerSecond: 12.5 };
    await scene.catalog.jobs.renew(lease, scene.clock.now(), progress);
    assert.equal((await show(jobId)).process, '60%');
    const shown = await detail(jobId);
    assert.equal(shown.status, 'running');
    assert.equal(shown.attempt, 1);
    assert.equal(shown.backup_id, backupId);
    assert.deepEqual(shown.progress, {
      phase: 'reading',
      done_bytes: 60,
      total_bytes: 100,
      bytes_per_second: 13,
    });
    const over = { ...progress, doneBytes: 150 };
    await scene.catalog.jobs.renew(lease, scene.clock.now(), over);
    assert.equal((await show(jobId)).process, '99%');
  });
  test('ends as completed', async () => {
    const { jobId } = await beginBackup();
    const lease = leaseOf(await claim(jobId));
    await scene.catalog.jobs.end(lease, { status: 'succeeded' }, scene.clock.now());
    const job = await show(jobId);
    assert.equal(job.status, 'Completed');
    assert.equal(job.ended, '2030-01-01T00:00:00+0000');
    assert.equal(job.process, '');
    assert.equal(job.fail_reason, undefined);
  });
  test('ends as failed, with the reason', async () => {
    const { jobId } = await beginBackup();
    const lease = leaseOf(await claim(jobId));
    const error = { kind: 'storage-full', message: 'no space left', hint: 'make room' } as const;
    await scene.catalog.jobs.end(lease, { status: 'failed', error }, scene.clock.now());
    const job = await show(jobId);
    assert.equal(job.status, 'Failed');
    assert.equal(job.fail_reason, 'no space left; make room');
    assert.deepEqual((await detail(jobId)).error, error);
  });
  test('that is unknown is 400 with the documented code', async () => {
    for (const path of [
      scene.rds('/jobs?id=unknown'),
      scene.rds('/jobs?id=a.b'),
      scene.cairn('/jobs/unknown'),
    ]) {
      const response = await scene.call('GET', path);
      assert.equal(response.statusCode, 400);
      assert.equal(response.json().error_code, 'DBS.200543');
    }
    const nameless = await scene.call('GET', scene.rds('/jobs?skip_cache=True'));
    assert.equal(nameless.json().error_code, 'DBS.280001');
  });
});

describe('the list of jobs', () => {
  test('is newest first, filtered and paged', async () => {
    const { instance, jobId } = await beginBackup();
    await scene.clock.advance(1000);
    const { jobId: newer } = await beginBackup();
    const list = await scene.call('GET', scene.cairn('/jobs?limit=1'));
    assert.equal(list.json().jobs[0].id, newer);
    assert.ok(list.json().total_count > 1);
    const own = await scene.call('GET', scene.cairn(`/jobs?instance_id=${instance.id}`));
    assert.deepEqual(
      own.json().jobs.map((job: { id: string }) => job.id),
      [jobId],
    );
  });
});

describe('cancelling', () => {
  const cancel = async (id: string) => await scene.call('POST', scene.cairn(`/jobs/${id}/cancel`));

  test('ends a job that waits, marks its backup, and frees the instance', async () => {
    const { instance, backupId, jobId } = await beginBackup();
    const response = await cancel(jobId);
    assert.equal(response.statusCode, 200, response.body);
    assert.equal(response.json().job.status, 'cancelled');
    assert.equal((await cancel(jobId)).statusCode, 200);
    assert.equal((await show(jobId)).status, 'Failed');
    const backup = (await scene.call('GET', scene.cairn(`/backups/${backupId}`))).json().backup;
    assert.equal(backup.status, 'FAILED');
    assert.match(backup.failure_reason, /cancelled/);
    const body = { instance_id: instance.id, name: 'after-cancel' };
    assert.equal((await scene.call('POST', scene.rds('/backups'), { body })).statusCode, 200);
  });
  test('marks the instance that a waiting restore was to build', async () => {
    const source = await scene.addInstance();
    const backup = await scene.addBackup(source);
    const restore_point = { instance_id: source.id, backup_id: backup.id };
    const restore = await scene.call('POST', scene.rds('/instances'), {
      body: { name: 'never-built', restore_point },
    });
    await cancel(restore.json().job_id);
    const path = scene.cairn(`/instances/${restore.json().instance.id}`);
    const { instance } = (await scene.call('GET', path)).json();
    assert.equal(instance.status, 'create-failed');
  });
  test('asks a running job to stop', async () => {
    const { jobId } = await beginBackup();
    await claim(jobId);
    const response = await cancel(jobId);
    assert.equal(response.json().job.status, 'running');
    assert.equal(response.json().job.cancel_requested, true);
  });
  test('refuses deletions, jobs that have ended, and unknown ones', async () => {
    const instance = await scene.addInstance();
    const removal = await scene.call('DELETE', scene.rds(`/instances/${instance.id}`));
    assert.equal((await cancel(removal.json().job_id)).json().error_code, 'DBS.200402');
    const { jobId } = await beginBackup();
    const lease = leaseOf(await claim(jobId));
    await scene.catalog.jobs.end(lease, { status: 'succeeded' }, scene.clock.now());
    assert.equal((await cancel(jobId)).statusCode, 409);
    assert.equal((await cancel('unknown')).json().error_code, 'DBS.200543');
  });
});
