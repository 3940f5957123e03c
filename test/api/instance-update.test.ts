// Another address for a registered server.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CairnError } from '../../src/model/errors.ts';
import type { Instance } from '../../src/model/instance.ts';
import { insertJob } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { blocking, openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const url = 'postgres://other:new-secret@moved.example.com:6543/postgres';

async function update(id: string, body: unknown = { url }, token?: string) {
  const path = scene.cairn(`/instances/${id}`);
  return await scene.call('PUT', path, { body, ...(token === undefined ? {} : { token }) });
}

const stored = (id: Instance['id']): Promise<Instance> =>
  scene.catalog.instances.get(projectId, id);

describe('an update of a connection', () => {
  test('tests the server, and stores address and password', async () => {
    const instance = await scene.addInstance();
    const answer = await update(instance.id);
    assert.equal(answer.statusCode, 200, answer.body);
    assert.equal(answer.json().instance.host, 'moved.example.com');
    assert.ok(!answer.body.includes('new-secret'));
    const { connection, ...rest } = await stored(instance.id);
    assert.equal(connection?.password?.reveal(), 'new-secret');
    assert.deepEqual([connection.host, connection.port], ['moved.example.com', 6543]);
    assert.equal(rest.name, instance.name);
    assert.equal(scene.driver.seen.at(-1)?.host, 'moved.example.com');
  });

  test('makes an instance active that was known from its backups only', async () => {
    const state = { status: 'failed', reason: 'known from its backups only' } as const;
    const instance = await scene.addInstance({ state, connection: null });
    const answer = await update(instance.id);
    assert.equal(answer.json().instance.status, 'active', answer.body);
  });

  test('is refused when another server answers, or one that cannot be backed up', async () => {
    const instance = await scene.addInstance({ systemIdentifier: '42' });
    const other = await update(instance.id);
    assert.equal(other.statusCode, 422, other.body);
    assert.match(other.json().error_msg, /another server answers/);
    const second = await scene.addInstance();
    scene.driver.answer = { findings: [blocking] };
    assert.equal((await update(second.id)).statusCode, 422);
    scene.driver.answer = new CairnError('engine-unreachable', 'nobody answers there');
    const away = await update(second.id);
    scene.driver.answer = {};
    assert.equal(away.statusCode, 422);
    assert.match(away.body, /nobody answers there/);
    for (const { id } of [instance, second]) {
      assert.equal((await stored(id)).connection?.host, 'db.example.com');
    }
  });

  test('waits for jobs that use the connection, not for those that do not', async () => {
    const instance = await scene.addInstance();
    const of = { projectId, instanceId: instance.id };
    await insertJob(scene, { ...of, kind: 'check' });
    await insertJob(scene, { ...of, kind: 'prune' });
    assert.equal((await update(instance.id)).statusCode, 200);
    const backup = await insertJob(scene, { ...of, kind: 'backup' });
    const busy = await update(instance.id);
    assert.equal(busy.statusCode, 409, busy.body);
    await scene.catalog.jobs.requestCancel(backup.id, scene.clock.now());
    assert.equal((await update(instance.id)).statusCode, 200);
  });

  test('is not for servers that Cairn runs, nor for other engines', async () => {
    const managed = { homeDir: '/h', dataDir: '/h/data', binDir: '/b', place: null };
    const restored = await scene.addInstance({ managed });
    const ours = await update(restored.id);
    assert.equal(ours.statusCode, 400);
    assert.match(ours.json().error_msg, /only the connection of a registered server/i);
    const building = await scene.addInstance({ state: { status: 'building' } });
    assert.equal((await update(building.id)).statusCode, 400);
    const instance = await scene.addInstance();
    const mysql = await update(instance.id, { engine: 'mysql', host: 'h', user: 'u' });
    assert.ok(mysql.statusCode >= 400 && mysql.statusCode < 500, mysql.body);
    assert.equal((await update('ffffffffffffffffffffffffffffffffin03')).statusCode, 404);
  });

  test('takes the role that registers', async () => {
    const instance = await scene.addInstance();
    const operator = await scene.tokenFor('operator');
    assert.equal((await update(instance.id, { url }, operator)).statusCode, 403);
  });
});
