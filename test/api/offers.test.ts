// Engines, flavours, storage types, quotas, the task list and the short instance list.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { someInstanceId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const get = async (path: string, token = scene.token) =>
  await scene.call('GET', scene.rds(path), { token });

describe('what is offered', () => {
  test('is what this build has, in any case of letters, for any role', async () => {
    const token = await scene.tokenFor('viewer');
    const stores = (await get('/datastores/postgreSQL', token)).json();
    assert.deepEqual(Object.keys(stores), ['dataStores']);
    const versions = stores.dataStores.map(({ name }: { name: string }) => name);
    assert.deepEqual(versions, ['18', '17', '16', '15']);
    const { flavors } = (await get('/flavors/postgresql?version_name=16', token)).json();
    assert.deepEqual(flavors[0].version_name, ['16']);
    const { id } = await scene.addInstance();
    const [shown] = (await get(`/instances?id=${id}`)).json().instances;
    assert.equal(flavors[0].spec_code, shown.flavor_ref);
    const storage = (await get('/storage-type/POSTGRESQL', token)).json();
    assert.deepEqual(
      storage.storage_type.map(({ name }: { name: string }) => name),
      [shown.volume.type],
    );
    assert.deepEqual((await get('/flavors/postgresql?version_name=9')).json(), { flavors: [] });
    assert.deepEqual((await get('/flavors/postgresql?spec_code=rds.x')).json(), { flavors: [] });
  });
  test('is nothing for engines that this build cannot back up', async () => {
    for (const path of ['datastores', 'flavors', 'storage-type']) {
      for (const engine of ['mysql', 'oracle', 'constructor']) {
        const response = await get(`/${path}/${engine}`);
        assert.deepEqual([response.statusCode, response.json().error_code], [400, 'DBS.280235']);
      }
    }
  });
  test('is as many instances as one likes when no quota is set', async () => {
    const { resources } = (await get('/quotas')).json().quotas;
    const used = await scene.catalog.instances.count(projectId);
    assert.deepEqual(resources, [{ type: 'instance', quota: 2_147_483_647, used }]);
  });
});

describe('the task list', () => {
  test('is newest first, filtered and paged, with the state of each instance', async () => {
    const instance = await scene.addInstance();
    const gone = await scene.addInstance();
    const ask = async (id: string, name: string) => {
      await scene.clock.advance(1000);
      const body = { instance_id: id, name };
      return (await scene.call('POST', scene.rds('/backups'), { body })).json().job_id;
    };
    const first = await ask(gone.id, 'first-task');
    const firstMs = scene.clock.now().getTime();
    const second = await ask(instance.id, 'second-task');
    await scene.call('POST', scene.cairn(`/jobs/${first}/cancel`), { body: {} });
    await scene.catalog.instances.delete(gone.id);
    const list = async (query = '') => (await get(`/tasklist${query}`)).json();
    const { tasks, total_count, actions } = await list();
    assert.equal(total_count, 2);
    assert.ok(actions.includes('CreateBackup'));
    assert.deepEqual(tasks[0], {
      id: second,
      name: 'CreateBackup',
      instance_id: instance.id,
      instance_name: instance.name,
      instance_status: 'ACTIVE',
      order_id: '',
      process: '0%',
      fail_reason: '',
      create_time: '2030-01-01T00:00:02+0000',
      end_time: '',
      status: 'Running',
    });
    assert.deepEqual(
      [tasks[1].id, tasks[1].status, tasks[1].instance_status, tasks[1].process],
      [first, 'Failed', '', ''],
    );
    assert.notEqual(tasks[1].fail_reason, '');
    const idsOf = async (query: string) =>
      (await list(query)).tasks.map(({ id }: { id: string }) => id);
    const expected: Readonly<Record<string, readonly string[]>> = {
      [`?id=${first}`]: [first],
      [`?instance_id=${instance.id}`]: [second],
      '?status=Running': [second],
      '?status=Failed': [first],
      '?status=Completed': [],
      '?name=CreateBackup': [second, first],
      '?name=DeleteBackup': [],
      '?name=unknown': [],
      '?order_id=1': [],
      [`?end_time=${firstMs}`]: [first],
      [`?start_time=${firstMs + 1}`]: [second],
      '?limit=1&offset=1': [first],
      '?offset=2': [],
    };
    for (const [query, ids] of Object.entries(expected)) {
      assert.deepEqual(await idsOf(query), ids, query);
    }
    for (const query of ['?limit=51', '?limit=0', '?status=running', '?start_time=x']) {
      assert.equal((await list(query)).error_code, 'DBS.280001', query);
    }
    assert.deepEqual((await get('/schedule-tasks')).json(), { schedule_tasks: [], total_count: 0 });
  });
});

describe('the short instance list', () => {
  test('has the instances of the ids that exist, in words of its own', async () => {
    const made = [
      await scene.addInstance({ state: { status: 'building' } }),
      await scene.addInstance({ state: { status: 'create-failed', reason: '' } }),
      await scene.addInstance({ state: { status: 'restoring', failure: null } }),
      await scene.addInstance(),
    ];
    const instance_ids = [...made.map(({ id }) => id), someInstanceId(), 'no id\0'];
    const body = { instance_ids };
    const response = await scene.call('POST', scene.rds('/simplified-instances'), { body });
    const words = new Map(
      response
        .json()
        .instances.map((i: { id: string; instance_status: string }) => [i.id, i.instance_status]),
    );
    const expected = ['creating', 'createfail', 'abnormal', 'normal'];
    assert.deepEqual(
      made.map(({ id }) => words.get(id)),
      expected,
    );
    assert.equal(words.size, made.length);
    const empty = await scene.call('POST', scene.rds('/simplified-instances'), {
      body: { instance_ids: [] },
    });
    assert.equal(empty.statusCode, 400);
  });
});

describe('filters of the instance list that nothing can match', () => {
  test('give an empty list, and those that everything matches the whole one', async () => {
    await scene.addInstance();
    const totalOf = async (query: string) => (await get(`/instances${query}`)).json().total_count;
    const all = await totalOf('');
    for (const query of ['vpc_id=v', 'subnet_id=s', 'group_type=flexus', 'eps_id=other']) {
      assert.equal(await totalOf(`?${query}`), 0, query);
    }
    for (const query of ['vpc_id=', 'eps_id=0', 'eps_id=all_granted_eps', 'type=Single']) {
      assert.equal(await totalOf(`?${query}`), all, query);
    }
  });
});
