// What each role may do, asked at the door and not in the table.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requireProject } from '../../src/api/auth.ts';
import { createApiServer } from '../../src/api/server.ts';
import type { ApiScene, Method } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
let viewer = '';
let operator = '';
let owner = '';
before(async () => {
  scene = await openApiScene();
  viewer = await scene.tokenFor('viewer');
  operator = await scene.tokenFor('operator');
  owner = await scene.tokenFor('owner');
});
after(() => scene[Symbol.asyncDispose]());

type Route = readonly [Method, path: string];

/** Every route below a project that the document shows, with the real project. */
function listRoutes(): Route[] {
  return Object.entries(scene.app.swagger().paths ?? {}).flatMap(([path, operations]) =>
    /^\/(v3|v3\.1|cairn\/v1)\/\{projectId\}\//.test(path)
      ? Object.keys(operations ?? {}).map(
          (method): Route => [
            method.toUpperCase() as Method,
            path.replace('{projectId}', projectId).replaceAll(/\{[^}]+\}/g, 'x'),
          ],
        )
      : [],
  );
}

async function isRefused([method, path]: Route, token: string): Promise<boolean> {
  const response = await scene.call(method, path, { token, payload: '{' });
  if (response.statusCode !== 403) return false;
  return /The role \w+ does not allow [\w:]+\. It takes the role /.test(response.json().error_msg);
}

/** What is read there is the data itself. */
const secretReads = /download|\/backup-files/;
const readingPosts = /\/(simplified-instances|fast-restore)$/;

describe('a viewer', () => {
  test('reads everything that names no secret, and changes nothing', async () => {
    const routes = listRoutes();
    assert.ok(routes.length > 20);
    for (const route of routes) {
      const [method, path] = route;
      const isReading = method === 'GET' ? !secretReads.test(path) : readingPosts.test(path);
      assert.equal(await isRefused(route, viewer), !isReading, route.join(' '));
    }
  });
});

describe('an operator', () => {
  const rds = (path: string): string => `/v3/${projectId}${path}`;
  test('makes backups and loses none', async () => {
    const instance = await scene.addInstance();
    const backup = await scene.addBackup(instance);
    const body = { instance_id: instance.id, name: 'by-operator' };
    const made = await scene.call('POST', rds('/backups'), { token: operator, body });
    assert.equal(made.statusCode, 200, made.body);
    const routes: Route[] = [
      ['DELETE', rds(`/backups/${backup.id}`)],
      ['DELETE', rds(`/instances/${instance.id}`)],
      ['PUT', rds(`/instances/${instance.id}/backups/policy`)],
      ['POST', `/cairn/v1/${projectId}/instances`],
    ];
    for (const route of routes) assert.ok(await isRefused(route, operator), route.join(' '));
    const path = rds(`/backups?instance_id=${instance.id}&backup_id=${backup.id}`);
    const list = await scene.call('GET', path, { token: operator });
    assert.equal(list.json().total_count, 1);
    const gone = await scene.call('DELETE', rds(`/backups/${backup.id}`), { token: owner });
    assert.equal(gone.statusCode, 200, gone.body);
  });
});

describe('an owner', () => {
  test('may everything', async () => {
    for (const route of listRoutes()) {
      assert.equal(await isRefused(route, owner), false, route.join(' '));
    }
  });
});

test('a refusal names action and role, in both languages, and has a code of its own', async () => {
  const call = { token: viewer, headers: { 'x-language': 'zh-cn' } };
  const response = await scene.call('DELETE', scene.rds('/backups/x'), call);
  const { error_code, error_msg } = response.json();
  assert.equal(error_code, 'DBS.200010');
  assert.match(error_msg, /角色.*rds:backup:delete/);
  const english = await scene.call('DELETE', scene.rds('/backups/x'), { token: viewer });
  assert.match(english.json().error_msg, /rds:backup:delete.*the role owner/);
});

test('a role that is taken away is gone with the next request', async () => {
  const token = await scene.tokenFor('owner');
  const me = (await scene.call('GET', '/cairn/v1/users/me', { token })).json().user;
  assert.equal((await scene.call('GET', scene.rds('/instances'), { token })).statusCode, 200);
  const path = `/cairn/v1/users/${me.id}/grants/${projectId}`;
  assert.equal((await scene.call('DELETE', path)).statusCode, 204);
  const response = await scene.call('GET', scene.rds('/instances'), { token });
  assert.equal(response.statusCode, 403);
  assert.equal((await scene.call('GET', '/v3/auth/projects', { token })).json().projects.length, 0);
});

test('the stronger of two roles counts', async () => {
  const token = await scene.tokenFor('viewer');
  const me = (await scene.call('GET', '/cairn/v1/users/me', { token })).json().user;
  const body = { role: 'operator' };
  await scene.call('PUT', `/cairn/v1/users/${me.id}/grants/all`, { body });
  const instance = await scene.addInstance();
  const backup = { instance_id: instance.id, name: 'by-stronger' };
  const made = await scene.call('POST', scene.rds('/backups'), { token, body: backup });
  assert.equal(made.statusCode, 200, made.body);
});

test('a route below a project that names no action cannot be added', async () => {
  const app = createApiServer(scene.parts);
  app.register(
    async (scope) => {
      requireProject(scope, scene.parts);
      scope.get('/forgotten', async () => ({}));
    },
    { prefix: '/v3/:projectId' },
  );
  await assert.rejects(async () => await app.ready(), /forgotten does not say which action/);
  await app.close();
});
