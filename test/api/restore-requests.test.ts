// What a restore to a new instance takes besides its backup: a client token, a policy, tags, a dry
// run, a quota.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createApiServer } from '../../src/api/server.ts';
import type { Backup } from '../../src/model/backup.ts';
import type { InstanceId } from '../../src/model/ids.ts';
import type { RestoreRequest } from '../../src/operations/restore/request-restore.ts';
import { requestRestore } from '../../src/operations/restore/request-restore.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, password } from './api-scene.ts';

let scene: ApiScene;
let backup: Backup;
before(async () => {
  scene = await openApiScene();
  backup = await scene.addBackup(await scene.addInstance());
});
after(() => scene[Symbol.asyncDispose]());

let names = 0;
const bodyFor = (changes: object = {}) => ({
  name: `restored-${++names}`,
  restore_point: { instance_id: backup.instanceId, backup_id: backup.id },
  ...changes,
});
const restore = (body: unknown, token?: string) =>
  scene.call('POST', scene.rds('/instances'), {
    body,
    ...(token === undefined ? {} : { headers: { 'x-client-token': token } }),
  });
const count = () => scene.catalog.instances.count(backup.projectId);
const hourMs = 3_600_000;

describe('a client token', () => {
  test('makes one instance of a request that is sent again, whatever it repeats', async () => {
    const body = bodyFor({ tags: [{ key: 'a', value: 'b' }], password });
    const first = await restore(body, 'token-again');
    const before = await count();
    const again = await restore({ ...body, password: 'another', vpc_id: 'x' }, 'token-again');
    assert.equal(again.statusCode, 202, again.body);
    assert.equal(again.json().instance.id, first.json().instance.id);
    assert.equal(again.json().job_id, first.json().job_id);
    assert.equal(await count(), before);
  });
  test('makes one of ten that arrive at once', async () => {
    const body = bodyFor();
    const before = await count();
    const all = await Promise.all(Array.from({ length: 10 }, () => restore(body, 'token-raced')));
    assert.deepEqual([...new Set(all.map(({ statusCode }) => statusCode))], [202]);
    assert.equal(new Set(all.map((response) => response.json().job_id)).size, 1);
    assert.equal(await count(), before + 1);
  });
  test('gives the answer of its twin when both were accepted at the same moment', async () => {
    const request: RestoreRequest = {
      ...{ projectId: backup.projectId, sourceInstanceId: backup.instanceId, name: 'twins' },
      point: { kind: 'end-of-backup', backupId: backup.id },
      skippedTransactions: [],
      ...{ port: 0, engine: null, version: null, strategy: null, tags: [] },
    };
    const options = { clientToken: 'token-twin', effect: 'restore' } as const;
    const first = await requestRestore(scene.parts, request, options);
    // The second looked before the first had written.
    let looks = 0;
    const { catalog } = scene.parts;
    const find: typeof catalog.clientTokens.find = async (...args) =>
      looks++ === 0 ? null : await catalog.clientTokens.find(...args);
    const late = { ...catalog, clientTokens: { ...catalog.clientTokens, find } };
    const before = await count();
    const second = await requestRestore({ ...scene.parts, catalog: late }, request, options);
    assert.equal(second.jobId, first.jobId);
    assert.equal(await count(), before);
    const other = { ...request, name: 'not-twins' };
    looks = 0;
    await assert.rejects(requestRestore({ ...scene.parts, catalog: late }, other, options), {
      reason: 'client-token-reused',
    });
    assert.equal(await count(), before);
  });
  test('with another request is refused, and makes nothing', async () => {
    await restore(bodyFor(), 'token-other');
    const before = await count();
    const response = await restore(bodyFor(), 'token-other');
    assert.deepEqual([response.statusCode, response.json().error_code], [409, 'DBS.201201']);
    assert.equal(await count(), before);
  });
  test('is forgotten after 72 hours, and never outlives its instance', async () => {
    const body = bodyFor();
    const { id } = (await restore(body, 'token-old')).json().instance;
    await scene.catalog.instances.delete(id as InstanceId);
    const gone = await restore(body, 'token-old');
    assert.deepEqual([gone.statusCode, gone.json().error_code], [409, 'DBS.201201']);
    const opened = await openApiScene();
    await using other = opened;
    const kept = await other.addBackup(await other.addInstance());
    const restore_point = { instance_id: kept.instanceId, backup_id: kept.id };
    const ask = (name: string) =>
      other.call('POST', other.rds('/instances'), {
        body: { name, restore_point },
        headers: { 'x-client-token': 'token' },
      });
    assert.equal((await ask('first')).statusCode, 202);
    assert.equal((await ask('second')).statusCode, 409);
    await other.clock.advance(72 * hourMs - 1);
    const token = await other.tokenFor('owner');
    const late = (name: string) =>
      other.call('POST', other.rds('/instances'), {
        ...{ body: { name, restore_point }, token },
        headers: { 'x-client-token': 'token' },
      });
    assert.equal((await late('second')).statusCode, 409);
    await other.clock.advance(1);
    assert.equal((await late('second')).statusCode, 202);
  });
  test('of another form is refused; an empty one counts for nothing', async () => {
    for (const token of ['a b', 'x'.repeat(65), 'ä']) {
      assert.equal((await restore(bodyFor(), token)).statusCode, 400, token);
    }
    const body = bodyFor();
    assert.equal((await restore(body, '')).statusCode, 202);
    assert.equal((await restore(body, '')).statusCode, 409);
  });
});

