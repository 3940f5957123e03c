import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openCatalog } from '../../src/catalog/open-catalog.ts';
import { bootstrapIdentity } from '../../src/operations/identity/bootstrap-identity.ts';
import { issueToken } from '../../src/operations/identity/issue-token.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, password, projectId } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const acme = { id: 'default', name: 'acme' };
const passwordLogin = (user: object, scope?: object) => ({
  auth: {
    identity: { methods: ['password'], password: { user: { password, ...user } } },
    ...(scope ? { scope } : {}),
  },
});
const login = async (body: unknown, query = '') =>
  await scene.call('POST', `/v3/auth/tokens${query}`, { token: null, body });

describe('createToken', () => {
  const admin = { name: 'admin', domain: { name: 'acme' } };

  test('answers 201 with a token that works', async () => {
    const response = await login(passwordLogin(admin, { project: { name: 'test' } }));
    assert.equal(response.statusCode, 201);
    const text = String(response.headers['x-subject-token']);
    const { token } = response.json();
    assert.equal(token.issued_at, '2030-01-01T00:00:00.000000Z');
    assert.equal(token.expires_at, '2030-01-02T00:00:00.000000Z');
    assert.deepEqual(token.user, { id: scene.user.id, name: 'admin', domain: acme });
    assert.deepEqual(token.project, { id: projectId, name: 'test', domain: acme });
    const rds = token.catalog.find((entry: { type: string }) => entry.type === 'rdsv3');
    assert.deepEqual(rds.endpoints[0], {
      id: `rdsv3-${projectId}-public`,
      interface: 'public',
      region: 'test',
      region_id: 'test',
      url: `http://localhost:80/v3/${projectId}`,
    });
    const list = await scene.call('GET', scene.rds('/instances'), { token: text });
    assert.equal(list.statusCode, 200);
    assert.ok(!response.body.includes(password));
  });
  test('without the catalogue when asked so', async () => {
    for (const query of ['?nocatalog', '?nocatalog=true']) {
      const response = await login(passwordLogin(admin, { project: { id: projectId } }), query);
      assert.equal(response.json().token.catalog, undefined);
    }
  });
  test('finds the user by name with or without the domain, and by id', async () => {
    const scope = { project: { id: projectId } };
    for (const user of [
      admin,
      { name: 'admin' },
      { name: 'admin', domain: { id: 'default' } },
      { id: scene.user.id },
    ]) {
      assert.equal((await login(passwordLogin(user, scope))).statusCode, 201);
    }
  });
  test('for the domain, with or without a scope', async () => {
    for (const scope of [undefined, { domain: { name: 'acme' } }]) {
      const response = await login(passwordLogin(admin, scope));
      assert.equal(response.statusCode, 201);
      assert.deepEqual(response.json().token.domain, acme);
      assert.equal(response.json().token.project, undefined);
    }
  });
  test('from another token, ending with it', async () => {
    const body = {
      auth: {
        identity: { methods: ['token'], token: { id: scene.token } },
        scope: { project: { id: projectId } },
      },
    };
    const response = await login(body);
    assert.equal(response.statusCode, 201);
    assert.equal(response.json().token.expires_at, '2030-01-02T00:00:00.000000Z');
  });
  test('refuses in the form of Keystone, and in ours', async () => {
    const wrong = await login(passwordLogin({ ...admin, password: 'wrong-password' }));
    assert.equal(wrong.statusCode, 401);
    const body = wrong.json();
    assert.equal(body.error.code, 401);
    assert.equal(body.error.title, 'Unauthorized');
    assert.equal(body.error.message, body.error_msg);
    assert.equal(body.error_code, 'APIGW.0301');
    assert.ok(!wrong.body.includes('wrong-password'));
    const nobody = await login(passwordLogin({ name: 'nobody' }));
    assert.equal(nobody.json().error_msg, body.error_msg);
    for (const user of [
      { name: 'admin', domain: { name: 'other' } },
      { name: 'admin', domain: { id: 'other' } },
      { id: 'other' },
      { name: 'ADMIN' },
    ]) {
      assert.equal((await login(passwordLogin(user))).statusCode, 401);
    }
  });
  test('refuses a project that is not there', async () => {
    const response = await login(passwordLogin(admin, { project: { name: 'nowhere' } }));
    assert.equal(response.statusCode, 403);
  });
  test('refuses a scope in another domain', async () => {
    for (const domain of [{ name: 'other' }, { id: 'other' }]) {
      for (const scope of [{ domain }, { project: { name: 'test', domain } }]) {
        const response = await login(passwordLogin(admin, scope));
        assert.equal(response.statusCode, 403, JSON.stringify(scope));
        assert.equal(response.json().error.title, 'Forbidden');
      }
    }
    const scope = { project: { name: 'test', domain: { id: 'default' } } };
    assert.equal((await login(passwordLogin(admin, scope))).statusCode, 201);
  });
  test('refuses what is no login', async () => {
    for (const body of [
      {},
      { auth: {} },
      { auth: { identity: { methods: [] } } },
      { auth: { identity: { methods: ['password'] } } },
      { auth: { identity: { methods: ['totp'] } } },
      passwordLogin({}),
      passwordLogin({ name: 7 }),
      passwordLogin(admin, { project: {} }),
    ]) {
      const response = await login(body);
      assert.equal(response.statusCode, 400, JSON.stringify(body));
      assert.equal(response.json().error.code, 400);
    }
  });
});

