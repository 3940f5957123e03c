import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Instance } from '../../src/model/instance.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
let instance: Instance;
before(async () => {
  scene = await openApiScene();
  instance = await scene.addInstance();
});
after(() => scene[Symbol.asyncDispose]());

const policyOf = (id: string = instance.id): string => scene.rds(`/instances/${id}/backups/policy`);

async function put(policy: unknown, more: object = {}): Promise<[number, string]> {
  const body = { backup_policy: policy, ...more };
  const response = await scene.call('PUT', policyOf(), { body });
  return [response.statusCode, response.body === '' ? '' : response.json().error_code];
}

describe('the backup policy', () => {
  test('reads as off while there is none', async () => {
    const response = await scene.call('GET', policyOf());
    assert.equal(response.statusCode, 200);
    assert.deepEqual(response.json(), { backup_policy: { keep_days: 0 } });
  });

  test('is written with 200 and no body, and reads back ascending', async () => {
    const policy = { keep_days: 7, start_time: '23:00-00:00', period: '7,1,1,3' };
    const response = await scene.call('PUT', policyOf(), { body: { backup_policy: policy } });
    assert.deepEqual([response.statusCode, response.body], [200, '']);
    assert.deepEqual((await scene.call('GET', policyOf())).json(), {
      backup_policy: { keep_days: 7, start_time: '23:00-00:00', period: '1,3,7' },
    });
    const listed = await scene.call('GET', scene.rds(`/instances?id=${instance.id}`));
    assert.deepEqual(listed.json().instances[0].backup_strategy, {
      start_time: '23:00-00:00',
      keep_days: 7,
    });
  });

  test('takes numbers that are written as texts', async () => {
    const policy = { keep_days: '3660', start_time: '08:15-09:15', period: '1' };
    assert.deepEqual(await put(policy), [200, '']);
    const { backup_policy: read } = (await scene.call('GET', policyOf())).json();
    assert.equal(read.keep_days, 3660);
  });

  test('is switched off by keep_days 0 alone', async () => {
    assert.deepEqual(await put({ keep_days: 0 }), [200, '']);
    assert.deepEqual((await scene.call('GET', policyOf())).json(), {
      backup_policy: { keep_days: 0 },
    });
  });

  test('refuses each field with its own code', async () => {
    const good = { keep_days: 7, start_time: '02:00-03:00', period: '1,2' };
    for (const [change, code] of [
      [{ keep_days: -1 }, 'DBS.280250'],
      [{ keep_days: 3661 }, 'DBS.280250'],
      [{ start_time: '02:00-04:00' }, 'DBS.280253'],
      [{ start_time: '02:10-03:10' }, 'DBS.280253'],
      [{ start_time: undefined }, 'DBS.280253'],
      [{ period: '' }, 'DBS.280251'],
      [{ period: '0,8' }, 'DBS.280251'],
      [{ period: undefined }, 'DBS.280251'],
      [{ keep_days: 1.5 }, 'DBS.280001'],
      [{ keep_days: undefined }, 'DBS.280001'],
      [{ keep_days: 'seven' }, 'DBS.280001'],
    ] as const) {
      assert.deepEqual(await put({ ...good, ...change }), [400, code], JSON.stringify(change));
    }
    const empty = await scene.call('PUT', policyOf(), { body: {} });
    assert.deepEqual([empty.statusCode, empty.json().error_code], [400, 'DBS.280001']);
  });

  test('of an unknown instance is 404, of a malformed id 400', async () => {
    const unknown = `${'0'.repeat(32)}in03`;
    const body = { backup_policy: { keep_days: 0 } };
    for (const method of ['GET', 'PUT'] as const) {
      const response = await scene.call(method, policyOf(unknown), { body });
      assert.deepEqual([response.statusCode, response.json().error_code], [404, 'DBS.200002']);
      const odd = await scene.call(method, policyOf('a_b'), { body });
      assert.deepEqual([odd.statusCode, odd.json().error_code], [400, 'DBS.280404']);
    }
  });

  test('cannot be set while the instance is built or restored over', async () => {
    const body = { backup_policy: { keep_days: 0 } };
    const building = await scene.addInstance({ state: { status: 'building' } });
    const first = await scene.call('PUT', policyOf(building.id), { body });
    assert.deepEqual([first.statusCode, first.json().error_code], [400, 'DBS.200086']);
    const restoring = await scene.addInstance({ state: { status: 'restoring', failure: null } });
    const second = await scene.call('PUT', policyOf(restoring.id), { body });
    assert.deepEqual([second.statusCode, second.json().error_code], [409, 'DBS.201202']);
  });

  test('switched off with reserve_backups false gives the automated backups up', async () => {
    const manual = await scene.addBackup(instance);
    const auto = await scene.addBackup(instance, { type: 'auto' });
    const kept = await scene.addBackup(instance, { type: 'auto' });
    assert.deepEqual(await put({ keep_days: 0 }, { reserve_backups: true }), [200, '']);
    assert.equal((await scene.catalog.backups.find(projectId, kept.id))?.state.status, 'completed');
    assert.deepEqual(await put({ keep_days: 0 }, { reserve_backups: false }), [200, '']);
    for (const [backup, status] of [
      [manual, 'completed'],
      [auto, 'deleting'],
      [kept, 'deleting'],
    ] as const) {
      const found = await scene.catalog.backups.find(projectId, backup.id);
      assert.equal(found?.state.status, status);
    }
    const jobs = await scene.catalog.jobs.listOpen(instance.id);
    assert.equal(jobs.filter(({ kind }) => kind === jobKinds.deleteBackup).length, 2);
  });

  test('switched off stops the automated backup that runs, and no manual one', async () => {
    const on = { keep_days: 7, start_time: '02:00-03:00', period: '1' };
    for (const type of ['auto', 'manual'] as const) {
      const owner = await scene.addInstance();
      const name = `running-${type}`;
      const created = await scene.call('POST', scene.rds('/backups'), {
        body: { instance_id: owner.id, name },
      });
      const { id } = created.json().backup;
      const backup = await scene.catalog.backups.get(projectId, id);
      if (type === 'auto') {
        await scene.catalog.backups.delete(backup.id);
        await scene.catalog.backups.insert({ ...backup, type });
      }
      for (const policy of [on, { keep_days: 0 }]) {
        const body = { backup_policy: policy };
        assert.equal((await scene.call('PUT', policyOf(owner.id), { body })).statusCode, 200);
        const { state } = await scene.catalog.backups.get(projectId, backup.id);
        const isStopped = type === 'auto' && policy !== on;
        assert.equal(state.status, isStopped ? 'failed' : 'building', type);
      }
    }
  });

  test('needs an owner to be changed, and a viewer may read it', async () => {
    const [viewer, operator] = [await scene.tokenFor('viewer'), await scene.tokenFor('operator')];
    const body = { backup_policy: { keep_days: 0 } };
    assert.equal((await scene.call('GET', policyOf(), { token: viewer })).statusCode, 200);
    for (const token of [viewer, operator]) {
      const refused = await scene.call('PUT', policyOf(), { token, body });
      assert.deepEqual([refused.statusCode, refused.json().error_code], [403, 'DBS.200010']);
    }
  });
});

