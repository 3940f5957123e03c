import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
let instance: Instance;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

describe('stopping a backup', () => {
  const stop = (id: string) => scene.call('POST', scene.rds(`/instances/${id}/backups/stop`));

  test('that waits fails it at once and answers its job', async () => {
    instance = await scene.addInstance();
    const body = { instance_id: instance.id, name: 'to-stop' };
    const created = (await scene.call('POST', scene.rds('/backups'), { body })).json();
    const stopped = await stop(instance.id);
    assert.equal(stopped.statusCode, 200, stopped.body);
    assert.deepEqual(stopped.json(), { job_id: created.job_id });
    const list = await scene.call('GET', scene.rds(`/backups?backup_id=${created.backup.id}`));
    assert.equal(list.json().backups[0].status, 'FAILED');
    const { job } = (await scene.call('GET', scene.rds(`/jobs?id=${created.job_id}`))).json();
    assert.equal(job.status, 'Failed');
    assert.match(job.fail_reason, /cancelled/);
    const again = await scene.call('POST', scene.rds('/backups'), {
      body: { instance_id: instance.id, name: 'after-stop' },
    });
    assert.equal(again.statusCode, 200, again.body);
  });

  test('where none runs is 409, of an unknown instance 404', async () => {
    const idle = await scene.addInstance();
    const nothing = await stop(idle.id);
    assert.deepEqual([nothing.statusCode, nothing.json().error_code], [409, 'DBS.200402']);
    const unknown = await stop(`${'0'.repeat(32)}in03`);
    assert.deepEqual([unknown.statusCode, unknown.json().error_code], [404, 'DBS.200002']);
  });

  test('is an operator’s right and not a viewer’s', async () => {
    const url = scene.rds(`/instances/${instance.id}/backups/stop`);
    const refused = await scene.call('POST', url, { token: await scene.tokenFor('viewer') });
    assert.deepEqual([refused.statusCode, refused.json().error_code], [403, 'DBS.200010']);
    const done = await scene.call('POST', url, { token: await scene.tokenFor('operator') });
    assert.equal(done.statusCode, 200, done.body);
  });
});

describe('deleting many backups', () => {
  const batch = (ids: unknown, headers: Record<string, string> = {}) =>
    scene.call('POST', scene.rds('/backups/batch-delete'), { body: { backup_ids: ids }, headers });
  const statusOf = async ({ id }: Backup): Promise<string | undefined> =>
    (await scene.catalog.backups.find(projectId, id))?.state.status;

  test('answers for each, and what is refused stops no other', async () => {
    const owner = await scene.addInstance();
    const first = await scene.addBackup(owner);
    const auto = await scene.addBackup(owner, { type: 'auto' });
    const building = await scene.addBackup(owner, { state: { status: 'building' } });
    const last = await scene.addBackup(owner);
    const ids = [first.id, auto.id, building.id, 'unknown', '../x', last.id, first.id];
    const response = await batch(ids);
    assert.equal(response.statusCode, 200, response.body);
    const results: { backup_id: string; error_code: string; error_msg: string }[] =
      response.json().delete_results;
    assert.deepEqual(
      results.map(({ backup_id: id, error_code: code }) => [id, code]),
      [
        [first.id, '0'],
        [auto.id, 'DBS.200402'],
        [building.id, 'DBS.201202'],
        ['unknown', 'DBS.201010'],
        ['../x', 'DBS.201010'],
        [last.id, '0'],
      ],
    );
    assert.equal(results[0]?.error_msg, 'Success');
    assert.equal(await statusOf(first), 'deleting');
    assert.equal(await statusOf(last), 'deleting');
    assert.equal(await statusOf(auto), 'completed');
  });

  test('takes an automated one that no policy will delete', async () => {
    const owner = await scene.addInstance();
    const leaving = await scene.addBackup(owner, {
      type: 'auto',
      state: { status: 'deleting', endedAt: null },
    });
    const orphan = await scene.addBackup(await scene.addInstance(), { type: 'auto' });
    await scene.catalog.instances.delete(orphan.instanceId);
    const { delete_results: results } = (await batch([leaving.id, orphan.id])).json();
    assert.deepEqual(
      results.map(({ error_code: code }: { error_code: string }) => code),
      ['0', '0'],
    );
    assert.equal(await statusOf(orphan), 'deleting');
    assert.equal((await scene.catalog.jobs.listOpen(owner.id)).length, 1);
  });

  test('speaks Chinese when asked to', async () => {
    const response = await batch(['unknown'], { 'x-language': 'zh-cn' });
    assert.match(response.json().delete_results[0].error_msg, /备份信息不存在/);
  });

  test('takes 1 to 50 ids', async () => {
    for (const ids of [[], Array.from({ length: 51 }, (_, n) => `b${n}`), 'x', [1]]) {
      const response = await batch(ids);
      assert.deepEqual([response.statusCode, response.json().error_code], [400, 'DBS.280001']);
    }
    assert.equal((await batch(Array.from({ length: 50 }, (_, n) => `b${n}`))).statusCode, 200);
  });
});