describe('validateToken', () => {
  test('tells about a token, GET and HEAD', async () => {
    const headers = { 'x-subject-token': scene.token };
    const response = await scene.call('GET', '/v3/auth/tokens', { headers });
    assert.equal(response.statusCode, 200);
    assert.equal(response.headers['x-subject-token'], scene.token);
    assert.equal(response.json().token.project.id, projectId);
    const head = await scene.call('HEAD', '/v3/auth/tokens', { headers });
    assert.equal(head.statusCode, 200);
    assert.equal(head.body, '');
  });
  test('an unknown one is 404, GET and HEAD, and another user’s is 403', async () => {
    const headers = { 'x-subject-token': 'unknown' };
    const unknown = await scene.call('GET', '/v3/auth/tokens', { headers });
    assert.equal(unknown.statusCode, 404);
    assert.equal(unknown.json().error.title, 'Not Found');
    assert.equal((await scene.call('HEAD', '/v3/auth/tokens', { headers })).statusCode, 404);
    const foreign = { 'x-subject-token': await scene.tokenFor('viewer') };
    const refused = await scene.call('GET', '/v3/auth/tokens', { headers: foreign });
    assert.equal(refused.statusCode, 403);
  });
  test('names the role that the user has there', async () => {
    const token = await scene.tokenFor('operator');
    const answer = await scene.call('GET', '/v3/auth/tokens', { token });
    assert.deepEqual(answer.json().token.roles, [{ id: 'operator', name: 'operator' }]);
    const identity = { methods: ['token'], token: { id: token } };
    const domain = await login({ auth: { identity } });
    assert.deepEqual(domain.json().token.roles, []);
  });
});

describe('revokeToken', () => {
  const path = '/v3/auth/tokens';
  test('ends a token, and only one’s own', async () => {
    const token = await scene.tokenFor('viewer');
    const own = { 'x-subject-token': scene.token };
    assert.equal((await scene.call('DELETE', path, { token, headers: own })).statusCode, 403);
    const headers = { 'x-subject-token': token };
    const revoked = await scene.call('DELETE', path, { token, headers });
    assert.equal(revoked.statusCode, 204);
    assert.equal(revoked.body, '');
    assert.equal((await scene.call('GET', scene.rds('/instances'), { token })).statusCode, 401);
    assert.equal((await scene.call('DELETE', path, { headers })).statusCode, 404);
  });
  test('must be told which', async () => {
    assert.equal((await scene.call('DELETE', path)).statusCode, 400);
    assert.equal((await scene.call('GET', scene.rds('/instances'))).statusCode, 200);
  });
});

describe('what token clients ask next', () => {
  test('the catalogue', async () => {
    const response = await scene.call('GET', '/v3/auth/catalog');
    assert.equal(response.json().catalog[0].type, 'rdsv3');
  });
  test('projects by name give exactly one, or none', async () => {
    const found = await scene.call('GET', '/v3/projects?name=test');
    assert.deepEqual(
      found.json().projects.map((project: { id: string }) => project.id),
      [projectId],
    );
    assert.deepEqual((await scene.call('GET', '/v3/projects?name=Test')).json().projects, []);
  });
  test('own projects and domains', async () => {
    const projects = await scene.call('GET', '/v3/auth/projects');
    assert.equal(projects.json().projects.length, 1);
    const domains = await scene.call('GET', '/v3/auth/domains');
    assert.equal(domains.json().domains[0].id, 'default');
  });
  test('regions, named after the projects', async () => {
    const list = await scene.call('GET', '/v3/regions');
    const { regions } = list.json();
    assert.deepEqual(
      regions.map(({ id }: { id: string }) => id),
      ['test'],
    );
    const one = await scene.call('GET', '/v3/regions/test');
    assert.deepEqual(one.json().region, regions[0]);
    assert.equal((await scene.call('GET', '/v3/regions/other')).statusCode, 404);
  });
  test('all need a login', async () => {
    for (const path of [
      '/v3/auth/catalog',
      '/v3/projects',
      '/v3/auth/projects',
      '/v3/auth/domains',
      '/v3/regions',
    ]) {
      assert.equal((await scene.call('GET', path, { token: null })).statusCode, 401);
    }
  });
});

describe('the first start', () => {
  test('makes one login, once, whoever is first', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-identity-'));
    const url = `sqlite:${join(folder, 'catalog.db')}`;
    const catalog = await openCatalog({ url, masterKey: MasterKey.generate() });
    const parts = { catalog, random: systemRandom, clock: new ManualClock() };
    const unsaved = async (): Promise<void> => {
      throw new Error('no space left');
    };
    await assert.rejects(bootstrapIdentity(parts, unsaved), /no space left/);
    const saved: unknown[] = [];
    const begin = () =>
      bootstrapIdentity(parts, async (credentials) => void saved.push(credentials));
    const results = await Promise.all([begin(), begin(), begin()]);
    const made = results.filter((result) => result !== null);
    assert.equal(made.length, 1);
    assert.equal(await begin(), null);
    const first = made[0];
    assert.deepEqual(saved, [first]);
    assert.ok(first);
    assert.ok(!JSON.stringify(first).includes(first.password.reveal()));
    const { name, id } = first.project;
    const user = { kind: 'name', name: first.userName, domain: null } as const;
    const credentials = { kind: 'password', user, password: first.password } as const;
    const issued = await issueToken(parts, credentials, { kind: 'project-name', name });
    assert.equal(issued.project?.id, id);
    const key = await catalog.identity.findAccessKey(first.accessKey);
    assert.equal(key?.secretKey.reveal(), first.secretKey.reveal());
    await catalog.close();
    await rm(folder, { recursive: true });
  });
});
