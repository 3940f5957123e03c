// What the API does with an engine that Cairn starts no servers of: whole backups are restored
// database by database, to a moment, beside what a server has or in its place.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EngineDriver } from '../../src/engines/engine.ts';
import { createSqlServerDriver } from '../../src/engines/sqlserver/driver.ts';
import type { Backup } from '../../src/model/backup.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { LogPosition } from '../../src/model/log-position.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  const sqlserver: EngineDriver = createSqlServerDriver({
    ...{ clock: systemClock, random: systemRandom },
    ...{ openExchange: neverHere, openBucket: neverHere },
  });
  scene = await openApiScene({ engines: { sqlserver } });
});
after(() => scene[Symbol.asyncDispose]());

async function neverHere(): Promise<never> {
  throw new Error('the API moves no bytes');
}

const at = (moment: string): LogPosition => ({
  ...{ engine: 'sqlserver', moment: `20260105T${moment}.0000000`, offsetBytes: 0 },
});
const totals = { fileCount: 1, logicalBytes: 1024, newBytes: 1024, storedBytes: 1024 };
const endedAt = new Date('2026-01-05T01:02:03.400Z');
const done: Backup['state'] = {
  ...{ status: 'completed', endedAt, totals },
  ...{ startPosition: at('010000'), stopPosition: at('010200') },
};

const addServer = (serverVersion = '16.0.4135.4-SE'): Promise<Instance> =>
  scene.addInstance({ engine: 'sqlserver', serverVersion });

async function addBackup(changes: Partial<Backup> = {}, source?: Instance): Promise<Backup> {
  return await scene.addBackup(source ?? (await addServer()), { state: done, ...changes });
}

function recover(source: object, target: Instance, more: object = {}) {
  const body = { source, target: { instance_id: target.id }, ...more };
  return scene.call('POST', scene.rds('/instances/recovery'), { body });
}

async function payloadOn(target: Instance) {
  const [job] = await scene.catalog.jobs.listOpen(target.id);
  assert.equal(job?.kind, jobKinds.restoreDatabases);
  return job?.payload ?? assert.fail();
}

const of = (backup: Backup) => ({ instance_id: backup.instanceId, backup_id: backup.id });

describe('a backup of SQL Server', () => {
  test('can be one of what has changed, of the whole server only', async () => {
    const create = async (instance: Instance, body: object) => {
      const call = { body: { instance_id: instance.id, ...body } };
      return await scene.call('POST', scene.rds('/backups'), call);
    };
    const made = await create(await addServer(), { name: 'changed', type: 'fragment' });
    assert.equal(made.statusCode, 200, made.body);
    assert.equal(made.json().backup.type, 'fragment');
    const other = await create(await scene.addInstance(), { name: 'other', type: 'fragment' });
    assert.deepEqual([other.statusCode, other.json().error_code], [400, 'DBS.201207']);
    const some = { name: 'some', type: 'fragment', databases: [{ name: 'shop' }] };
    const part = await create(await addServer(), some);
    assert.deepEqual([part.statusCode, part.json().error_code], [400, 'DBS.280001']);
    const odd = await create(await addServer(), { name: 'odd-one', type: 'auto' });
    assert.equal(odd.statusCode, 400);
  });

  test('of what has changed is listed, offered as a moment and deleted like others', async () => {
    const instance = await addServer();
    const backup = await addBackup({ type: 'fragment' }, instance);
    const path = scene.rds(`/backups?instance_id=${instance.id}&backup_type=fragment`);
    assert.equal((await scene.call('GET', path)).json().total_count, 1);
    const windows = await scene.call('GET', scene.rds(`/instances/${instance.id}/restore-time`));
    // The server knows to the second when a backup ended.
    const from = Date.parse('2026-01-05T01:02:04Z');
    assert.deepEqual(windows.json().restore_time, [{ start_time: from, end_time: from }]);
    const deleted = await scene.call('DELETE', scene.rds(`/backups/${backup.id}`));
    assert.equal(deleted.statusCode, 200, deleted.body);
  });

  test('becomes no new server, and no tables', async () => {
    const backup = await addBackup();
    const body = { name: 'fresh', restore_point: { ...of(backup), type: 'backup' } };
    const fresh = await scene.call('POST', scene.rds('/instances'), { body });
    assert.deepEqual([fresh.statusCode, fresh.json().error_code], [400, 'DBS.201207']);
    assert.match(fresh.json().error_msg, /instances\/recovery/);
    const path = scene.rds('/instances/batch/restore/tables');
    const tables = [{ old_name: 'orders', new_name: 'orders2' }];
    const schemas = [{ schema: 'dbo', tables }];
    const wanted = { restore_time: endedAt.getTime(), instance_id: backup.instanceId };
    const instances = [{ ...wanted, databases: [{ database: 'shop', schemas }] }];
    const parts = await scene.call('POST', path, { body: { instances } });
    assert.deepEqual([parts.statusCode, parts.json().error_code], [400, 'DBS.201207']);
  });
});

