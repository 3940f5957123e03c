import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { pino } from 'pino';
import type { ApiScene } from './api-scene.ts';
import { keys, openApiScene, password } from './api-scene.ts';

const lines: string[] = [];
const sink = new Writable({
  write(chunk, _encoding, done) {
    lines.push(String(chunk));
    done();
  },
});

let scene: ApiScene;
let port = 0;
before(async () => {
  scene = await openApiScene({ log: pino({ level: 'trace' }, sink) });
  const address = await scene.app.listen({ host: '127.0.0.1', port: 0 });
  port = Number(new URL(address).port);
});
after(() => scene[Symbol.asyncDispose]());

/** Bytes in, bytes out: what no HTTP library would send. */
async function sendRaw(bytes: string): Promise<{ status: number; head: string; body: string }> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(5000, () => socket.destroy());
  socket.write(bytes);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head, body };
}

describe('versions', () => {
  test('are answered without a login and without a redirect', async () => {
    for (const path of ['/', '/rds', '/rds/']) {
      const response = await scene.call('GET', path, { token: null });
      assert.equal(response.statusCode, 200, path);
      assert.equal(response.json().versions[0].id, 'v3');
      assert.equal(response.json().versions[0].updated, '2019-01-15T12:00:00Z');
    }
    const single = await scene.call('GET', '/rds/v3', { token: null });
    assert.deepEqual(single.json().version, single.json().versions);
    const keystone = await scene.call('GET', '/v3', { token: null });
    const { id, status, links } = keystone.json().version;
    assert.deepEqual([id, status, links[0].rel], ['v3', 'CURRENT', 'self']);
    assert.match(links[0].href, /\/v3\/$/);
    const [media] = keystone.json().version['media-types'];
    assert.equal(media.type, 'application/vnd.openstack.identity-v3+json');
    const { href } = links[0];
    const linked = await scene.call('GET', new URL(href).pathname, { token: null });
    assert.equal(linked.statusCode, 200);
  });
});

describe('health', () => {
  test('is the health of the catalog', async () => {
    const healthy = await scene.call('GET', '/healthz', { token: null });
    assert.deepEqual(healthy.json(), { status: 'ok' });
    await using broken = await openApiScene();
    await broken.catalog.close();
    const response = await broken.call('GET', '/healthz', { token: null });
    assert.ok(response.statusCode >= 500);
    assert.equal(typeof response.json().error_code, 'string');
    await broken.app.close();
  });
});

