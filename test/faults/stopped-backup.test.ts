// A backup that is told to stop in its middle: seconds later it is failed, the server is free of
// it, and nothing of it is left in the storage.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import type { GatedScene } from '../fixtures/gated-scene.ts';
import { startGatedScene } from '../fixtures/gated-scene.ts';
import { middleBytes } from '../fixtures/large-server.ts';
import {
  backUp,
  listBackups,
  objectsOf,
  requestBackup,
  showRdsJob,
  untilEnded,
  untilHeld,
} from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const soonMs = 5_000;

let scene: GatedScene;
before(async () => {
  // With checkpoints there is more to take away.
  const environment = { CAIRN_CHECKPOINT_MIB: '8' };
  scene = await startGatedScene('17', { versions: ['17'], environment });
});
afterEach(() => scene.proxy.open());
after(() => scene[Symbol.asyncDispose]());

suite('a backup stopped in its middle', () => {
  test('is failed within seconds, and the next one completes', async () => {
    const { service, proxy, server, instanceId } = scene;
    proxy.close(middleBytes);
    const { backupId, jobId } = await requestBackup(service, instanceId, 'to-be-stopped');
    await untilHeld(service, proxy, jobId);
    const path = `/v3/{p}/instances/${instanceId}/backups/stop`;
    const stopped = await service.request<{ job_id: string }>('POST', path);
    assert.equal(stopped.status, 200);
    assert.equal(stopped.body.job_id, jobId);
    const ended = await untilEnded(service, jobId, soonMs);
    assert.equal(ended.status, 'cancelled');
    const [backup] = (await listBackups(service, `backup_id=${backupId}`)).backups;
    assert.equal(backup?.status, 'FAILED');
    assert.notEqual(backup?.end_time, '');
    const job = await showRdsJob(service, jobId);
    assert.equal(job.status, 'Failed');
    assert.match(job.fail_reason ?? '', /cancelled/);
    assert.deepEqual(objectsOf(join(service.dataDir, 'repository'), backupId), []);
    proxy.open();
    await until('the server holds nothing for it', async () => {
      const [row] = await server.query(
        `select (select count(*) from pg_replication_slots)
           + (select count(*) from pg_stat_replication) as left`,
      );
      return Number(row?.['left']) === 0;
    });
    await backUp(service, instanceId, 'after-the-stop');
    const nothing = await service.request<{ error_code: string }>('POST', path);
    assert.deepEqual([nothing.status, nothing.body.error_code], [409, 'DBS.200402']);
  });
});