describe('a recovery of SQL Server', () => {
  test('of everything takes the place of what is there', async () => {
    const source = await addServer();
    const backup = await addBackup({}, source);
    const restore_all_database = true;
    const answer = await recover({ ...of(backup), restore_all_database }, source);
    assert.equal(answer.statusCode, 200, answer.body);
    const payload = await payloadOn(source);
    assert.deepEqual([payload['databases'], payload['replace']], [[], true]);
    assert.equal(payload['recovery'], null);
    const { state } = await scene.catalog.instances.get(source.projectId, source.id);
    assert.equal(state.status, 'active');
  });

  test('of databases is beside what is there, several times if it is asked for', async () => {
    const backup = await addBackup();
    const target = await addServer();
    const database_name = { 'we]ird 🛒': '', shop: 'shop_a, shop_b' };
    const answer = await recover({ ...of(backup), database_name }, target);
    assert.equal(answer.statusCode, 200, answer.body);
    const payload = await payloadOn(target);
    assert.equal(payload['replace'], false);
    assert.deepEqual(payload['databases'], [
      { oldName: 'we]ird 🛒', newName: 'we]ird 🛒' },
      { oldName: 'shop', newName: 'shop_a' },
      { oldName: 'shop', newName: 'shop_b' },
    ]);
    const replacing = await addServer();
    await recover({ ...of(backup), database_name: { shop: '' } }, replacing, { replace: true });
    assert.equal((await payloadOn(replacing))['replace'], true);
  });

  test('refuses names that the API does not take', async () => {
    const backup = await addBackup();
    const target = await addServer();
    for (const names of ['we]ird', 'webmaster', 'a'.repeat(65), 'one,ONE', 'msdb', 'a,']) {
      const answer = await recover({ ...of(backup), database_name: { shop: names } }, target);
      const isTaken = names === 'a,';
      assert.equal(answer.statusCode, isTaken ? 200 : 400, `${names}: ${answer.body}`);
    }
  });

  test('goes where the published table says, or, on our own way, where a server can', async () => {
    const cases = [
      ['14.0.1-SE', '15.0.1-EE', 200, 200],
      ['14.0.1-SE', '16.0.1-SE', 400, 200],
      ['15.0.1-EE', '16.0.1-SE', 400, 200],
      ['16.0.1-EE', '16.0.1-SE', 200, 200],
      ['16.0.1-SE', '15.0.1-EE', 400, 400],
      ['13.0.1-SE', '16.0.1-SE', 200, 200],
    ] as const;
    const database_name = { shop: 'shop_a' };
    for (const [from, to, published, own] of cases) {
      const backup = await addBackup({}, await addServer(from));
      const answer = await recover({ ...of(backup), database_name }, await addServer(to));
      assert.equal(answer.statusCode, published, `${from} to ${to}: ${answer.body}`);
      if (published === 400) assert.equal(answer.json().error_code, 'DBS.200041');
      const path = scene.cairn(`/instances/${(await addServer(to)).id}/databases/restore`);
      const asked = await scene.call('POST', path, { body: { backup_id: backup.id } });
      assert.equal(asked.statusCode, own, `${from} to ${to}: ${asked.body}`);
    }
  });

  test('to a moment that log leads to is planned with that log', async () => {
    const { source, streamId } = await addLogged();
    const restore_time = Date.parse('2026-01-05T01:30:00Z');
    const target = await addServer();
    const named = { instance_id: source.id, type: 'timestamp', restore_time };
    const answer = await recover({ ...named, database_name: { shop: 'then' } }, target);
    assert.equal(answer.statusCode, 200, answer.body);
    const { recovery } = await payloadOn(target);
    assert.equal((recovery as { log: { streamId: string } }).log.streamId, streamId);
    const late = await recover({ ...named, restore_time: restore_time + 3_600_000 }, target);
    assert.equal(late.statusCode, 400);
    const databases = [{ old_name: 'shop', new_name: 'shop_then' }];
    const path = scene.rds('/instances/batch/restore/databases');
    const instances = [{ restore_time, instance_id: source.id, databases }];
    const batch = await scene.call('POST', path, { body: { instances } });
    assert.equal(batch.statusCode, 200, batch.body);
    assert.notEqual((await payloadOn(source))['recovery'], null);
  });

  test('waits for no backup: over one it is refused', async () => {
    const source = await addServer();
    const backup = await addBackup({}, source);
    const body = { instance_id: source.id, name: 'running-one' };
    await scene.call('POST', scene.rds('/backups'), { body });
    const over = await recover(of(backup), source);
    assert.deepEqual([over.statusCode, over.json().error_code], [409, 'DBS.201202']);
    const beside = await recover({ ...of(backup), database_name: { shop: 'other' } }, source);
    assert.equal(beside.statusCode, 200, beside.body);
  });

  test('takes a backup of the instance that is named, and one that is whole', async () => {
    const backup = await addBackup();
    const [target, stranger] = [await addServer(), await addServer()];
    const other = await recover({ ...of(backup), instance_id: stranger.id }, target);
    assert.equal(other.statusCode, 400);
    const engine = await recover(of(backup), await scene.addInstance());
    assert.equal(engine.statusCode, 400);
    const skipped_transactions = ['0-11-8179'];
    const skipped = await recover({ ...of(backup), skipped_transactions }, target);
    assert.equal(skipped.statusCode, 400);
  });
});