describe('a restore to a new instance', () => {
  test('keeps policy and tags of its request, and shows them', async () => {
    const strategy = { start_time: '23:15-00:15', keep_days: '9' };
    const tags = [{ key: 'team', value: 'a' }];
    const response = await restore(bodyFor({ backup_strategy: strategy, tags }));
    const { id, backup_strategy } = response.json().instance;
    const shown = { start_time: '23:15-00:15', keep_days: 9 };
    assert.deepEqual(backup_strategy, shown);
    const list = await scene.call('GET', scene.rds(`/instances?id=${id}`));
    assert.deepEqual(list.json().instances[0].backup_strategy, shown);
    assert.deepEqual(list.json().instances[0].tags, tags);
    const record = await scene.catalog.policies.find(id);
    assert.deepEqual(record?.policy, {
      ...{ kind: 'on', keepDays: 9 },
      schedule: { startMinute: 23 * 60 + 15, weekdays: [1, 2, 3, 4, 5, 6, 7] },
    });
  });
  test('refuses a policy or tags that are none', async () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ backup_strategy: { start_time: '02:00-03:00', keep_days: 4000 } }, 'DBS.280250'],
      [{ backup_strategy: { start_time: '02:00-04:00', keep_days: 7 } }, 'DBS.280253'],
      [{ backup_strategy: { start_time: '02:10-03:10', keep_days: 7 } }, 'DBS.280253'],
      [{ backup_strategy: {} }, 'DBS.280253'],
      [{ tags: Array.from({ length: 21 }, (_, at) => ({ key: `${at}` })) }, 'DBS.280001'],
      [{ tags: [{ key: '' }] }, 'DBS.280001'],
    ];
    const before = await count();
    for (const [changes, code] of cases) {
      const response = await restore(bodyFor(changes));
      const label = `${JSON.stringify(changes)} ${response.body}`;
      assert.deepEqual([response.statusCode, response.json().error_code], [400, code], label);
    }
    assert.equal(await count(), before);
  });
  test('with dry_run only checks', async () => {
    const before = await count();
    const body = bodyFor({ dry_run: true, tags: [{ key: 'dry', value: 'run' }] });
    const response = await restore(body, 'token-dry');
    assert.equal(response.statusCode, 202, response.body);
    assert.deepEqual([response.json().instance.id, response.json().job_id], ['', '']);
    assert.equal(await count(), before);
    const { tags } = (await scene.call('GET', scene.rds('/tags'))).json();
    assert.ok(!JSON.stringify(tags).includes('dry'));
    const source = await scene.addInstance();
    assert.equal((await restore(bodyFor({ dry_run: true, name: source.name }))).statusCode, 409);
    assert.equal((await restore({ ...body, dry_run: false }, 'token-dry')).statusCode, 202);
  });
  test('to the exact end of a backup by time is that backup', async () => {
    const { state } = backup;
    const restore_time = state.status === 'completed' ? state.endedAt.getTime() : 0;
    const point = { instance_id: backup.instanceId, type: 'timestamp', restore_time };
    const response = await restore(bodyFor({ restore_point: point }));
    assert.equal(response.statusCode, 202, response.body);
    assert.deepEqual(response.json().instance.restore_point, point);
  });
  test('stops at the quota, also when many ask at once', async () => {
    await using other = await openApiScene();
    const kept = await other.addBackup(await other.addInstance());
    const app = createApiServer({ ...other.parts, instanceQuota: 3 });
    await app.ready();
    const ask = (name: string) =>
      app.inject({
        method: 'POST',
        url: other.rds('/instances'),
        headers: { 'x-auth-token': other.token, 'content-type': 'application/json' },
        payload: JSON.stringify({
          name,
          restore_point: { instance_id: kept.instanceId, backup_id: kept.id },
        }),
      });
    const all = await Promise.all(Array.from({ length: 6 }, (_, at) => ask(`raced-${at}`)));
    const codes = all.map(({ statusCode }) => statusCode).sort();
    assert.deepEqual(codes, [202, 202, 413, 413, 413, 413]);
    const refused = all.find(({ statusCode }) => statusCode === 413);
    assert.equal(refused?.json().error_code, 'DBS.200046');
    const headers = { 'x-auth-token': other.token };
    const quotas = await app.inject({ method: 'GET', url: other.rds('/quotas'), headers });
    assert.deepEqual(quotas.json(), {
      quotas: { resources: [{ type: 'instance', quota: 3, used: 3 }] },
    });
    await app.close();
  });
});
