import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { JobId } from '../../src/model/ids.ts';
import type { PruneReport } from '../../src/operations/prune/prune-report.ts';
import { someInstanceId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

async function ask(path: string, body: unknown) {
  return await scene.call('POST', scene.cairn(path), { body });
}

const detail = async (id: string) =>
  (await scene.call('GET', scene.cairn(`/jobs/${id}`))).json().job;

describe('a prune', () => {
  test('is one job for each instance with backups, and one that looks for strangers', async () => {
    const instance = await scene.addInstance();
    await scene.addBackup(instance);
    const gone = await scene.addInstance();
    await scene.addBackup(gone);
    await scene.catalog.instances.delete(gone.id);
    await scene.addInstance({ name: 'never-backed-up' });
    const answer = await ask('/prune', {});
    assert.equal(answer.statusCode, 202, answer.body);
    const { jobs } = answer.json();
    const ids = jobs.map((job: { instance_id: string | null }) => job.instance_id);
    assert.deepEqual(ids, [...[instance.id, gone.id].sort(), null]);
    assert.equal((await detail(jobs[0].job_id)).kind, 'prune');
    assert.equal((await detail(jobs[2].job_id)).kind, 'plan-prune');
    assert.deepEqual((await ask('/prune', {})).json(), answer.json(), 'asked for again');
  });

  test('of one instance is one job; a dry run is a job of its own', async () => {
    const instance = await scene.addInstance();
    const real = (await ask('/prune', { instance_id: instance.id })).json();
    const dry = (await ask('/prune', { instance_id: instance.id, dry_run: true })).json();
    assert.equal(real.jobs.length, 1);
    assert.equal((await detail(real.jobs[0].job_id)).kind, 'prune');
    assert.equal((await detail(dry.jobs[0].job_id)).kind, 'plan-prune');
  });

  test('of an instance that nobody knows is refused', async () => {
    const unknown = await ask('/prune', { instance_id: someInstanceId() });
    assert.equal(unknown.statusCode, 404, unknown.body);
    const malformed = await ask('/prune', { instance_id: '../..' });
    assert.equal(malformed.statusCode, 400, malformed.body);
    const other = (await ask('/prune', { dry_run: 'yes' })).statusCode;
    assert.equal(other, 400);
  });

  test('says what it has found', async () => {
    const instance = await scene.addInstance();
    const { jobs } = (await ask('/prune', { instance_id: instance.id })).json();
    const id: JobId = jobs[0].job_id;
    assert.equal((await detail(id)).result, null);
    const report: PruneReport = {
      ...{ kind: 'prune', dryRun: false, graceMs: 7_200_000 },
      removed: { count: 2, bytes: 2 ** 40 },
      waiting: { count: 1, bytes: 3 },
      kept: { count: 0, bytes: 0 },
      foreign: { count: 1, bytes: 9, names: ['instances/x/notes'] },
      orphans: [{ backupId: 'b' as never, status: 'failed', removed: true }],
    };
    await scene.catalog.jobs.setResult(id, report);
    assert.deepEqual((await detail(id)).result, {
      ...{ kind: 'prune', dry_run: false, grace_hours: 2 },
      removed: { count: 2, bytes: 2 ** 40 },
      waiting: { count: 1, bytes: 3 },
      kept: { count: 0, bytes: 0 },
      foreign: { count: 1, bytes: 9, names: ['instances/x/notes'] },
      orphans: [{ backup_id: 'b', status: 'failed', removed: true }],
    });
    const instanceIds = ['a', 'b'];
    await scene.catalog.jobs.setResult(id, { kind: 'unknown-instances', instanceIds });
    const result = { kind: 'unknown-instances', instance_ids: instanceIds };
    assert.deepEqual((await detail(id)).result, result);
    const listed = await scene.call('GET', scene.cairn(`/jobs?instance_id=${instance.id}`));
    assert.deepEqual(listed.json().jobs[0].result, result);
    assert.equal((await scene.catalog.jobs.find(projectId, id))?.status, 'queued');
  });
});
