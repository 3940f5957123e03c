// What a change of the master key asks of a catalog; held by both databases.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { makeInstance } from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';

const firstPage = { offset: 0, limit: 100 };
const isDamaged = (error: unknown): boolean => isErrorKind(error, 'repository-damaged');

export function secretsSuite(name: string, openFresh: OpenFreshCatalog): void {
  describe(`secrets of a catalog: ${name}`, () => {
    it('opens secrets with two keys while one is changed, then with one', async () => {
      await using fresh = await openFresh();
      const [from, to] = [fresh.masterKey, MasterKey.generate()];
      const instance = makeInstance({});
      await fresh.catalog.instances.insert(instance);
      await fresh.catalog.instances.insert(makeInstance({ connection: null }));
      const changed = await fresh.openAnother(to);
      const isThere = async (catalog: Catalog): Promise<void> => {
        assert.deepEqual(await catalog.instances.get(testProjectId, instance.id), instance);
      };
      assert.equal(await fresh.catalog.secrets.addMasterKey({ from, to }), 1);
      assert.equal(await fresh.catalog.secrets.addMasterKey({ from, to }), 1, 'again');
      await isThere(fresh.catalog);
      await isThere(changed);
      // Written with the old key alone, and with the new one alone.
      const [late, early] = [makeInstance({}), makeInstance({})];
      await fresh.catalog.instances.insert(late);
      await changed.instances.insert(early);
      await assert.rejects(changed.secrets.keepOwnWraps(), isDamaged);
      await isThere(fresh.catalog);
      assert.equal(await changed.secrets.addMasterKey({ from, to }), 3);
      assert.equal(await changed.secrets.keepOwnWraps(), 3);
      await isThere(changed);
      assert.equal(
        (await changed.instances.list({ projectId: testProjectId }, firstPage)).total,
        4,
      );
      await assert.rejects(isThere(fresh.catalog), (error) => {
        return error instanceof Error && error.message.includes(`needs master key ${to.id}`);
      });
    });
  });
}