describe('every answer', () => {
  test('has a request id of its own, in the header and in the body of an error', async () => {
    const first = await scene.call('GET', '/nowhere', { headers: { 'x-request-id': 'mine' } });
    const second = await scene.call('GET', '/healthz');
    const id = String(first.headers['x-request-id']);
    assert.match(id, /^[0-9a-f]{32}$/);
    assert.equal(first.json().request_id, id);
    assert.notEqual(second.headers['x-request-id'], id);
    assert.ok(lines.some((line) => line.includes(id) && line.includes('"status":404')));
  });
  test('to an unknown path, or a reading method there is not, is 404 in JSON', async () => {
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['GET', '/v3/x/nowhere'],
      ['GET', '/V3'],
      ['PUT', '/nowhere'],
      ['POST', `/cairn/v1`],
      ['OPTIONS', scene.rds('/backups')],
      ['GET', scene.rds('/backups/x')],
      ['GET', `${scene.rds('/backups')}/%2e%2e/%2e%2e/etc`],
    ] as const) {
      const response = await scene.call(method, path);
      assert.equal(response.statusCode, 404, `${method} ${path}`);
      assert.equal(response.json().error_code, 'APIGW.0101');
      assert.match(String(response.headers['content-type']), /^application\/json/);
    }
    assert.equal((await scene.call('HEAD', scene.rds('/instances'))).statusCode, 404);
  });
  test('to a writing method there is not is 405 and names those there are', async () => {
    for (const [method, path, allow] of [
      ['PUT', scene.rds('/backups'), 'GET, POST'],
      ['PATCH', '/', 'GET'],
      ['POST', scene.rds('//backups/some-id/'), 'DELETE'],
      ['DELETE', '/docs/static/index.html', 'GET, HEAD'],
      ['PUT', '/v3/auth/tokens?nocatalog', 'DELETE, GET, HEAD, POST'],
    ] as const) {
      const response = await scene.call(method, path, { token: null });
      assert.equal(response.statusCode, 405, `${method} ${path}`);
      assert.equal(response.headers.allow, allow, path);
      assert.equal(response.json().error_code, 'APIGW.0101');
    }
    const keystone = await scene.call('PUT', '/v3/auth/tokens');
    assert.equal(keystone.json().error.title, 'Method Not Allowed');
    const chinese = await scene.call('PATCH', '/', { headers: { 'x-language': 'zh-cn' } });
    assert.match(chinese.json().error_msg, /不支持/);
  });
  test('to a body that is too large is 413', async () => {
    const payload = `{"name":"${'x'.repeat(1024 * 1024)}"}`;
    const response = await scene.call('POST', scene.rds('/backups'), { payload });
    assert.equal(response.statusCode, 413);
    assert.equal(response.json().error_code, 'APIGW.0201');
  });
  test('to a body that is clearly no JSON is 415, once the login is right', async () => {
    const types = [
      'text/xml',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
    ];
    for (const type of types) {
      const call = { headers: { 'content-type': type }, payload: '{}' };
      const response = await scene.call('POST', scene.rds('/backups'), call);
      assert.equal(response.statusCode, 415, type);
      assert.equal(response.json().error_code, 'APIGW.0201');
      const outside = await scene.call('POST', scene.rds('/backups'), { ...call, token: null });
      assert.equal(outside.statusCode, 401, type);
    }
    for (const type of [
      'application/json;charset=utf8',
      'application/octet-stream',
      'text/plain',
    ]) {
      const call = { headers: { 'content-type': type }, payload: '{"instance_id":"x"}' };
      const response = await scene.call('POST', scene.rds('/backups'), call);
      assert.equal(response.statusCode, 400, type);
    }
  });
  test('to a broken address is 400 in JSON', async () => {
    const response = await scene.call('GET', '/%zz');
    assert.equal(response.statusCode, 400);
    assert.equal(response.json().error_code, 'APIGW.0201');
  });
  test('to bytes that are no HTTP is JSON too', async () => {
    for (const bytes of [
      'NONSENSE\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`,
    ]) {
      const { status, head, body } = await sendRaw(bytes);
      assert.equal(status, 400, head);
      assert.equal(JSON.parse(body).error_code, 'APIGW.0201');
      assert.match(head, /X-Request-Id: [0-9a-f]{32}/);
    }
  });
});

describe('what clients send without meaning it', () => {
  test('slashes too many', async () => {
    for (const path of ['/instances/', '//instances', '/instances//']) {
      assert.equal((await scene.call('GET', scene.rds(path))).statusCode, 200, path);
    }
  });
  test('a content type, or a body, with GET and DELETE', async () => {
    const instance = await scene.addInstance();
    for (const type of ['application/json', 'application/json;charset=utf8', 'text/plain']) {
      const headers = { 'content-type': type };
      const get = await scene.call('GET', scene.rds('/instances'), { headers });
      assert.equal(get.statusCode, 200, type);
      const backup = await scene.addBackup(instance);
      const path = scene.rds(`/backups/${backup.id}`);
      assert.equal((await scene.call('DELETE', path, { headers })).statusCode, 200, type);
    }
    for (const payload of ['{}', '{', 'x']) {
      const get = await scene.call('GET', scene.rds('/instances'), { payload });
      assert.equal(get.statusCode, 200, payload);
    }
  });
  test('a body without a content type, or with a wrong one', async () => {
    const body = JSON.stringify({ instance_id: 'unknown', name: 'some-name' });
    for (const type of ['application/json; charset=UTF-8', 'text/plain', 'nonsense', undefined]) {
      const lengths = { Host: 'a', 'Content-Length': String(body.length), Connection: 'close' };
      const headers = {
        ...lengths,
        'X-Auth-Token': scene.token,
        ...(type === undefined ? {} : { 'Content-Type': type }),
      };
      const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      const answer = await sendRaw(
        `POST ${scene.rds('/backups')} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n${body}`,
      );
      const expected = type === 'nonsense' ? 'APIGW.0201' : 'DBS.200002';
      assert.equal(JSON.parse(answer.body).error_code, expected, type);
    }
  });
});

test('a public address is used in links when there is one', async () => {
  const { createApiServer } = await import('../../src/api/server.ts');
  const app = createApiServer({ ...scene.parts, publicUrl: 'https://rds.example.test' });
  const response = await app.inject({ method: 'GET', url: '/v3' });
  assert.equal(response.json().version.links[0].href, 'https://rds.example.test/v3/');
  await app.close();
});