describe('off-site backups', () => {
  const url = (): string => scene.rds(`/instances/${instance.id}/backups/offsite-policy`);
  const para = { backup_type: 'auto', destination_region: 'far', destination_project_id: 'p' };

  test('cannot be asked for while there is no second storage, and can be closed', async () => {
    const policy = { policy_para: { ...para, keep_days: 7 } };
    const refused = await scene.call('PUT', url(), { body: policy });
    assert.deepEqual([refused.statusCode, refused.json().error_code], [400, 'DBS.280001']);
    assert.match(refused.json().error_msg, /no second storage/);
    const closed = await scene.call('PUT', url(), {
      body: { policy_para: { ...para, keep_days: 0 } },
    });
    assert.deepEqual([closed.statusCode, closed.body], [200, '']);
    assert.deepEqual((await scene.call('GET', url())).json(), { policy_para: [] });
  });

  test('are listed as none', async () => {
    const list = await scene.call('GET', scene.rds(`/offsite-backups?instance_id=${instance.id}`));
    assert.deepEqual(list.json(), { backups: [], total_count: 0 });
    const instances = await scene.call('GET', '/v3/backups/offsite-backup-instance');
    assert.deepEqual(instances.json(), { offsite_backup_instances: [], total_count: 0 });
    const windows = scene.rds(`/instances/${instance.id}/offsite-restore-time`);
    assert.deepEqual((await scene.call('GET', windows)).json(), { restore_time: [] });
  });
});
