import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

describe('listBackups', () => {
  const list = async (query: string) => await scene.call('GET', scene.rds(`/backups?${query}`));
  const idsOf = async (query: string): Promise<string[]> => {
    const response = await list(query);
    assert.equal(response.statusCode, 200, response.body);
    return response.json().backups.map((backup: { id: string }) => backup.id);
  };

  test('shows all that clients read', async () => {
    const instance = await scene.addInstance();
    const backup = await scene.addBackup(instance, { description: 'text' });
    const response = await list(`instance_id=${instance.id}`);
    assert.deepEqual(response.json(), {
      backups: [
        {
          id: backup.id,
          instance_id: instance.id,
          name: backup.name,
          description: 'text',
          databases: [],
          begin_time: '2030-01-01T00:00:00+0000',
          end_time: '2030-01-01T00:00:00+0000',
          status: 'COMPLETED',
          type: 'manual',
          // 2,869,249 bytes are one byte more than 2,802 kB.
          size: 2803,
          datastore: { type: 'PostgreSQL', version: '16' },
          associated_with_ddm: false,
        },
      ],
      total_count: 1,
    });
  });

  test('filters, orders newest first, and pages', async () => {
    const instance = await scene.addInstance();
    const ids: string[] = [];
    for (const day of [1, 2, 3, 4]) {
      const startedAt = new Date(Date.UTC(2029, 0, day, 3));
      const changes =
        day === 2
          ? { state: { status: 'failed', endedAt: startedAt, reason: 'x' } as const }
          : day === 3
            ? { type: 'auto' as const }
            : {};
      const backup = await scene.addBackup(instance, { startedAt, ...changes });
      ids.unshift(backup.id);
    }
    const own = `instance_id=${instance.id}`;
    const [fourth, third, second, first] = ids;
    assert.deepEqual(await idsOf(own), ids);
    assert.deepEqual(await idsOf(`${own}&offset=1&limit=2`), [third, second]);
    assert.deepEqual(await idsOf(`${own}&offset=4`), []);
    assert.equal((await list(`${own}&limit=1`)).json().total_count, 4);
    assert.deepEqual(await idsOf(`${own}&backup_type=auto`), [third]);
    assert.deepEqual(await idsOf(`${own}&status=FAILED`), [second]);
    assert.deepEqual(await idsOf(`${own}&backup_id=${first}`), [first]);
    assert.deepEqual(await idsOf(`backup_id=${first}`), [first]);
    // Bounds included; the plus encoded, lost on the way, and none.
    for (const plus of ['%2B', '+', '%20']) {
      const [from, to] = ['2029-01-02T11:00:00', '2029-01-03T11:00:00'];
      const range = `begin_time=${from}${plus}0800&end_time=${to}${plus}0800`;
      assert.deepEqual(await idsOf(`${own}&${range}`), [third, second], plus);
    }
    const utc = 'begin_time=2029-01-04T03:00:00Z&end_time=2029-01-05T00:00:00';
    assert.deepEqual(await idsOf(`${own}&${utc}`), [fourth]);
  });

  test('knows nothing of unknown ids, and says so with an empty list', async () => {
    for (const query of ['instance_id=nobody', 'backup_id=nightly-1', 'backup_id=%E5%A4%87']) {
      assert.deepEqual((await list(query)).json(), { backups: [], total_count: 0 });
    }
  });

  test('ignores unknown parameters and empty ones', async () => {
    const response = await list('instance_id=x&skip_cache=True&backup_type=&begin_time=');
    assert.equal(response.statusCode, 200);
  });

  const refused = [
    '',
    'instance_id=',
    'instance_id=x&limit=0',
    'instance_id=x&limit=101',
    'instance_id=x&limit=-1',
    'instance_id=x&limit=ten',
    'instance_id=x&limit=1e1',
    'instance_id=x&limit=1.5',
    'instance_id=x&limit=',
    'instance_id=x&limit=1&limit=2',
    'instance_id=x&offset=-1',
    'instance_id=x&offset=9999999999',
    'instance_id=x&offset=NaN',
    'instance_id=x&instance_id=y',
    'instance_id=x&backup_type=full',
    'instance_id=x&status=completed',
    'instance_id=x&begin_time=2029-01-01T00:00:00Z',
    'instance_id=x&end_time=2029-01-01T00:00:00Z',
    'instance_id=x&begin_time=yesterday&end_time=2029-01-01T00:00:00Z',
    'instance_id=x&begin_time=2029-01-01T00:00:00Z&end_time=2029-01-01T00:00:00Z',
    'instance_id=x&begin_time=2029-02-30T00:00:00Z&end_time=2029-03-01T00:00:00Z',
  ];
  for (const query of refused) {
    test(`refuses ?${query}`, async () => {
      const response = await list(query);
      assert.equal(response.statusCode, 400, response.body);
      assert.equal(response.json().error_code, 'DBS.280001');
    });
  }
});