test('other engines keep what they have: no database of theirs is replaced', async () => {
  const target = await scene.addInstance();
  const backup = await scene.addBackup(target, { databases: ['shop'] });
  const path = scene.cairn(`/instances/${target.id}/databases/restore`);
  const body = { backup_id: backup.id, replace: true };
  const replaced = await scene.call('POST', path, { body });
  assert.deepEqual([replaced.statusCode, replaced.json().error_code], [400, 'DBS.201207']);
  const restore_point = { instance_id: target.id, type: 'timestamp', restore_time: 1 };
  const moment = await scene.call('POST', path, { body: { restore_point } });
  assert.deepEqual([moment.statusCode, moment.json().error_code], [400, 'DBS.201207']);
  const both = await scene.call('POST', path, { body: { backup_id: backup.id, restore_point } });
  assert.equal(both.statusCode, 400);
});

/** An instance with a full backup and half an hour of log behind it. */
async function addLogged(): Promise<{ source: Instance; streamId: string }> {
  const source = await addServer();
  await addBackup({}, source);
  const beganAt = new Date('2026-01-05T00:59:00Z');
  const id = `019a00000000-${source.id.slice(0, 8)}`;
  await scene.catalog.logStreams.insert({
    ...{ id: id as never, projectId: source.projectId, instanceId: source.id },
    ...{ engine: 'sqlserver', systemIdentifier: 'server', beganAt, updatedAt: beganAt },
    ...{ startPosition: at('005900'), keptFrom: at('005900') },
    state: { status: 'following' },
    progress: {
      covered: { position: at('013500'), at: new Date('2026-01-05T01:35:00Z') },
      ...{ closed: null, behindBytes: null, warning: null, trouble: null },
    },
  });
  return { source, streamId: id };
}
