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
    const { href } = keystone.json().version.links[0];
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
  test('to an unknown path or method is 404 in JSON', async () => {
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['GET', '/v3/x/nowhere'],
      ['GET', '/V3'],
      ['PUT', scene.rds('/backups')],
      ['OPTIONS', scene.rds('/backups')],
      ['PATCH', '/'],
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
