// What the catalog must hold for restores, tags and quotas, in both databases.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrorKind } from '../../src/model/errors.ts';
import { forgetOldJobs } from '../../src/operations/jobs/forget-jobs.ts';
import { makeInstance } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';

const projectId = testProjectId;
const firstPage = { offset: 0, limit: 10 };
const dayMs = 86_400_000;

export function restoreSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`restores contract: ${leg}`, { concurrency: false }, () => {
    jobTests(openFresh);
    instanceTests(openFresh);
  });
}

function jobTests(openFresh: OpenFreshCatalog): void {
  it('lists open jobs by kind, oldest first, whatever the instance', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const younger = await insertJob(fresh, { kind: 'a', createdAt: new Date(20) });
    const older = await insertJob(fresh, { kind: 'b', createdAt: new Date(10) });
    await insertJob(fresh, { kind: 'c' });
    const ended = await insertJob(fresh, { kind: 'a' });
    await jobs.requestCancel(ended.id, new Date(30));
    const found = await jobs.listOpenByKind(projectId, ['a', 'b']);
    assert.deepEqual(
      found.map(({ id }) => id),
      [older.id, younger.id],
    );
    assert.deepEqual(await jobs.listOpenByKind('other' as never, ['a', 'b']), []);
  });

  it('filters the list by kind, status and moment', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const one = await insertJob(fresh, { kind: 'a', createdAt: new Date(10) });
    const two = await insertJob(fresh, { kind: 'b', createdAt: new Date(20) });
    await jobs.requestCancel(one.id, new Date(30));
    const idsOf = async (filter: object) => {
      const page = await jobs.list({ projectId, ...filter }, firstPage);
      assert.equal(page.total, page.items.length);
      return page.items.map(({ id }) => id);
    };
    assert.deepEqual(await idsOf({}), [two.id, one.id]);
    assert.deepEqual(await idsOf({ kind: 'a' }), [one.id]);
    assert.deepEqual(await idsOf({ statuses: ['queued', 'running'] }), [two.id]);
    assert.deepEqual(await idsOf({ createdTo: new Date(10) }), [one.id]);
    assert.deepEqual(await idsOf({ createdFrom: new Date(11) }), [two.id]);
  });

  it('forgets jobs a month after their end, and open ones never', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const end = async (at: Date) => {
      const job = await insertJob(fresh, {});
      await jobs.requestCancel(job.id, at);
      return job.id;
    };
    await end(new Date(0));
    await end(new Date(1));
    const kept = await end(new Date(dayMs));
    const open = await insertJob(fresh, {});
    assert.equal(await jobs.deleteEndedBefore(new Date(10), 1), 1, 'not more than asked');
    assert.equal(await forgetOldJobs(fresh.catalog, new Date(31 * dayMs + 2)), 1);
    assert.equal(await forgetOldJobs(fresh.catalog, new Date(31 * dayMs + 2)), 0);
    const { items } = await jobs.list({ projectId }, firstPage);
    assert.deepEqual(new Set(items.map(({ id }) => id)), new Set([kept, open.id]));
  });
}

function instanceTests(openFresh: OpenFreshCatalog): void {
  it('keeps every state of an instance', async () => {
    await using fresh = await openFresh();
    const { instances } = fresh.catalog;
    const { id } = await addInstance(fresh);
    for (const state of [
      { status: 'restoring', failure: null },
      { status: 'restoring', failure: 'neither server starts' },
      { status: 'switching' },
      { status: 'failed', reason: 'kept in /a' },
      { status: 'active' },
    ] as const) {
      await instances.setState(id, state, new Date(5));
      assert.deepEqual((await instances.get(projectId, id)).state, state);
    }
  });

  it('finds instances by ids and by all of several tags', async () => {
    await using fresh = await openFresh();
    const { instances, tags } = fresh.catalog;
    const [one, two] = [await addInstance(fresh), await addInstance(fresh)];
    await tags.put(projectId, { instanceId: one.id, key: 'a', value: '1' });
    await tags.put(projectId, { instanceId: one.id, key: 'b', value: '2' });
    await tags.put(projectId, { instanceId: two.id, key: 'a', value: '1' });
    const idsOf = async (filter: object) => {
      const page = await instances.list({ projectId, ...filter }, firstPage);
      assert.equal(page.total, page.items.length);
      return new Set(page.items.map(({ id }) => id));
    };
    const a = { key: 'a', value: '1' };
    const b = { key: 'b', value: '2' };
    assert.deepEqual(await idsOf({ tags: [a] }), new Set([one.id, two.id]));
    assert.deepEqual(await idsOf({ tags: [a, b] }), new Set([one.id]));
    assert.deepEqual(await idsOf({ tags: [{ key: 'a', value: '2' }] }), new Set());
    assert.deepEqual(await idsOf({ ids: [two.id, 'unknown'] }), new Set([two.id]));
  });

  it('counts so that nobody passes a limit beside another', async () => {
    await using fresh = await openFresh();
    const limit = 3;
    const attempts = Array.from({ length: 8 }, () =>
      fresh.catalog.transaction(async (tx) => {
        if ((await tx.instances.count(projectId)) >= limit) return false;
        await tx.instances.insert(makeInstance({}));
        return true;
      }),
    );
    const accepted = (await Promise.all(attempts)).filter(Boolean);
    assert.equal(accepted.length, limit);
    assert.equal(await fresh.catalog.instances.count(projectId), limit);
  });

  it('takes a client token once, and forgets old ones', async () => {
    await using fresh = await openFresh();
    const { clientTokens } = fresh.catalog;
    const { id: instanceId } = await addInstance(fresh);
    const { id: jobId } = await insertJob(fresh, {});
    const use = { projectId, token: 't', requestHash: 'h', instanceId, jobId };
    const twins = await Promise.allSettled(
      [1, 2].map(() =>
        fresh.catalog.transaction((tx) =>
          tx.clientTokens.insert({ ...use, createdAt: new Date(5) }),
        ),
      ),
    );
    const refused = twins.flatMap((twin) => (twin.status === 'rejected' ? [twin.reason] : []));
    assert.equal(refused.length, 1);
    assert.ok(isErrorKind(refused[0], 'conflict'));
    await clientTokens.deleteOlderThan(new Date(5));
    assert.deepEqual(await clientTokens.find(projectId, 't'), { ...use, createdAt: new Date(5) });
    await clientTokens.deleteOlderThan(new Date(6));
    assert.equal(await clientTokens.find(projectId, 't'), null);
  });
}

async function addInstance(fresh: FreshCatalog) {
  const instance = makeInstance({});
  await fresh.catalog.instances.insert(instance);
  return instance;
}
