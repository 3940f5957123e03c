// What the API says of archived log, and what it refuses to do with a stretch of it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ShownInstanceWire } from '../../src/api/schema/log-archive.ts';
import type { LogStreamId } from '../../src/model/ids.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { LogStream } from '../../src/model/log-stream.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import { completed, makeBackup } from '../fixtures/catalog-values.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const position = { engine: 'postgresql', timeline: 1, lsn: 0x3000028n } as const;

function makeStream(instance: Instance, changes: Partial<LogStream>): LogStream {
  const beganAt = new Date(scene.clock.now().getTime() - 60_000);
  return {
    id: `stream-${instance.id}` as LogStreamId,
    ...{ projectId: testProjectId, instanceId: instance.id, engine: 'postgresql' },
    ...{ systemIdentifier: '1', startPosition: position, keptFrom: position },
    ...{ beganAt, updatedAt: beganAt, state: { status: 'following' } },
    progress: { covered: null, closed: null, behindBytes: null, warning: null, trouble: null },
    ...changes,
  };
}

async function showArchive({ id }: Instance) {
  const answer = await scene.call('GET', scene.cairn(`/instances/${id}`));
  assert.equal(answer.statusCode, 200, answer.body);
  return answer.json<ShownInstanceWire>().log_archive;
}

describe('the log archive of an instance', () => {
  it('is null, waiting with its trouble, following with its numbers, or stopped', async () => {
    const instance = await scene.addInstance();
    assert.equal(await showArchive(instance), null);
    const job = await insertJob(scene, { kind: jobKinds.archiveLog, instanceId: instance.id });
    assert.equal((await showArchive(instance))?.status, 'waiting');
    const since = scene.clock.now();
    const told = { kind: 'engine-refused', message: 'no role', hint: 'grant it' } as const;
    const result = { trouble: { ...told, since: since.getTime() } };
    await scene.catalog.jobs.setResult(job.id, result);
    const waiting = await showArchive(instance);
    assert.deepEqual([waiting?.status, waiting?.trouble?.hint], ['waiting', 'grant it']);
    const coveredAt = new Date(since.getTime() - 4_000);
    const progress: LogStream['progress'] = {
      covered: { position, at: coveredAt },
      ...{ closed: null, behindBytes: 512, trouble: null },
      warning: { message: 'the slot is in danger', hint: 'make room' },
    };
    const stream = makeStream(instance, { progress });
    await scene.catalog.logStreams.insert(stream);
    const following = await showArchive(instance);
    assert.deepEqual(
      [following?.status, following?.behind_seconds, following?.behind_bytes],
      ['following', 4, 512],
    );
    assert.equal(following?.stored_position, 'postgresql:1:0/3000028');
    assert.equal(following?.warning?.hint, 'make room');
    assert.equal(following?.trouble, null);
    const state = { status: 'ended', cause: 'gap', endedAt: since, reason: 'slot lost' } as const;
    await scene.catalog.logStreams.setState(stream.id, state, since);
    await scene.catalog.jobs.requestCancel(job.id, since);
    const stopped = await showArchive(instance);
    assert.deepEqual([stopped?.status, stopped?.last_gap?.reason], ['stopped', 'slot lost']);
  });

  it('is no task that is listed unasked', async () => {
    const instance = await scene.addInstance();
    const job = await insertJob(scene, { kind: jobKinds.archiveLog, instanceId: instance.id });
    const list = async (query: string): Promise<number> => {
      const path = scene.rds(`/tasklist?instance_id=${instance.id}${query}`);
      return (await scene.call('GET', path)).json<{ total_count: number }>().total_count;
    };
    assert.equal(await list(''), 0);
    assert.equal(await list(`&id=${job.id}`), 1);
    assert.equal(await list('&name=ArchiveLog'), 1);
  });
});

describe('the interval of incremental backups', () => {
  it('is five minutes until a job sets it, within its range', async () => {
    const instance = await scene.addInstance();
    const path = scene.rds(`/instances/${instance.id}/incre-backup/policy`);
    const shown = await scene.call('GET', path);
    assert.deepEqual(shown.json(), { incre_backup_policy: { interval: 5 } });
    for (const interval of [0, 61, -1, 1.5, 'x']) {
      const body = { incre_backup_policy: { interval } };
      const refused = await scene.call('PUT', path, { body });
      assert.equal(refused.statusCode, 400, String(interval));
      assert.equal(refused.json<{ error_code: string }>().error_code, 'DBS.280001');
    }
    const body = { incre_backup_policy: { interval: '15' } };
    const answer = await scene.call('PUT', path, { body });
    assert.equal(answer.statusCode, 200, answer.body);
    const { job_id: jobId } = answer.json<{ job_id: string }>();
    const job = await scene.call('GET', scene.rds(`/jobs?id=${jobId}`));
    assert.equal(job.json<{ job: { status: string } }>().job.status, 'Running');
    const unknown = path.replace(instance.id, `${'0'.repeat(32)}in03`);
    assert.equal((await scene.call('GET', unknown)).statusCode, 404);
    const token = await scene.tokenFor('operator');
    assert.equal((await scene.call('PUT', path, { body, token })).statusCode, 403);
  });
});

describe('an incremental backup', () => {
  it('is listed, and neither deleted, downloaded nor restored by itself', async () => {
    const instance = await scene.addInstance();
    const { name: instanceName, id: instanceId } = instance;
    const stretch = makeBackup({
      ...{ instanceId, instanceName, type: 'incremental', state: completed(1_700_000_300_000) },
    });
    await scene.catalog.intervals.insert(stretch, 'stream' as LogStreamId);
    await scene.addBackup(instance, { state: completed(1_700_000_300_000) });
    const list = async (query: string): Promise<number> => {
      const path = scene.rds(`/backups?instance_id=${instanceId}${query}`);
      return (await scene.call('GET', path)).json<{ total_count: number }>().total_count;
    };
    assert.equal(await list('&backup_type=incremental'), 1);
    assert.equal(await list(''), 2);
    const deleted = await scene.call('DELETE', scene.rds(`/backups/${stretch.id}`));
    assert.equal(deleted.statusCode, 409);
    const download = await scene.call('GET', scene.rds(`/backup-files?backup_id=${stretch.id}`));
    assert.deepEqual(
      [download.statusCode, download.json<{ error_code: string }>().error_code],
      [400, 'DBS.201207'],
    );
    const restore_point = { instance_id: instanceId, type: 'backup', backup_id: stretch.id };
    const restored = await scene.call('POST', scene.rds('/instances'), {
      body: { name: 'restored', restore_point },
    });
    assert.deepEqual(
      [restored.statusCode, restored.json<{ error_code: string }>().error_code],
      [400, 'DBS.201207'],
    );
    // Also when its instance is gone: it goes with the rest of the log.
    await scene.catalog.instances.delete(instance.id);
    const again = await scene.call('DELETE', scene.rds(`/backups/${stretch.id}`));
    assert.equal(again.statusCode, 409);
  });
});
