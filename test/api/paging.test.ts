// Clients page by a growing offset until a page is empty. Whatever the page size, they must see
// every entry once, in one order.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Instance } from '../../src/model/instance.ts';
import type { ApiScene } from './api-scene.ts';
import { openApiScene } from './api-scene.ts';

const entryCount = 23;
const seed = 20_260_105;

let scene: ApiScene;
let instance: Instance;
before(async () => {
  scene = await openApiScene();
  instance = await scene.addInstance();
  for (let n = 1; n < entryCount; n++) await scene.addInstance();
  // Several begin in the same second: then the id decides.
  for (let n = 0; n < entryCount; n++) {
    const startedAt = new Date(scene.clock.now().getTime() + Math.floor(n / 3) * 1000);
    await scene.addBackup(instance, { startedAt, type: n % 2 === 0 ? 'manual' : 'auto' });
  }
});
after(() => scene[Symbol.asyncDispose]());

const lists: Readonly<Record<string, { path: () => string; array: string; limitMax: number }>> = {
  backups: {
    path: () => scene.rds(`/backups?instance_id=${instance.id}`),
    array: 'backups',
    limitMax: 100,
  },
  'backups of one type': {
    path: () => scene.rds(`/backups?instance_id=${instance.id}&backup_type=manual`),
    array: 'backups',
    limitMax: 100,
  },
  'all backups': { path: () => scene.cairn('/backups?'), array: 'backups', limitMax: 100 },
  instances: { path: () => scene.rds('/instances?'), array: 'instances', limitMax: 100 },
};

type Page = { readonly total_count: number } & Readonly<Record<string, unknown>>;

async function readPage(url: string, array: string): Promise<{ ids: string[]; total: number }> {
  const response = await scene.call('GET', url);
  assert.equal(response.statusCode, 200, response.body);
  const body: Page = response.json();
  const items = body[array] as { readonly id: string }[];
  const arrays = Object.values(body).filter((value) => Array.isArray(value));
  assert.equal(arrays.length, 1, 'clients take the first array that they find');
  return { ids: items.map(({ id }) => id), total: body.total_count };
}

describe('a list read page by page is the list', () => {
  for (const [name, { path, array, limitMax }] of Object.entries(lists)) {
    test(name, async () => {
      const whole = await readPage(`${path()}&limit=${limitMax}`, array);
      assert.equal(whole.ids.length, whole.total);
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: entryCount + 3 }), async (limit) => {
          const seen: string[] = [];
          for (let offset = 0; ; ) {
            const page = await readPage(`${path()}&limit=${limit}&offset=${offset}`, array);
            assert.equal(page.total, whole.total);
            assert.ok(page.ids.length <= limit);
            if (page.ids.length === 0) break;
            seen.push(...page.ids);
            offset += page.ids.length;
          }
          assert.deepEqual(seen, whole.ids);
        }),
        { seed, numRuns: 30 },
      );
    });

    test(`${name}: beyond the end is an empty page, not an error`, async () => {
      const page = await readPage(`${path()}&offset=1000000`, array);
      assert.deepEqual(page.ids, []);
      assert.ok(page.total > 0);
    });

    test(`${name}: what is out of range is refused, not clipped`, async () => {
      for (const query of ['limit=0', `limit=${limitMax + 1}`, 'limit=ten', 'offset=-1']) {
        const response = await scene.call('GET', `${path()}&${query}`);
        assert.equal(response.statusCode, 400, query);
        assert.equal(response.json().error_code, 'DBS.280001', query);
      }
    });
  }

  test('backups come newest first, the id breaks ties', async () => {
    const response = await scene.call('GET', scene.rds(`/backups?instance_id=${instance.id}`));
    const backups: { id: string; begin_time: string }[] = response.json().backups;
    const keys = backups.map(({ begin_time, id }) => `${begin_time} ${id}`);
    assert.deepEqual(keys, keys.toSorted().reverse());
  });
});
