import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyRecord } from '../../src/catalog/catalog.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { someBackupId, someInstanceId, testProjectId } from '../fixtures/catalogs.ts';

const full = (): PolicyRecord => ({
  instanceId: someInstanceId(),
  projectId: testProjectId,
  policy: { kind: 'on', keepDays: 3660, schedule: { startMinute: 1425, weekdays: [1, 3, 7] } },
  effectiveAt: new Date(2 ** 41),
  lastWindowAt: new Date(2 ** 41 + 1),
  lastBackupId: someBackupId(),
  attemptCount: 3,
  logIntervalMinutes: 7,
  offsite: [
    { backupType: 'auto', keepDays: 9, destinationRegion: 'far', destinationProjectId: 'p"ü' },
  ],
});

export function policySuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`policy records: ${leg}`, { concurrency: false }, () => {
    it('come back as they were put, and are replaced whole', async () => {
      await using fresh = await openFresh();
      const { policies } = fresh.catalog;
      const record = full();
      assert.equal(await policies.find(record.instanceId), null);
      await policies.put(record);
      assert.deepEqual(await policies.find(record.instanceId), record);
      const bare: PolicyRecord = {
        ...record,
        policy: { kind: 'off' },
        ...{ lastWindowAt: null, lastBackupId: null, attemptCount: 0, offsite: [] },
      };
      await policies.put(bare);
      assert.deepEqual(await policies.find(record.instanceId), bare);
      await policies.delete(record.instanceId);
      assert.equal(await policies.find(record.instanceId), null);
    });

    it('are walked page by page, those that are off left out', async () => {
      await using fresh = await openFresh();
      const { policies } = fresh.catalog;
      const records = [full(), full(), full()];
      for (const record of records) await policies.put(record);
      const off: PolicyRecord = { ...full(), policy: { kind: 'off' } };
      await policies.put(off);
      const pages = [0, 2, 4].map((offset) => policies.listActive({ offset, limit: 2 }));
      const ids = (await Promise.all(pages)).map((page) => page.map((record) => record.instanceId));
      assert.deepEqual(
        ids.map(({ length }) => length),
        [2, 1, 0],
      );
      assert.deepEqual(ids.flat(), records.map(({ instanceId }) => instanceId).toSorted());
    });

    it('are walked by their off-site policy, whether backups are automated or not', async () => {
      await using fresh = await openFresh();
      const { policies } = fresh.catalog;
      const records = [full(), { ...full(), policy: { kind: 'off' as const } }];
      for (const record of [...records, { ...full(), offsite: [] }]) await policies.put(record);
      const page = await policies.listOffsite({ offset: 0, limit: 5 });
      const sorted = records.toSorted((a, b) => (a.instanceId < b.instanceId ? -1 : 1));
      assert.deepEqual(page, sorted);
      assert.deepEqual(await policies.listOffsite({ offset: 1, limit: 5 }), sorted.slice(1));
    });

    it('are found for the instances of a page', async () => {
      await using fresh = await openFresh();
      const { policies } = fresh.catalog;
      const [one, two] = [full(), full()];
      await policies.put(one);
      await policies.put(two);
      assert.deepEqual(await policies.listFor([]), []);
      assert.deepEqual(await policies.listFor([two.instanceId, someInstanceId()]), [two]);
    });
  });
}
