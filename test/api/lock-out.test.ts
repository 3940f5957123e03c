import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { userLogin } from '../../src/operations/identity/issue-token.ts';
import type { ApiScene } from './api-scene.ts';
import { keys, openApiScene, password, projectId } from './api-scene.ts';
import type { Keys } from './sign-request.ts';
import { sdkDate, signAccess } from './sign-request.ts';

const minuteMs = 60_000;

async function logIn(
  scene: ApiScene,
  given: string,
  name = 'admin',
  domain: { readonly name: string } | null = { name: 'acme' },
) {
  const user = { name, password: given, ...(domain && { domain }) };
  const body = { auth: { identity: { methods: ['password'], password: { user } } } };
  return await scene.call('POST', '/v3/auth/tokens', { token: null, body });
}

async function sign(scene: ApiScene, given: Keys, remoteAddress = '10.0.0.1') {
  const path = `/v3/${projectId}/instances`;
  const date = sdkDate(scene.clock.now());
  const headers = [['host', 'localhost:80'] as const, ['x-sdk-date', date] as const];
  const authorization = signAccess({ method: 'GET', path, headers }, given);
  return await scene.app.inject({
    method: 'GET',
    url: path,
    remoteAddress,
    headers: { ...Object.fromEntries(headers), authorization },
  });
}

async function domainOf(scene: ApiScene): Promise<string> {
  const [project] = await scene.catalog.identity.listProjects();
  return project?.domainId ?? assert.fail();
}

async function failTimes(count: number, attempt: () => Promise<{ statusCode: number }>) {
  for (let at = 0; at < count; at++) assert.equal((await attempt()).statusCode, 401);
}

describe('a login with a password', () => {
  test('is locked by five failures in a row, even for the right password', async () => {
    await using scene = await openApiScene();
    await failTimes(5, () => logIn(scene, 'wrong'));
    const locked = await logIn(scene, password);
    assert.equal(locked.statusCode, 401);
    assert.equal(locked.json().error_code, 'APIGW.0301');
    assert.match(locked.json().error.message, /locked/);
    await scene.clock.advance(15 * minuteMs - 1);
    assert.equal((await logIn(scene, password)).statusCode, 401);
    await scene.clock.advance(1);
    assert.equal((await logIn(scene, password)).statusCode, 201);
    await failTimes(1, () => logIn(scene, 'wrong'));
    assert.equal((await logIn(scene, password)).statusCode, 201, 'the count began anew');
  });
  test('is not locked by failures with a success among them', async () => {
    await using scene = await openApiScene();
    for (let round = 0; round < 2; round++) {
      await failTimes(4, () => logIn(scene, 'wrong'));
      assert.equal((await logIn(scene, password)).statusCode, 201);
    }
  });
  test('is locked by failures that name the domain and failures that do not, as one', async () => {
    await using scene = await openApiScene();
    const answers: unknown[] = [];
    for (const name of ['admin', 'nobody']) {
      await failTimes(3, () => logIn(scene, 'wrong', name));
      await failTimes(2, () => logIn(scene, 'wrong', name, null));
      answers.push((await logIn(scene, 'wrong', name)).json().error_msg);
    }
    assert.match(String(answers[0]), /locked/i);
    assert.equal(answers[0], answers[1]);
  });
  test('is not locked by a failure that a clock far ahead has noted', async () => {
    await using scene = await openApiScene();
    await failTimes(4, () => logIn(scene, 'wrong'));
    const [user] = await scene.catalog.identity.listUsers(await domainOf(scene));
    const ahead = new Date(scene.clock.now().getTime() + 365 * 24 * 60 * minuteMs);
    const login = userLogin(user?.id ?? assert.fail());
    await scene.catalog.identity.addLoginFailure(login, ahead, new Date(0));
    assert.equal((await logIn(scene, password)).statusCode, 201);
  });
  test('is locked alike where there is no such user, and alone', async () => {
    await using scene = await openApiScene();
    await failTimes(5, () => logIn(scene, 'wrong'));
    await failTimes(5, () => logIn(scene, 'wrong', 'nobody'));
    const [known, unknown] = [await logIn(scene, 'wrong'), await logIn(scene, 'wrong', 'nobody')];
    assert.equal(known.json().error_msg, unknown.json().error_msg);
    assert.match((await logIn(scene, 'wrong', 'else')).json().error_msg, /wrong/);
  });
  test('is one login by name and by id', async () => {
    await using scene = await openApiScene();
    await failTimes(5, () => logIn(scene, 'wrong'));
    const identity = {
      methods: ['password'],
      password: { user: { id: scene.user.id, password } },
    };
    const byId = await scene.call('POST', '/v3/auth/tokens', {
      token: null,
      body: { auth: { identity } },
    });
    assert.match(byId.json().error_msg, /locked/);
  });
  test('writes nothing once it is locked, and leaves tokens and access keys alone', async () => {
    await using scene = await openApiScene();
    await failTimes(5, () => logIn(scene, 'wrong'));
    let writes = 0;
    const { identity } = scene.catalog;
    const add = identity.addLoginFailure;
    identity.addLoginFailure = async (...args) => {
      writes++;
      return await add(...args);
    };
    await failTimes(5, () => logIn(scene, 'wrong'));
    assert.equal(writes, 0);
    assert.equal((await scene.call('GET', scene.rds('/instances'))).statusCode, 200);
    assert.equal((await sign(scene, keys)).statusCode, 200);
  });
  test('is not let in by a right guess among many at once', async () => {
    await using scene = await openApiScene();
    const guesses = [...Array.from({ length: 12 }, () => 'wrong'), password];
    const answers = await Promise.all(guesses.map((guess) => logIn(scene, guess)));
    assert.deepEqual([...new Set(answers.map(({ statusCode }) => statusCode))], [401]);
  });
});

describe('an access key', () => {
  const wrong = { ...keys, secretKey: 'wrong' };
  test('is locked by five wrong signatures in a row, for the address they came from', async () => {
    await using scene = await openApiScene();
    await failTimes(5, () => sign(scene, wrong));
    const locked = await sign(scene, keys);
    assert.equal(locked.statusCode, 401);
    assert.match(locked.json().error_msg, /locked/);
    assert.equal((await sign(scene, keys, '10.0.0.2')).statusCode, 200);
    await scene.clock.advance(15 * minuteMs);
    assert.equal((await sign(scene, keys)).statusCode, 200);
  });
  test('that does not exist is not remembered', async () => {
    await using scene = await openApiScene();
    const unknown = { ...keys, accessKey: 'UNKNOWN' };
    await failTimes(7, () => sign(scene, unknown));
    assert.match((await sign(scene, unknown)).json().error_msg, /wrong/);
  });
});