describe('a caller who asks too often', () => {
  const limited = async (limits: object) => {
    const { createApiServer } = await import('../../src/api/server.ts');
    const rateLimits = { requestsPerMinute: null, loginsPerMinute: null, ...limits };
    const app = createApiServer({ ...scene.parts, rateLimits });
    await app.ready();
    return app;
  };
  test('is answered 429 with the seconds to wait, and alone', async () => {
    const app = await limited({ requestsPerMinute: 3 });
    const url = scene.rds('/instances');
    const get = async (headers: Record<string, string>, remoteAddress = '10.0.0.1') =>
      await app.inject({ method: 'GET', url, headers, remoteAddress });
    const mine = { 'x-auth-token': scene.token };
    for (let at = 0; at < 3; at++) assert.equal((await get(mine)).statusCode, 200);
    const refused = await get({ ...mine, 'x-language': 'zh-cn' });
    assert.equal(refused.statusCode, 429);
    assert.equal(refused.json().error_code, 'APIGW.0308');
    assert.match(refused.json().error_msg, /频繁/);
    assert.match(String(refused.headers['retry-after']), /^([1-9]|[1-5]\d|60)$/);
    assert.match(String(refused.headers['x-request-id']), /^[0-9a-f]{32}$/);
    const other = await scene.tokenFor('viewer');
    assert.equal((await get({ 'x-auth-token': other })).statusCode, 200);
    const scope = 'SignedHeaders=x-sdk-date';
    const signature = `Signature=${'0'.repeat(64)}`;
    const authorization = `SDK-HMAC-SHA256 Access=${keys.accessKey}, ${scope}, ${signature}`;
    for (let at = 0; at < 3; at++) await get({ authorization });
    assert.equal((await get({ authorization })).statusCode, 429);
    const elsewhere = await get({ authorization }, '10.0.0.2');
    assert.equal(elsewhere.statusCode, 401, 'an access key is no secret: it cannot be used up');
    for (const path of ['/healthz', '/openapi.json']) {
      for (let at = 0; at < 5; at++) {
        assert.equal((await app.inject({ method: 'GET', url: path })).statusCode, 200);
      }
    }
    await app.close();
  });
  test('for tokens has a limit of its own, by address', async () => {
    const app = await limited({ loginsPerMinute: 2 });
    const post = async (remoteAddress: string) =>
      await app.inject({ method: 'POST', url: '/v3/auth/tokens', payload: {}, remoteAddress });
    for (let at = 0; at < 2; at++) assert.equal((await post('10.0.0.1')).statusCode, 400);
    const refused = await post('10.0.0.1');
    assert.equal(refused.statusCode, 429);
    assert.equal(refused.json().error.title, 'Too Many Requests');
    assert.equal((await post('10.0.0.2')).statusCode, 400);
    for (let at = 0; at < 5; at++) {
      const headers = { 'x-auth-token': scene.token };
      const url = scene.rds('/instances');
      assert.equal((await app.inject({ method: 'GET', url, headers })).statusCode, 200);
    }
    await app.close();
  });
});

test('an error that nobody foresaw is a 500 in JSON that tells nothing', async () => {
  const { createApiServer } = await import('../../src/api/server.ts');
  const catalog = { ...scene.catalog, ping: () => Promise.reject(new TypeError('inner thing')) };
  const app = createApiServer({ ...scene.parts, catalog });
  const response = await app.inject({ method: 'GET', url: '/healthz' });
  assert.equal(response.statusCode, 500);
  assert.equal(response.json().error_code, 'DBS.108000');
  assert.ok(!response.body.includes('inner thing'));
  assert.ok(lines.some((line) => line.includes('inner thing')));
  await app.close();
});

test('no secret is in any log line', async () => {
  await scene.call('POST', '/v3/auth/tokens', {
    token: null,
    body: {
      auth: { identity: { methods: ['password'], password: { user: { name: 1, password } } } },
    },
  });
  await scene.call('POST', scene.cairn('/instances'), {
    body: { name: 'logged', url: `postgres://u:${password}@h/d` },
  });
  await scene.call('POST', scene.cairn('/instances'), { body: { name: 'x', password, port: 'x' } });
  assert.ok(lines.length > 20);
  for (const secret of [password, scene.token, keys.secretKey]) {
    assert.ok(!lines.some((line) => line.includes(secret)));
  }
});
