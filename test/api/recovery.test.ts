import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Backup, BackupState } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import { completed } from '../fixtures/catalog-values.ts';
import { insertJob, someInstanceId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const managed = { homeDir: '/s/a', dataDir: '/s/a/data', binDir: '/b', place: null };
const addManaged = (changes: Partial<Instance> = {}): Promise<Instance> =>
  scene.addInstance({ managed, ...changes });
const endedAt = (text: string): { readonly state: BackupState } => ({
  state: completed(Date.parse(text)),
});
const windowsOf = (id: string, query = '') =>
  scene.call('GET', scene.rds(`/instances/${id}/restore-time${query}`));
const recover = (source: object, targetId: string, version = 'v3') =>
  scene.call('POST', scene.rds('/instances/recovery').replace('v3', version), {
    body: { source, target: { instance_id: targetId } },
  });
const pointAt = (backup: Backup) => ({ instance_id: backup.instanceId, backup_id: backup.id });
const stateOf = async ({ projectId, id }: Instance) =>
  (await scene.catalog.instances.get(projectId, id)).state.status;

describe('restore windows', () => {
  test('are the ends of completed full backups, ascending, of one day if asked', async () => {
    const instance = await scene.addInstance();
    await scene.addBackup(instance, endedAt('2026-01-06T23:59:59.999Z'));
    await scene.addBackup(instance, { ...endedAt('2026-01-05T00:00:00.000Z'), type: 'auto' });
    await scene.addBackup(instance, { ...endedAt('2026-01-05T10:00:00Z'), type: 'incremental' });
    await scene.addBackup(instance, {
      state: { status: 'failed', endedAt: new Date(5), reason: '' },
    });
    await scene.addBackup(instance, { state: { status: 'building' } });
    const moments = ['2026-01-05T00:00:00.000Z', '2026-01-06T23:59:59.999Z'].map(Date.parse);
    const expected = moments.map((ms) => ({ start_time: ms, end_time: ms }));
    assert.deepEqual((await windowsOf(instance.id)).json(), { restore_time: expected });
    for (const [at, day] of ['2026-01-05', '2026-01-06', '2026-01-07'].entries()) {
      const found = (await windowsOf(instance.id, `?date=${day}`)).json().restore_time;
      assert.deepEqual(found, expected.slice(at, at + 1), day);
    }
    assert.equal((await windowsOf(instance.id, '?date=')).json().restore_time.length, 2);
  });
  test('refuse a date that is none', async () => {
    const { id } = await scene.addInstance();
    for (const date of ['2026-02-30', 'today', '2026-1-5', '20260105']) {
      const response = await windowsOf(id, `?date=${date}`);
      assert.deepEqual([response.statusCode, response.json().error_code], [400, 'DBS.280001']);
    }
  });
  test('of an instance that is gone are those of its backups, else 404', async () => {
    const gone = await scene.addInstance();
    await scene.addBackup(gone);
    await scene.catalog.instances.delete(gone.id);
    assert.equal((await windowsOf(gone.id)).json().restore_time.length, 1);
    const unknown = await windowsOf(someInstanceId());
    assert.deepEqual([unknown.statusCode, unknown.json().error_code], [404, 'DBS.200002']);
    const malformed = await windowsOf('a%20b');
    assert.deepEqual([malformed.statusCode, malformed.json().error_code], [400, 'DBS.280404']);
  });
  test('every moment that is offered can be restored to, and none beside it', async () => {
    const source = await scene.addInstance();
    const chosen = await scene.addBackup(source, endedAt('2026-01-05T01:02:03.456Z'));
    await scene.addBackup(source, endedAt('2026-01-09T00:00:00Z'));
    const [window] = (await windowsOf(source.id)).json().restore_time;
    const point = { instance_id: source.id, type: 'timestamp', backup_id: '' };
    const target = await addManaged();
    const beside = await recover({ ...point, restore_time: window.end_time + 1 }, target.id);
    assert.deepEqual([beside.statusCode, beside.json().error_code], [400, 'DBS.280001']);
    assert.match(beside.json().error_msg, /1767574923456 .* or 1767916800000/);
    assert.equal(await stateOf(target), 'active');
    const exact = await recover({ ...point, restore_time: String(window.end_time) }, target.id);
    assert.equal(exact.statusCode, 200, exact.body);
    const [job] = await scene.catalog.jobs.listOpen(target.id);
    assert.equal(job?.payload['backupId'], chosen.id);
  });
});

describe('restoreToExistingInstance', () => {
  test('answers 200 with the job, 202 under v3.1, and the target is restoring', async () => {
    const backup = await scene.addBackup(await scene.addInstance());
    for (const [version, status] of [
      ['v3', 200],
      ['v3.1', 202],
    ] as const) {
      const target = await addManaged();
      const source = { ...pointAt(backup), restore_all_database: true, database_name: {} };
      const response = await recover(source, target.id, version);
      assert.equal(response.statusCode, status, response.body);
      assert.deepEqual(Object.keys(response.json()), ['job_id']);
      const list = await scene.call('GET', scene.rds(`/instances?id=${target.id}`));
      assert.equal(list.json().instances[0].status, 'RESTORING');
      const job = await scene.call('GET', scene.rds(`/jobs?id=${response.json().job_id}`));
      assert.equal(job.json().job.name, 'RestoreToExistingInstance');
      assert.deepEqual(job.json().job.entities.resource_ids, [target.id]);
    }
  });
  test('may go over the source itself, and over an instance whose restore failed', async () => {
    const source = await addManaged();
    const backup = await scene.addBackup(source);
    assert.equal((await recover(pointAt(backup), source.id)).statusCode, 200);
    const failed = await addManaged({ state: { status: 'failed', reason: 'x' } });
    assert.equal((await recover(pointAt(backup), failed.id)).statusCode, 200);
  });
  test('refuses what does not fit, and leaves the target as it is', async () => {
    const source = await scene.addInstance();
    const backup = await scene.addBackup(source);
    const building = await scene.addBackup(source, { state: { status: 'building' } });
    const target = await addManaged();
    const point = pointAt(backup);
    const old = await addManaged({ serverVersion: '15.2' });
    const own = await scene.addInstance();
    const unknown = someInstanceId();
    const cases: readonly (readonly [object, string, number, string])[] = [
      [point, own.id, 400, 'DBS.201207'],
      [point, old.id, 400, 'DBS.200041'],
      [point, unknown, 404, 'DBS.200002'],
      [point, 'a/b', 400, 'DBS.280404'],
      [{ ...point, backup_id: 'unknown' }, target.id, 404, 'DBS.201010'],
      [{ ...point, backup_id: building.id }, target.id, 400, 'DBS.201208'],
      [{ ...point, backup_id: '' }, target.id, 400, 'DBS.280001'],
      [{ ...point, instance_id: target.id }, target.id, 400, 'DBS.280001'],
      [{ ...point, type: 'timestamp' }, target.id, 400, 'DBS.280001'],
      [{ ...point, type: 'magic' }, target.id, 400, 'DBS.280001'],
      [{ ...point, database_name: { a: 'b' } }, target.id, 400, 'DBS.201207'],
      [{ instance_id: unknown, restore_time: 5 }, target.id, 404, 'DBS.200002'],
    ];
    for (const [body, id, status, code] of cases) {
      const response = await recover(body, id);
      const label = `${JSON.stringify(body)} ${response.body}`;
      assert.deepEqual([response.statusCode, response.json().error_code], [status, code], label);
    }
    assert.equal(await stateOf(target), 'active');
    assert.deepEqual(await scene.catalog.jobs.listOpen(target.id), []);
    const empty = await scene.call('POST', scene.rds('/instances/recovery'), { body: {} });
    assert.equal(empty.statusCode, 400);
  });
  test('is exclusive: busy is 409, a state that does not allow it 400', async () => {
    const backup = await scene.addBackup(await scene.addInstance());
    const attempt = async (target: Instance) => {
      const response = await recover(pointAt(backup), target.id);
      return [response.statusCode, response.json().error_code];
    };
    const busy = [409, 'DBS.201202'];
    const wrong = [400, 'DBS.200086'];
    const withJob = async (kind: string): Promise<Instance> => {
      const target = await addManaged();
      const ids = { sourceInstanceId: target.id, targetInstanceId: target.id };
      const payload = { ...ids, backupId: backup.id, replacedHomeDir: '/s/a' };
      await insertJob(scene, { kind, payload, instanceId: target.id });
      return target;
    };
    assert.deepEqual(await attempt(await withJob('backup')), busy);
    assert.deepEqual(await attempt(await withJob('restore-in-place')), busy);
    assert.deepEqual(await attempt(await withJob('remove-instance')), wrong);
    for (const state of [
      { status: 'restoring', failure: null },
      { status: 'switching' },
    ] as const) {
      assert.deepEqual(await attempt(await addManaged({ state })), busy);
    }
    assert.deepEqual(await attempt(await addManaged({ state: { status: 'building' } })), wrong);
  });
  test('of 10 at once, exactly one is accepted', async () => {
    const backup = await scene.addBackup(await scene.addInstance());
    const target = await addManaged();
    const responses = await Promise.all(
      Array.from({ length: 10 }, () => recover(pointAt(backup), target.id)),
    );
    const codes = responses.map(({ statusCode }) => statusCode).sort();
    assert.deepEqual(codes, [200, ...Array.from({ length: 9 }, () => 409)]);
  });
  test('keeps its backup, its source and its target from going meanwhile', async () => {
    const source = await scene.addInstance();
    const backup = await scene.addBackup(source);
    const target = await addManaged();
    const { job_id } = (await recover(pointAt(backup), target.id)).json();
    const removal = await scene.call('DELETE', scene.rds(`/backups/${backup.id}`));
    assert.deepEqual([removal.statusCode, removal.json().error_code], [400, 'DBS.201208']);
    for (const { id } of [source, target]) {
      const response = await scene.call('DELETE', scene.rds(`/instances/${id}`));
      assert.deepEqual([response.statusCode, response.json().error_code], [409, 'DBS.201202']);
    }
    // Before a worker has it, the old server was never touched: cancelling gives it back at once.
    await scene.call('POST', scene.cairn(`/jobs/${job_id}/cancel`), { body: {} });
    assert.equal(await stateOf(target), 'active');
    assert.equal((await scene.call('DELETE', scene.rds(`/backups/${backup.id}`))).statusCode, 200);
  });
  test('is for owners only', async () => {
    const backup = await scene.addBackup(await scene.addInstance());
    const target = await addManaged();
    const token = await scene.tokenFor('operator');
    const body = { source: pointAt(backup), target: { instance_id: target.id } };
    for (const version of ['v3', 'v3.1']) {
      const path = scene.rds('/instances/recovery').replace('v3', version);
      assert.equal((await scene.call('POST', path, { body, token })).statusCode, 403);
    }
    assert.equal(await stateOf(target), 'active');
  });
});
