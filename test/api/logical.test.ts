import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const databases = ['shop', 'crm'];
const managed = { homeDir: '/s/a', dataDir: '/s/a/data', binDir: '/b', place: null };
const addLogical = async (): Promise<Backup> =>
  await scene.addBackup(await scene.addInstance(), { databases });
const restore = (target: Instance, body: object) =>
  scene.call('POST', scene.cairn(`/instances/${target.id}/databases/restore`), { body });
const renamed = (old_name: string, new_name: string) => ({ databases: [{ old_name, new_name }] });

describe('a backup of single databases', () => {
  test('leads to no moment, neither as a window nor as a base', async () => {
    const instance = await scene.addInstance();
    await scene.addBackup(instance, { databases });
    const path = scene.rds(`/instances/${instance.id}/restore-time`);
    assert.deepEqual((await scene.call('GET', path)).json(), { restore_time: [] });
  });

  test('becomes no server: neither a new one nor one in place', async () => {
    const backup = await addLogical();
    const point = { instance_id: backup.instanceId, backup_id: backup.id };
    const fresh = await scene.call('POST', scene.rds('/instances'), {
      body: { name: 'fresh', restore_point: point },
    });
    assert.deepEqual([fresh.statusCode, fresh.json().error_code], [400, 'DBS.201207']);
    const target = await scene.addInstance({ managed });
    const over = await scene.call('POST', scene.rds('/instances/recovery'), {
      body: { source: point, target: { instance_id: target.id } },
    });
    assert.deepEqual([over.statusCode, over.json().error_code], [400, 'DBS.201207']);
    assert.match(over.json().error_msg, /--into/);
  });

  test('is restored beside what a target has, which stays active', async () => {
    const backup = await addLogical();
    const target = await scene.addInstance();
    const response = await restore(target, {
      ...{ backup_id: backup.id, with_roles: true },
      ...renamed('shop', 'shop 2'),
    });
    assert.equal(response.statusCode, 200, response.body);
    const [job] = await scene.catalog.jobs.listOpen(target.id);
    assert.equal(job?.id, response.json().job_id);
    assert.deepEqual(job?.payload['databases'], [{ oldName: 'shop', newName: 'shop 2' }]);
    assert.equal(job?.payload['missingRoles'], 'create');
    const { state } = await scene.catalog.instances.get(target.projectId, target.id);
    assert.equal(state.status, 'active');
    const path = scene.rds(`/backups/${backup.id}`);
    assert.equal((await scene.call('DELETE', path)).json().error_code, 'DBS.201208');
  });

  test('is restored by the recovery of the family too, by its map of names', async () => {
    const backup = await addLogical();
    const target = await scene.addInstance();
    const point = { instance_id: backup.instanceId, backup_id: backup.id };
    const database_name = { shop: 'shop2', crm: '' };
    const response = await scene.call('POST', scene.rds('/instances/recovery'), {
      body: { source: { ...point, database_name }, target: { instance_id: target.id } },
    });
    assert.equal(response.statusCode, 200, response.body);
    const [job] = await scene.catalog.jobs.listOpen(target.id);
    assert.deepEqual(job?.payload['databases'], [
      { oldName: 'shop', newName: 'shop2' },
      { oldName: 'crm', newName: 'crm' },
    ]);
  });

  test('is refused where names do not fit, before a job is made', async () => {
    const backup = await addLogical();
    const whole = await scene.addBackup(await scene.addInstance());
    const target = await scene.addInstance();
    const cases: readonly (readonly [object, number, string])[] = [
      [{ backup_id: backup.id, ...renamed('other', 'x') }, 400, 'DBS.280128'],
      [{ backup_id: backup.id, ...renamed('shop', '') }, 400, 'DBS.280277'],
      [{ backup_id: backup.id, ...renamed('shop', 'ü'.repeat(32)) }, 400, 'DBS.280277'],
      [{ backup_id: backup.id, ...renamed('shop', 'a\nb') }, 400, 'DBS.280277'],
      [{ backup_id: backup.id, ...renamed('shop', 'cairn_restore_x') }, 400, 'DBS.280277'],
      [
        {
          backup_id: backup.id,
          databases: databases.map((old_name) => ({ old_name, new_name: 'same' })),
        },
        ...([400, 'DBS.280277'] as const),
      ],
      [{ backup_id: whole.id }, 400, 'DBS.201207'],
      [{ backup_id: 'unknown' }, 404, 'DBS.201010'],
    ];
    for (const [body, status, code] of cases) {
      const response = await restore(target, body);
      const label = `${JSON.stringify(body)} ${response.body}`;
      assert.deepEqual([response.statusCode, response.json().error_code], [status, code], label);
    }
    assert.deepEqual(await scene.catalog.jobs.listOpen(target.id), []);
  });

  test('is restored by owners only', async () => {
    const backup = await addLogical();
    const target = await scene.addInstance();
    const path = scene.cairn(`/instances/${target.id}/databases/restore`);
    const token = await scene.tokenFor('operator');
    const response = await scene.call('POST', path, { body: { backup_id: backup.id }, token });
    assert.equal(response.statusCode, 403);
  });
});
