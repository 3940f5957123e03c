// Ctrl-C while a command waits for a job: the job goes on and is told of; `job cancel` ends it.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import type { JobDetailListWire } from '../../src/api/schema/job.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import type { GatedScene } from '../fixtures/gated-scene.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import { runCairn } from '../fixtures/service.ts';
import { listBackups, showJob, untilEnded, untilHeld } from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

let scene: GatedScene;
before(async () => {
  scene = await startGatedScene('16', { versions: ['16'] });
});
// Between the tests the backup must stay where it is.
after(async () => {
  scene.proxy.open();
  await scene[Symbol.asyncDispose]();
});

suite('a wait that is interrupted', () => {
  let jobId: string;

  test('leaves the job alone, and says where it is', async () => {
    const { service, proxy } = scene;
    proxy.close(middleBytes);
    let heard = '';
    const started = Promise.withResolvers<ChildProcess>();
    const args = ['backup', 'create', '--instance', 'shop-server', '--name', 'goes-on', '--wait'];
    const command = runCairn([...args, '--data', service.dataDir], {
      environment: service.environment,
      onStart: (child) => {
        child.stderr?.on('data', (text: string) => {
          heard += text;
        });
        started.resolve(child);
      },
    });
    jobId = await until('the backup has a job', async () => {
      const path = '/cairn/v1/{p}/jobs';
      const { jobs } = (await service.request<JobDetailListWire>('GET', path)).body;
      return jobs.find(({ kind }) => kind === 'backup')?.id;
    });
    await untilHeld(service, proxy, jobId);
    await until('the command waits', () => heard.includes('copying'));
    (await started.promise).kill('SIGINT');
    const result = await command;
    assert.equal(result.exitCode, exitCodes.cancelled, result.stderr);
    assert.match(result.stderr, new RegExp(`the job goes on: cairn job show ${jobId}`));
    assert.equal(result.stdout, '');
    assert.equal((await showJob(service, jobId)).status, 'running');
  });

  test('is ended for good by job cancel', async () => {
    const { service } = scene;
    const cancelled = await service.cli('job', 'cancel', jobId, '--wait');
    assert.equal(cancelled.exitCode, 0, cancelled.stderr);
    assert.equal(cancelled.stdout, `cancelled ${jobId}\n`);
    assert.equal((await untilEnded(service, jobId)).status, 'cancelled');
    const [backup] = (await listBackups(service, `instance_id=${scene.instanceId}`)).backups;
    assert.deepEqual([backup?.name, backup?.status], ['goes-on', 'FAILED']);
    // Twice is no error; what never was, and what has ended well, is.
    assert.equal((await service.cli('job', 'cancel', jobId)).exitCode, 0);
    const strange = await service.cli('job', 'cancel', '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9');
    assert.equal(strange.exitCode, exitCodes.notFound);
    scene.proxy.open();
    const created = ['backup', 'create', '--instance', 'shop-server', '--wait', '--json'];
    const done = await service.cli(...created);
    assert.equal(done.exitCode, 0, done.stderr);
    const { backup: whole } = done.json<{ backup: { job_id: string } }>();
    const late = await service.cli('job', 'cancel', whole.job_id, '--wait');
    assert.equal(late.exitCode, exitCodes.conflict, late.stderr);
    assert.match(late.stderr, /has ended: it succeeded/i);
  });
});
