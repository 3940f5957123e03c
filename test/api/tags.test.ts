import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { someInstanceId } from '../fixtures/catalogs.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

let scene: ApiScene;
before(async () => {
  scene = await openApiScene();
});
after(() => scene[Symbol.asyncDispose]());

const act = (id: string, action: string, tags: unknown) =>
  scene.call('POST', scene.rds(`/instances/${id}/tags/action`), { body: { action, tags } });
const show = async (id: string) =>
  (await scene.call('GET', scene.rds(`/instances/${id}/tags`))).json().tags;
const many = (count: number, from = 0) =>
  Array.from({ length: count }, (_, at) => ({ key: `k${at + from}`, value: 'v' }));

describe('tags', () => {
  test('are set, replaced, and removed with or without their value', async () => {
    const { id } = await scene.addInstance();
    assert.deepEqual(await show(id), []);
    const tags = [{ key: 'team', value: 'a' }, { key: 'größe', value: '' }, { key: 'env' }];
    const response = await act(id, 'create', tags);
    assert.deepEqual([response.statusCode, response.body], [200, '']);
    await act(id, 'create', [{ key: 'team', value: 'b' }]);
    assert.deepEqual(await show(id), [
      { key: 'env', value: '', tag_type: 'user' },
      { key: 'größe', value: '', tag_type: 'user' },
      { key: 'team', value: 'b', tag_type: 'user' },
    ]);
    await act(id, 'delete', [{ key: 'team', value: 'a' }, { key: 'env' }, { key: 'absent' }]);
    assert.deepEqual(
      (await show(id)).map(({ key }: { key: string }) => key),
      ['größe', 'team'],
    );
    const list = await scene.call('GET', scene.rds(`/instances?id=${id}`));
    assert.deepEqual(list.json().instances[0].tags, [
      { key: 'größe', value: '' },
      { key: 'team', value: 'b' },
    ]);
  });
  test('of a project are listed once, and find instances', async () => {
    const [one, two] = [await scene.addInstance(), await scene.addInstance()];
    await act(one.id, 'create', [
      { key: 'tier', value: 'x' },
      { key: 'a', value: '1=2' },
    ]);
    await act(two.id, 'create', [{ key: 'tier', value: 'y' }]);
    const { tags } = (await scene.call('GET', scene.rds('/tags'))).json();
    const tier = tags.find(({ key }: { key: string }) => key === 'tier');
    assert.deepEqual(tier, { key: 'tier', values: ['x', 'y'] });
    const find = async (text: string) => {
      const url = scene.rds(`/instances?tags=${encodeURIComponent(text)}`);
      return (await scene.call('GET', url)).json();
    };
    assert.deepEqual(
      (await find('tier=x,a=1=2')).instances.map((i: { id: string }) => i.id),
      [one.id],
    );
    assert.equal((await find('tier=x,a=1=2')).total_count, 1);
    assert.equal((await find('tier=x,tier=y')).total_count, 0);
    assert.equal((await find('tier=X')).total_count, 0);
    assert.equal((await find('tier')).error_code, 'DBS.280001');
  });
  test('are at most 20, however they arrive', async () => {
    const { id } = await scene.addInstance();
    assert.equal((await act(id, 'create', many(19))).statusCode, 200);
    const answers = await Promise.all([19, 20, 21].map((at) => act(id, 'create', many(1, at))));
    assert.deepEqual(answers.map(({ statusCode }) => statusCode).sort(), [200, 400, 400]);
    assert.equal((await show(id)).length, 20);
    assert.equal((await act(id, 'create', many(1))).statusCode, 200, 'a key that is there');
  });
  test('refuse what is no tag', async () => {
    const { id } = await scene.addInstance();
    const bad: readonly unknown[] = [
      ...[[], [{ key: '', value: 'v' }], [{ key: ' ' }], [{ value: 'v' }], 'team=a', null],
      [{ key: 'k'.repeat(129) }],
      [{ key: 'k', value: 'v'.repeat(256) }],
      [
        { key: 'k', value: 'a' },
        { key: 'k', value: 'b' },
      ],
      [{ key: 'k\0' }],
      many(21),
    ];
    for (const tags of bad) {
      assert.equal((await act(id, 'create', tags)).statusCode, 400, JSON.stringify(tags));
    }
    assert.equal((await act(id, 'rename', many(1))).statusCode, 400);
    assert.equal((await act(someInstanceId(), 'create', many(1))).statusCode, 404);
    const unknown = await scene.call('GET', scene.rds(`/instances/${someInstanceId()}/tags`));
    assert.deepEqual([unknown.statusCode, unknown.json().error_code], [404, 'DBS.200002']);
    assert.deepEqual(await show(id), []);
  });
  test('are read by viewers and set by operators', async () => {
    const { id } = await scene.addInstance();
    const body = { action: 'create', tags: many(1) };
    const path = scene.rds(`/instances/${id}/tags/action`);
    const viewer = await scene.tokenFor('viewer');
    assert.equal((await scene.call('POST', path, { body, token: viewer })).statusCode, 403);
    assert.equal((await scene.call('GET', scene.rds('/tags'), { token: viewer })).statusCode, 200);
    const operator = await scene.tokenFor('operator');
    assert.equal((await scene.call('POST', path, { body, token: operator })).statusCode, 200);
  });
});
