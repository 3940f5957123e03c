// What a transaction has read stays as it is until the transaction ends: a restore that finds its
// backup completed must not race the deletion of that backup.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';

export function locksSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`what a transaction has read: ${leg}`, () => {
    it('is not changed by others before it ends', async () => {
      await using fresh = await openFresh();
      const { catalog } = fresh;
      const instance = makeInstance({});
      const backup = makeBackup({});
      await catalog.instances.insert(instance);
      await catalog.backups.insert(backup);
      const order: string[] = [];
      const reading = Promise.withResolvers<void>();
      const deleting = Promise.withResolvers<void>();
      const reader = catalog.transaction(async (tx) => {
        await tx.backups.get(testProjectId, backup.id);
        await tx.instances.get(testProjectId, instance.id);
        reading.resolve();
        await deleting.promise;
        // Long enough for the others to overtake us, if they could.
        await new Promise((done) => setTimeout(done, 200));
        order.push('reader');
      });
      await reading.promise;
      const others = [
        catalog.transaction(async (tx) => {
          await tx.backups.setState(backup.id, { status: 'deleting', endedAt: null });
          order.push('deletion');
        }),
        catalog.transaction(async (tx) => {
          await tx.instances.setState(instance.id, { status: 'active' }, new Date(1));
          order.push('change');
        }),
      ];
      deleting.resolve();
      await Promise.all([reader, ...others]);
      assert.equal(order[0], 'reader', order.join());
    });
  });
}
