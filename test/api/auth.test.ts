import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newProjectId } from '../../src/model/ids.ts';
import { Secret } from '../../src/model/secret.ts';
import { hashToken } from '../../src/operations/identity/authenticate.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { ApiScene, Method } from './api-scene.ts';
import { keys, openApiScene, projectId } from './api-scene.ts';
import type { Keys, Unsigned } from './sign-request.ts';
import { sdkDate, sha256, signAccess, signCredential, targetOf } from './sign-request.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

type SignedCall = Omit<Unsigned, 'headers'> & {
  readonly at?: Date;
  readonly signed?: readonly (readonly [string, string])[];
  readonly unsigned?: Readonly<Record<string, string>>;
  readonly target?: string;
  readonly sent?: string;
  readonly keys?: Keys;
};

async function callSigned(
  { at = scene.clock.now(), signed = [], unsigned = {}, target, sent, ...rest }: SignedCall,
  sign: typeof signAccess = signAccess,
) {
  const request: Unsigned = {
    ...rest,
    headers: [...signed, ['Host', 'localhost:80'], ['X-Sdk-Date', sdkDate(at)]],
  };
  const payload = sent ?? (request.body === undefined ? undefined : String(request.body));
  return await scene.call(request.method as Method, target ?? targetOf(request), {
    token: null,
    headers: {
      ...Object.fromEntries(request.headers),
      ...unsigned,
      authorization: sign(request, rest.keys ?? keys),
    },
    ...(payload === undefined ? {} : { payload }),
  });
}

function assertUnauthenticated(response: Awaited<ReturnType<typeof callSigned>>): void {
  assert.equal(response.statusCode, 401, response.body);
  assert.equal(response.json().error_code, 'APIGW.0301');
}

describe('a token', () => {
  const get = async (headers: Record<string, string>) =>
    await scene.call('GET', scene.rds('/instances'), { token: null, headers });

  test('lets in', async () => {
    assert.equal((await get({ 'x-auth-token': scene.token })).statusCode, 200);
  });
  test('must be there, known, and not expired', async () => {
    assertUnauthenticated(await get({}));
    assertUnauthenticated(await get({ 'x-auth-token': '' }));
    assertUnauthenticated(await get({ 'x-auth-token': 'bad' }));
    assertUnauthenticated(await get({ 'x-auth-token': `${scene.token}x` }));
    const text = new Secret('expired-token');
    await scene.catalog.identity.insertToken({
      hash: hashToken(text),
      userId: scene.user.id,
      projectId,
      issuedAt: new Date(0),
      expiresAt: scene.clock.now(),
    });
    assertUnauthenticated(await get({ 'x-auth-token': text.reveal() }));
  });
  test('is not stored as it is', async () => {
    assert.equal(await scene.catalog.identity.findToken(scene.token), null);
  });
  test('opens only its own project: another is 403, never 401 or 404', async () => {
    const other = newProjectId(() => systemRandom.hex(16));
    await scene.catalog.identity.insertProject({ id: other, name: 'other', domainId: 'default' });
    for (const id of [other, 'unknown', '%00', 'a'.repeat(200)]) {
      for (const path of [`/v3/${id}/backups?instance_id=x`, `/cairn/v1/${id}/jobs`]) {
        const response = await scene.call('GET', path);
        assert.equal(response.statusCode, 403, path);
        assert.equal(response.json().error_code, 'DBS.280015');
      }
    }
  });
  test('X-Project-Id must not name another project', async () => {
    const same = { 'x-auth-token': scene.token, 'x-project-id': projectId };
    assert.equal((await get(same)).statusCode, 200);
    assert.equal((await get({ ...same, 'x-project-id': 'other' })).statusCode, 403);
  });
  test('for the domain opens no project', async () => {
    const text = new Secret('domain-token');
    await scene.catalog.identity.insertToken({
      hash: hashToken(text),
      userId: scene.user.id,
      projectId: null,
      issuedAt: scene.clock.now(),
      expiresAt: new Date(scene.clock.now().getTime() + 1000),
    });
    assert.equal((await get({ 'x-auth-token': text.reveal() })).statusCode, 403);
  });
});

