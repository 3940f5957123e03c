import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ProjectId } from '../../src/model/ids.ts';
import type { ApiScene, Call, Method } from './api-scene.ts';
import { keys, openApiScene, password, projectId } from './api-scene.ts';
import { sdkDate, signAccess } from './sign-request.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const strong = 'a-strong-enough-secret-7';
const manage = async (method: Method, path: string, call: Call = {}, on = scene) =>
  await on.call(method, `/cairn/v1${path}`, call);

async function addUser(name: string, body: object = {}, on = scene): Promise<string> {
  const response = await manage(
    'POST',
    '/users',
    { body: { name, password: strong, ...body } },
    on,
  );
  assert.equal(response.statusCode, 201, response.body);
  return response.json().user.id;
}

async function logIn(id: string, given: string, on = scene) {
  const password = { user: { id, password: given } };
  const body = { auth: { identity: { methods: ['password'], password } } };
  return await on.call('POST', '/v3/auth/tokens', { token: null, body });
}

const tokenOf = (response: Awaited<ReturnType<typeof logIn>>): string =>
  String(response.headers['x-subject-token']);

describe('users', () => {
  test('are made with a password of their own, or one that is shown once', async () => {
    const made = await manage('POST', '/users', { body: { name: 'anna' } });
    assert.equal(made.statusCode, 201);
    const { user, password: shown } = made.json();
    assert.deepEqual(user.grants, []);
    assert.equal((await logIn(user.id, shown)).statusCode, 201);
    const given = await manage('POST', '/users', { body: { name: 'bert', password: strong } });
    assert.equal(given.json().password, null);
    const list = await manage('GET', '/users');
    assert.ok(!list.body.includes(shown) && !list.body.includes('scrypt'));
    const names = list.json().users.map(({ name }: { name: string }) => name);
    assert.deepEqual(names.slice(0, 3), ['admin', 'anna', 'bert']);
  });
  test('with grants in one step, or not at all', async () => {
    const grants = [{ project_id: projectId, role: 'viewer' }];
    const id = await addUser('with-grants', { grants });
    const shown = await manage('GET', `/users/${id}/grants`);
    assert.deepEqual(shown.json(), { grants });
    const unknown = [{ project_id: 'f'.repeat(32), role: 'viewer' }];
    const body = { name: 'half-made', password: strong, grants: unknown };
    assert.equal((await manage('POST', '/users', { body })).statusCode, 404);
    assert.ok(!(await manage('GET', '/users')).body.includes('half-made'));
  });
  test('need a free, well-formed name and a strong password', async () => {
    await addUser('taken');
    for (const [body, status, code] of [
      [{ name: 'taken' }, 409, 'DBS.201201'],
      [{ name: '1st' }, 400, 'DBS.280001'],
      [{ name: '' }, 400, 'DBS.280001'],
      [{ name: 'weak', password: 'short-Pass1' }, 400, 'DBS.200052'],
      [{ name: 'weak', password: 'aaaaaaaaaaaaaaaaaaaa' }, 400, 'DBS.200052'],
      [{ name: 'gerda', password: 'i-am-Gerda-12345' }, 400, 'DBS.200052'],
      [{ name: 'weak', password: 'x1y2z3'.repeat(25) }, 400, 'DBS.200052'],
      [{ name: 'weak', grants: [{ project_id: null, role: 'god' }] }, 400, 'DBS.280001'],
    ] as const) {
      const response = await manage('POST', '/users', { body });
      assert.equal(response.statusCode, status, JSON.stringify(body));
      assert.equal(response.json().error_code, code, JSON.stringify(body));
      if ('password' in body) assert.ok(!response.body.includes(body.password));
    }
  });
  test('that are removed are gone with tokens and access keys', async () => {
    const id = await addUser('leaver', { grants: [{ project_id: null, role: 'owner' }] });
    const token = tokenOf(await logIn(id, strong));
    const key = (await manage('POST', `/users/${id}/access-keys`)).json();
    assert.equal((await manage('DELETE', `/users/${id}`)).statusCode, 204);
    assert.equal((await manage('GET', '/users', { token })).statusCode, 401);
    assert.equal(await scene.catalog.identity.findAccessKey(key.access_key), null);
    assert.equal((await logIn(id, strong)).statusCode, 401);
    assert.equal((await manage('DELETE', `/users/${id}`)).statusCode, 404);
  });
});

