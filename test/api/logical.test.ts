import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import { completed } from '../fixtures/catalog-values.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const databases = ['shop', 'crm'];
const endedAtMs = Date.parse('2026-01-05T01:02:03Z');
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

describe('databases and tables of a moment', () => {
  const ask = (what: string, instances: unknown, token = scene.token) =>
    scene.call('POST', scene.rds(`/instances/batch/restore/${what}`), {
      body: { instances },
      token,
    });
  const addSource = async (): Promise<Instance> => {
    const source = await scene.addInstance();
    await scene.addBackup(source, { state: completed(endedAtMs) });
    return source;
  };
  const at = ({ id }: Instance, more: object = {}) => ({
    ...{ instance_id: id, restore_time: endedAtMs, is_fast_restore: false },
    ...more,
  });
  const table = (new_name: string) => ({
    database: 'shop',
    schemas: [{ schema: 'public', tables: [{ old_name: 'orders', new_name }] }],
  });

  test('become a job for each instance, and keep the backup from going', async () => {
    const [one, two] = [await addSource(), await addSource()];
    const response = await ask('databases', [
      at(one, renamed('shop', 'shop_old')),
      at(two, renamed('shop', 'shop_old')),
    ]);
    assert.equal(response.statusCode, 200, response.body);
    const [first, second] = response.json().restore_result;
    assert.deepEqual([first.instance_id, second.instance_id], [one.id, two.id]);
    const [job] = await scene.catalog.jobs.listOpen(one.id);
    assert.deepEqual([job?.id, job?.kind], [first.job_id, 'restore-parts']);
    const tables = await ask('tables', [at(one, { databases: [table('orders_old')] })]);
    assert.equal(tables.statusCode, 200, tables.body);
    const removal = await scene.call('DELETE', scene.rds(`/instances/${one.id}`));
    assert.equal(removal.json().error_code, 'DBS.201202');
  });

  test('are refused, all of them, when one does not fit', async () => {
    const source = await addSource();
    const good = at(source, renamed('shop', 'shop_old'));
    const other = await addSource();
    const unknown = '0'.repeat(32).concat('in03');
    const cases: readonly (readonly [string, unknown, string])[] = [
      ['databases', [good, at(other, { ...renamed('a', 'b'), restore_time: 5 })], 'DBS.280001'],
      ['databases', [good, at(other, renamed('a', 'cairn_restore_a'))], 'DBS.280277'],
      [
        'databases',
        [good, at({ ...other, id: unknown as Instance['id'] }, renamed('a', 'b'))],
        'DBS.200002',
      ],
      ['databases', [good, good], 'DBS.280001'],
      ['databases', [good, at(other, { databases: [] })], 'DBS.280001'],
      ['databases', [], 'DBS.280001'],
      ['tables', [at(other, { databases: [table('x'), table('x')] })], 'DBS.280001'],
      ['tables', [at(other, { databases: [table('x'.repeat(64))] })], 'DBS.280277'],
    ];
    for (const [what, instances, code] of cases) {
      const response = await ask(what, instances);
      assert.equal(response.json().error_code, code, `${what} ${response.body}`);
    }
    for (const { id } of [source, other]) {
      assert.deepEqual(await scene.catalog.jobs.listOpen(id), []);
    }
  });

  test('are for owners only; nothing is faster', async () => {
    const source = await addSource();
    const token = await scene.tokenFor('operator');
    const refused = await ask('databases', [at(source, renamed('a', 'b'))], token);
    assert.equal(refused.statusCode, 403);
    const fast = await scene.call('POST', scene.rds('/instances/fast-restore'), {
      body: { restore_time: endedAtMs, instance_ids: [source.id] },
    });
    assert.equal(fast.json().support_fast_restore_list[0].is_support_fast_table_restore, false);
  });
});