describe('a signature', () => {
  const list = { method: 'GET', path: `/v3/${projectId}/instances` } as const;
  const forms = { access: signAccess, credential: signCredential };

  for (const [form, sign] of Object.entries(forms)) {
    test(`lets in: ${form}`, async () => {
      assert.equal((await callSigned(list, sign)).statusCode, 200);
    });
    test(`covers the body as it was sent: ${form}`, async () => {
      const instance = await scene.addInstance();
      const body = ` {"name":"signed-${form}",  "instance_id":"${instance.id}"}\n`;
      const call = {
        method: 'POST',
        path: `/v3/${projectId}/backups`,
        body,
        signed: [['Content-Type', 'application/json;charset=utf-8'] as const],
      };
      const altered = body.replace('signed-', 'forged-');
      assertUnauthenticated(await callSigned({ ...call, sent: altered }, sign));
      assert.equal((await callSigned(call, sign)).statusCode, 200);
    });
    test(`survives odd queries: ${form}`, async () => {
      const query = [
        ['instance_id', 'x'],
        ['begin_time', '2026-01-05T03:00:00+0800'],
        ['end_time', '2026-01-06T03:00:00 0800'],
        ['skip_cache', ''],
        ['Ünknown', "a b&c=d/e?f'(*)~"],
      ] as const;
      const response = await callSigned(
        { ...list, path: list.path.replace('instances', 'backups'), query },
        sign,
      );
      assert.equal(response.statusCode, 200, response.body);
    });
    test(`may be 15 minutes off and no more: ${form}`, async () => {
      const now = scene.clock.now().getTime();
      for (const [minutes, status] of [
        [15, 200],
        [-15, 200],
        [15.1, 401],
        [-15.1, 401],
      ] as const) {
        const at = new Date(now + minutes * 60_000);
        assert.equal((await callSigned({ ...list, at }, sign)).statusCode, status);
      }
    });
    test(`is refused for a wrong key, whichever half is wrong: ${form}`, async () => {
      const texts = [];
      for (const changed of [{ accessKey: 'UNKNOWN' }, { secretKey: 'wrong' }]) {
        const response = await callSigned({ ...list, keys: { ...keys, ...changed } }, sign);
        assertUnauthenticated(response);
        texts.push(response.json().error_msg);
      }
      assert.equal(texts[0], texts[1]);
    });
  }

  test('covers a body that comes with GET', async () => {
    const call = { ...list, body: '{}', signed: [['Content-Type', 'application/json'] as const] };
    assert.equal((await callSigned(call)).statusCode, 200);
    assertUnauthenticated(await callSigned({ ...call, sent: '{ }' }));
  });
  test('need not cover X-Project-Id, which then must fit the path', async () => {
    const fits = { ...list, unsigned: { 'x-project-id': projectId, 'x-domain-id': 'default' } };
    assert.equal((await callSigned(fits)).statusCode, 200);
    const other = { ...list, unsigned: { 'x-project-id': 'other' } };
    assert.equal((await callSigned(other)).statusCode, 403);
  });
  test('reads %20 and + in a query alike', async () => {
    const path = `/v3/${projectId}/backups`;
    const query = [
      ['instance_id', 'x'],
      ['begin_time', '2026-01-05T03:00:00 0800'],
      ['end_time', '2026-01-06T03:00:00 0800'],
    ] as const;
    for (const blank of ['%20', '+']) {
      const from = `begin_time=2026-01-05T03:00:00${blank}0800`;
      const text = `instance_id=x&${from}&end_time=2026-01-06T03:00:00${blank}0800`;
      const response = await callSigned({ method: 'GET', path, query, target: `${path}?${text}` });
      assert.equal(response.statusCode, 200, blank);
    }
  });
  test('is checked on the path as received, with one slash or two', async () => {
    const doubled = `/v3//${projectId}/instances/`;
    const response = await callSigned({ method: 'GET', path: doubled });
    assert.equal(response.statusCode, 200);
  });
  test('declares its payload rightly, or not at all', async () => {
    const hash = (text: string) => [['X-Sdk-Content-Sha256', sha256(text)] as const];
    assert.equal((await callSigned({ ...list, signed: hash('') })).statusCode, 200);
    assertUnauthenticated(await callSigned({ ...list, signed: hash('x') }));
  });
  test('in another grammar is refused', async () => {
    for (const authorization of [
      'Basic YWRtaW46YWRtaW4=',
      `V11-HMAC-SHA256 Credential=A/20300101/r/s, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
      `SDK-HMAC-SM3 Access=A, SignedHeaders=x-sdk-date, Signature=${'0'.repeat(64)}`,
      'SDK-HMAC-SHA256',
    ]) {
      assertUnauthenticated(
        await scene.call('GET', list.path, { token: null, headers: { authorization } }),
      );
    }
  });
  test('without a signed date is refused', async () => {
    const header = signAccess({ ...list, headers: [['Host', 'localhost:80']] }, keys);
    const headers = { authorization: header, 'x-sdk-date': sdkDate(scene.clock.now()) };
    assertUnauthenticated(await scene.call('GET', list.path, { token: null, headers }));
  });
});

test('nothing but a login is said to who has none', async () => {
  for (const [method, path] of [
    ['POST', '/backups'],
    ['DELETE', '/backups/x'],
    ['GET', '/jobs?id=x'],
    ['POST', '/instances'],
  ] as const) {
    const call = { token: null, payload: '{' };
    assertUnauthenticated(await scene.call(method, scene.rds(path), call));
  }
});