describe('the management of users and projects', () => {
  test('is for owners of every project, not of one', async () => {
    const me = scene.user.id;
    const routes: readonly (readonly [Method, string])[] = [
      ['GET', '/users'],
      ['POST', '/users'],
      ['GET', `/users/${me}`],
      ['DELETE', `/users/${me}`],
      ['PUT', `/users/${me}/password`],
      ['GET', `/users/${me}/grants`],
      ['PUT', `/users/${me}/grants/all`],
      ['DELETE', `/users/${me}/grants/all`],
      ['GET', `/users/${me}/access-keys`],
      ['POST', `/users/${me}/access-keys`],
      ['GET', '/projects'],
      ['POST', '/projects'],
      ['DELETE', `/projects/${projectId}`],
    ];
    const token = await scene.tokenFor('owner');
    const body = { name: 'sneaky', password: strong, role: 'viewer' };
    for (const [method, path] of routes) {
      const response = await manage(method, path, { token, body });
      assert.equal(response.statusCode, 403, `${method} ${path} ${response.body}`);
      const none = await manage(method, path, { token: null, body });
      assert.equal(none.statusCode, 401);
    }
    const { access_key } = (await manage('POST', '/users/me/access-keys')).json();
    const foreign = await manage('DELETE', `/access-keys/${access_key}`, { token });
    assert.equal(foreign.statusCode, 404);
    assert.ok(await scene.catalog.identity.findAccessKey(access_key));
  });
  test('of a user who is not there, or in another domain, is 404', async () => {
    const stranger = { ...scene.user, id: 'e'.repeat(32), domainId: 'other', domainName: 'other' };
    await scene.catalog.identity.insertUser(stranger as typeof scene.user);
    for (const id of ['unknown', stranger.id, '%00']) {
      assert.equal((await manage('GET', `/users/${id}`)).statusCode, 404, id);
      assert.equal((await manage('DELETE', `/users/${id}`)).statusCode, 404, id);
      const body = { role: 'owner' };
      assert.equal((await manage('PUT', `/users/${id}/grants/all`, { body })).statusCode, 404, id);
    }
  });
});

describe('a change of password', () => {
  test('of one’s own needs the current one, and ends every token', async () => {
    const id = await addUser('changer');
    const token = tokenOf(await logIn(id, strong));
    const put = async (body: object) => await manage('PUT', '/users/me/password', { token, body });
    const next = 'another-strong-one-8';
    assert.equal((await put({ password: next })).statusCode, 403);
    assert.equal((await put({ password: next, current_password: 'wrong' })).statusCode, 403);
    const weak = await put({ password: 'short', current_password: strong });
    assert.equal(weak.json().error_code, 'DBS.200052');
    const changed = await put({ password: next, current_password: strong });
    assert.equal(changed.statusCode, 204, changed.body);
    assert.equal((await manage('GET', '/users/me', { token })).statusCode, 401);
    assert.equal((await logIn(id, strong)).statusCode, 401);
    assert.equal((await logIn(id, next)).statusCode, 201);
  });
  test('by an owner ends the lock of the login', async () => {
    const id = await addUser('locked-out');
    for (let at = 0; at < 6; at++) await logIn(id, 'wrong');
    assert.match((await logIn(id, strong)).json().error_msg, /locked/);
    const body = { password: 'given-by-an-owner-9' };
    assert.equal((await manage('PUT', `/users/${id}/password`, { body })).statusCode, 204);
    assert.equal((await logIn(id, body.password)).statusCode, 201);
  });
  test('cannot be guessed at with an open session', async () => {
    const id = await addUser('guessed');
    const token = tokenOf(await logIn(id, strong));
    const put = async (current_password: string) =>
      await manage('PUT', '/users/me/password', {
        token,
        body: { password: 'another-strong-one-8', current_password },
      });
    for (let at = 0; at < 5; at++) assert.equal((await put('wrong')).statusCode, 403);
    assert.match((await put(strong)).json().error_msg, /locked/);
  });
});

describe('the last owner', () => {
  test('cannot be removed, demoted or revoked, also when two go at once', async () => {
    await using own = await openApiScene();
    const me = own.user.id;
    const attempts = async (id: string) => [
      await manage('DELETE', `/users/${id}`, {}, own),
      await manage('PUT', `/users/${id}/grants/all`, { body: { role: 'viewer' } }, own),
      await manage('DELETE', `/users/${id}/grants/all`, {}, own),
    ];
    for (const response of await attempts(me)) {
      assert.equal(response.statusCode, 409, response.body);
      assert.equal(response.json().error_code, 'DBS.200402');
    }
    const again = await manage('PUT', `/users/${me}/grants/all`, { body: { role: 'owner' } }, own);
    assert.equal(again.statusCode, 200);
    const grants = [{ project_id: null, role: 'owner' }];
    const second = await addUser('second', { grants }, own);
    const key = { method: 'DELETE' as const, at: own };
    const both = await Promise.all(
      [me, second].map((id) => manage(key.method, `/users/${id}/grants/all`, {}, own)),
    );
    assert.deepEqual(both.map(({ statusCode }) => statusCode).sort()[0], 204);
    const left = await own.catalog.identity.listDomainGrants('default');
    assert.equal(left.filter(({ role, projectId: at }) => role === 'owner' && !at).length, 1);
  });
});

