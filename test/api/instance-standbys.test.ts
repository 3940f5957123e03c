// Standbys of a registered server: given by themselves or in the URL, kept, and shown with what
// they are.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiScene } from './api-scene.ts';
import { openApiScene, projectId } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const url = 'postgres://backup:secret@a.example.com/postgres';
const register = (body: object) => scene.call('POST', scene.cairn('/instances'), { body });

describe('standbys', () => {
  test('are looked at with the server, stored and shown', async () => {
    const standbys = [{ host: 'b.example.com', port: 5433 }, { host: 'c.example.com' }];
    const answer = await register({ name: 'with-standbys', url, standbys });
    assert.equal(answer.statusCode, 201, answer.body);
    const expected = [
      { host: 'b.example.com', port: 5433 },
      { host: 'c.example.com', port: 5432 },
    ];
    const { instance } = answer.json();
    assert.deepEqual(instance.standbys, expected);
    assert.deepEqual(scene.driver.seen.at(-1)?.standbys, expected);
    const stored = await scene.catalog.instances.get(projectId, instance.id);
    assert.deepEqual(stored.connection?.standbys, expected);
    scene.driver.hosts = [
      { host: 'a.example.com', port: 5432, role: 'unknown', problem: 'it is away' },
      { host: 'b.example.com', port: 5433, role: 'primary', timeline: 2 },
      ...[{ host: 'c.example.com', port: 5432, role: 'standby', timeline: 2 } as const].map(
        (host) => ({ ...host, isStreaming: true, lagMs: 1500 }),
      ),
    ];
    const shown = await scene.call('GET', scene.cairn(`/instances/${instance.id}`));
    const none = { timeline: null, streaming: null, lag_seconds: null, problem: null };
    assert.deepEqual(shown.json().hosts, [
      {
        ...{ host: 'a.example.com', port: 5432, role: 'unknown' },
        ...{ ...none, problem: 'it is away' },
      },
      { host: 'b.example.com', port: 5433, role: 'primary', ...none, timeline: 2 },
      {
        ...{ host: 'c.example.com', port: 5432, role: 'standby' },
        ...{ ...none, timeline: 2, streaming: true, lag_seconds: 1.5 },
      },
    ]);
  });

  test('an update without them takes them away, and then no server is asked', async () => {
    const { instance } = (
      await register({ name: 'to-be-single', url, standbys: [{ host: 'b' }] })
    ).json();
    const path = scene.cairn(`/instances/${instance.id}`);
    const updated = await scene.call('PUT', path, { body: { url } });
    assert.deepEqual(updated.json().instance.standbys, [], updated.body);
    assert.equal((await scene.call('GET', path)).json().hosts, null);
  });

  test('named twice, or too many, are refused', async () => {
    const twice = await register({ name: 'twice', url, standbys: [{ host: 'a.example.com' }] });
    assert.equal(twice.statusCode, 400);
    assert.match(twice.body, /a\.example\.com:5432 twice/);
    const standbys = Array.from({ length: 9 }, (_, index) => ({ host: `h${index}` }));
    assert.equal((await register({ name: 'many', url, standbys })).statusCode, 400);
  });
});
