import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, password } from './api-scene.ts';

let scene: ApiScene;
let source: Instance;
let backup: Backup;
before(async () => {
  scene = await openApiScene();
  source = await scene.addInstance();
  backup = await scene.addBackup(source);
});
after(() => scene[Symbol.asyncDispose]());

const restore = async (body: unknown) =>
  await scene.call('POST', scene.rds('/instances'), { body });
const point = (changes: object = {}) => ({
  instance_id: source.id,
  type: 'backup',
  backup_id: backup.id,
  ...changes,
});

describe('restoreToNewInstance', () => {
  test('answers 202 with the instance being built and its job', async () => {
    const response = await restore({
      name: 'restored',
      restore_point: point(),
      datastore: { type: 'postgresql', version: '16' },
      flavor_ref: 'rds.pg.n1.large.2',
      volume: { type: 'CLOUDSSD', size: 40 },
      ...{ region: 'eu', availability_zone: 'az1', vpc_id: 'v', subnet_id: 's' },
      security_group_id: 'g',
      password,
      port: '5999',
    });
    assert.equal(response.statusCode, 202, response.body);
    const { instance, job_id } = response.json();
    assert.deepEqual(instance, {
      id: instance.id,
      name: 'restored',
      status: 'BUILD',
      datastore: { type: 'PostgreSQL', version: '16' },
      port: '5999',
      volume: { type: 'CLOUDSSD', size: 40 },
      region: 'eu',
      backup_strategy: { start_time: '', keep_days: 0 },
      flavor_ref: 'rds.pg.n1.large.2',
      availability_zone: 'az1',
      vpc_id: 'v',
      subnet_id: 's',
      security_group_id: 'g',
      restore_point: { instance_id: source.id, type: 'backup', backup_id: backup.id },
    });
    assert.ok(!response.body.includes(password));
    const job = await scene.call('GET', scene.rds(`/jobs?id=${job_id}`));
    assert.equal(job.json().job.status, 'Running');
    assert.equal(job.json().job.instance.id, instance.id);
    const [queued] = await scene.catalog.jobs.listOpen(instance.id);
    assert.deepEqual(queued?.payload, {
      backupId: backup.id,
      sourceInstanceId: source.id,
      targetInstanceId: instance.id,
      port: 5999,
      recovery: null,
    });
    const list = await scene.call('GET', scene.rds(`/instances?id=${instance.id}`));
    assert.equal(list.json().instances[0].status, 'BUILD');
  });
  test('knows the type by what is there', async () => {
    const { type: _, ...untyped } = point();
    assert.equal((await restore({ name: 'untyped', restore_point: untyped })).statusCode, 202);
  });
  test('works when the source instance is gone', async () => {
    const gone = await scene.addInstance();
    const kept = await scene.addBackup(gone);
    await scene.catalog.instances.delete(gone.id);
    const restore_point = { instance_id: gone.id, backup_id: kept.id };
    assert.equal((await restore({ name: 'from-the-gone', restore_point })).statusCode, 202);
  });
  test('to a point in time is not offered yet, and says so', async () => {
    for (const restore_point of [
      { instance_id: source.id, type: 'timestamp', restore_time: 1_767_582_000_000, backup_id: '' },
      { instance_id: source.id, restore_time: 1_767_582_000_000 },
    ]) {
      const response = await restore({ name: 'in-time', restore_point });
      assert.equal(response.statusCode, 400);
      assert.equal(response.json().error_code, 'DBS.280001');
      assert.match(response.json().error_msg, /only ends of backups/);
    }
  });
  test('refuses what does not fit', async () => {
    const building = await scene.addBackup(source, { state: { status: 'building' } });
    const other = await scene.addInstance();
    const name = 'refused-restore';
    const cases: readonly (readonly [object, number, string])[] = [
      [{ name }, 400, 'DBS.280001'],
      [{ name, restore_point: {} }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ backup_id: '' }) }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ backup_id: 'unknown' }) }, 404, 'DBS.201010'],
      [{ name, restore_point: point({ backup_id: building.id }) }, 400, 'DBS.201208'],
      [{ name, restore_point: point({ instance_id: other.id }) }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ instance_id: 'a/b' }) }, 400, 'DBS.280404'],
      [{ name, restore_point: point({ type: 'magic' }) }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ type: 'timestamp' }) }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ restore_time: 1e300 }) }, 400, 'DBS.280001'],
      [{ name, restore_point: point({ database_name: { a: '' } }) }, 400, 'DBS.201207'],
      [{ name: 'a', restore_point: point() }, 400, 'DBS.200021'],
      [{ name: source.name, restore_point: point() }, 409, 'DBS.200022'],
      [{ name, restore_point: point(), datastore: { type: 'MySQL' } }, 400, 'DBS.201207'],
      [{ name, restore_point: point(), datastore: { type: 'Oracle' } }, 400, 'DBS.280235'],
      [{ name, restore_point: point(), datastore: { version: '15' } }, 400, 'DBS.200041'],
      [{ name, restore_point: point(), port: '80' }, 400, 'DBS.280001'],
      [{ name, restore_point: point(), port: 70_000 }, 400, 'DBS.280001'],
      [{ name, restore_point: point(), port: 'any' }, 400, 'DBS.280001'],
    ];
    for (const [body, status, code] of cases) {
      const response = await restore(body);
      assert.equal(response.json().error_code, code, `${JSON.stringify(body)} ${response.body}`);
      assert.equal(response.statusCode, status);
    }
    const list = await scene.call('GET', scene.rds(`/instances?name=${name}`));
    assert.equal(list.json().total_count, 0);
  });
  test('of 10 at once with one name, exactly one is accepted', async () => {
    const responses = await Promise.all(
      Array.from({ length: 10 }, () => restore({ name: 'raced', restore_point: point() })),
    );
    const codes = responses.map((response) => response.statusCode).sort();
    assert.deepEqual(codes, [202, ...Array.from({ length: 9 }, () => 409)]);
  });
});