describe('access keys', () => {
  test('of one’s own are made, sign, and are removed; the secret is shown once', async () => {
    const token = await scene.tokenFor('viewer');
    const made = await manage('POST', '/users/me/access-keys', { token });
    assert.equal(made.statusCode, 201, made.body);
    const { access_key: accessKey, secret_key: secretKey } = made.json();
    const list = await manage('GET', '/users/me/access-keys', { token });
    assert.equal(list.json().access_keys[0].access_key, accessKey);
    assert.ok(!list.body.includes(secretKey));
    const call = async (method: Method) => {
      const path = scene.rds('/instances');
      const date = sdkDate(scene.clock.now());
      const headers = [['host', 'localhost:80'] as const, ['x-sdk-date', date] as const];
      const authorization = signAccess({ method, path, headers }, { accessKey, secretKey });
      const sent = { ...Object.fromEntries(headers), authorization };
      return await scene.call(method, path, { token: null, headers: sent });
    };
    assert.equal((await call('GET')).statusCode, 200);
    const removed = await manage('DELETE', `/access-keys/${accessKey}`, { token });
    assert.equal(removed.statusCode, 204);
    assert.equal((await call('GET')).statusCode, 401);
    assert.equal((await manage('DELETE', `/access-keys/${accessKey}`)).statusCode, 404);
  });
  test('open what their user may, and no project more', async () => {
    const other = 'a'.repeat(32) as ProjectId;
    await scene.catalog.identity.insertProject({ id: other, name: 'walled', domainId: 'default' });
    const id = await addUser('walled-in', { grants: [{ project_id: other, role: 'viewer' }] });
    const made = (await manage('POST', `/users/${id}/access-keys`)).json();
    const call = async (project: string) => {
      const path = `/v3/${project}/instances`;
      const date = sdkDate(scene.clock.now());
      const headers = [['host', 'localhost:80'] as const, ['x-sdk-date', date] as const];
      const given = { accessKey: made.access_key, secretKey: made.secret_key };
      const authorization = signAccess({ method: 'GET', path, headers }, given);
      const sent = { ...Object.fromEntries(headers), authorization };
      return await scene.call('GET', path, { token: null, headers: sent });
    };
    assert.equal((await call(other)).statusCode, 200);
    assert.equal((await call(projectId)).statusCode, 403);
    assert.notEqual(made.access_key, keys.accessKey);
  });
});

describe('projects', () => {
  test('are made, listed and removed', async () => {
    const made = await manage('POST', '/projects', { body: { name: 'eu-de_team' } });
    assert.equal(made.statusCode, 201, made.body);
    const { id } = made.json().project;
    assert.match(id, /^[0-9a-f]{32}$/);
    const again = await manage('POST', '/projects', { body: { name: 'eu-de_team' } });
    assert.equal(again.json().error_code, 'DBS.201201');
    for (const name of ['', 'a b', 'ä', 'x'.repeat(65)]) {
      assert.equal((await manage('POST', '/projects', { body: { name } })).statusCode, 400);
    }
    const reader = { project_id: id, role: 'viewer' };
    const user = await addUser('of-the-team', { grants: [reader] });
    assert.equal((await manage('DELETE', `/projects/${id}`)).statusCode, 204);
    assert.deepEqual((await manage('GET', `/users/${user}/grants`)).json(), { grants: [] });
    assert.equal((await manage('DELETE', `/projects/${id}`)).statusCode, 404);
  });
  test('stay while anything is in them', async () => {
    await using own = await openApiScene();
    const path = `/projects/${projectId}`;
    const instance = await own.addInstance();
    const backup = await own.addBackup(instance);
    const refuse = async () => {
      const response = await manage('DELETE', path, {}, own);
      assert.equal(response.statusCode, 409);
      assert.equal(response.json().error_code, 'DBS.200402');
    };
    await refuse();
    await own.catalog.instances.delete(instance.id);
    await refuse();
    await own.catalog.backups.delete(backup.id);
    assert.equal((await manage('DELETE', path, {}, own)).statusCode, 204);
    assert.equal((await own.call('GET', own.rds('/instances'))).statusCode, 401);
  });
  test('are seen by those who have a role in them', async () => {
    const id = await addUser('outsider');
    const token = tokenOf(await logIn(id, strong));
    for (const path of ['/v3/auth/projects', '/v3/projects?name=test']) {
      assert.deepEqual((await scene.call('GET', path, { token })).json().projects, [], path);
    }
    assert.deepEqual((await scene.call('GET', '/v3/regions', { token })).json().regions, []);
    const scoped = await scene.call('POST', '/v3/auth/tokens', {
      token: null,
      body: {
        auth: {
          identity: { methods: ['token'], token: { id: token } },
          scope: { project: { id: projectId } },
        },
      },
    });
    assert.equal(scoped.statusCode, 403);
  });
});

test('no password is stored or answered as it is', async () => {
  const response = await manage('GET', '/users');
  assert.ok(!response.body.includes(password) && !response.body.includes(strong));
});
