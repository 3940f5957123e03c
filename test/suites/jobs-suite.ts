// The contract of `JobRecords`: who may claim what, who may still write, who decides on the
// abandoned.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Catalog, ClaimRequest, Lease } from '../../src/catalog/catalog.ts';
import { isErrorKind } from '../../src/model/errors.ts';
import type { Job } from '../../src/model/job.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { insertJob, someInstanceId, someJobId, testProjectId } from '../fixtures/catalogs.ts';

const conflicts = { backup: ['backup', 'delete'], restore: ['backup'] } as const;
const error = { kind: 'engine-unreachable', message: 'no answer', hint: null } as const;
const leaseMs = 30_000;
const firstPage = { offset: 0, limit: 10 };

export function jobsSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`jobs contract: ${leg}`, { concurrency: false }, () => {
    claimTests(openFresh);
    raceTests(openFresh);
    leaseTests(openFresh);
    endTests(openFresh);
    listTests(openFresh);
  });
}

function claimTests(openFresh: OpenFreshCatalog): void {
  it('claims the oldest job of its pools, under a new fence and attempt', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const younger = await insertJob(fresh, { createdAt: new Date(20) });
    const older = await insertJob(fresh, { createdAt: new Date(10), payload: { a: [1, null] } });
    await insertJob(fresh, { createdAt: new Date(5), pool: 'west' });
    const job = await claim(fresh.catalog, { nowMs: 100 });
    assert.equal(job?.id, older.id);
    assert.deepEqual(job, {
      ...older,
      status: 'running',
      attempt: 1,
      cancelRequested: false,
      leaseOwner: 'worker',
      leaseExpiresAt: new Date(100 + leaseMs),
      fence: 1,
      progress: null,
      error: null,
      startedAt: new Date(100),
      endedAt: null,
    });
    assert.deepEqual(await jobs.find(testProjectId, older.id), job);
    assert.equal((await claim(fresh.catalog, { nowMs: 100 }))?.id, younger.id);
    assert.equal(await claim(fresh.catalog, { nowMs: 100 }), null);
    assert.equal(await claim(fresh.catalog, { nowMs: 100, pools: [] }), null);
    assert.notEqual(await claim(fresh.catalog, { nowMs: 100, pools: ['west', 'east'] }), null);
  });

  it('runs no two conflicting jobs of an instance, whichever of them says so', async () => {
    await using fresh = await openFresh();
    const instanceId = someInstanceId();
    const kinds = ['backup', 'delete', 'restore', 'other'];
    for (const [at, kind] of kinds.entries()) {
      await insertJob(fresh, { kind, instanceId, createdAt: new Date(at) });
    }
    await insertJob(fresh, { kind: 'backup', createdAt: new Date(9) });
    const backup = await claim(fresh.catalog);
    assert.equal(backup?.kind, 'backup');
    // `restore` names `backup`, `backup` names `delete`: neither may begin; the other instance may.
    assert.equal((await claim(fresh.catalog))?.kind, 'other');
    assert.notEqual((await claim(fresh.catalog))?.instanceId, instanceId);
    assert.equal(await claim(fresh.catalog), null);
    await fresh.catalog.jobs.end(leaseOf(backup), { status: 'succeeded' }, new Date(1));
    assert.equal((await claim(fresh.catalog))?.kind, 'delete');
    assert.equal((await claim(fresh.catalog))?.kind, 'restore');
  });

  it('never lets a job overtake an older one that it conflicts with', async () => {
    await using fresh = await openFresh();
    const instanceId = someInstanceId();
    const older = await insertJob(fresh, { instanceId, createdAt: new Date(1) });
    await insertJob(fresh, { kind: 'delete', instanceId, createdAt: new Date(2) });
    const first = await claim(fresh.catalog);
    assert.equal(first?.id, older.id);
    await fresh.catalog.jobs.retry(leaseOf(first), error, new Date(9_000));
    assert.equal(await claim(fresh.catalog, { nowMs: 8_999 }), null);
    assert.equal((await claim(fresh.catalog, { nowMs: 9_000 }))?.id, older.id);
  });

  it('counts a job whose lease has run out as running', async () => {
    await using fresh = await openFresh();
    const instanceId = someInstanceId();
    await insertJob(fresh, { instanceId });
    await insertJob(fresh, { instanceId, createdAt: new Date(2) });
    assert.notEqual(await claim(fresh.catalog, { nowMs: 1000 }), null);
    assert.equal(await claim(fresh.catalog, { nowMs: 1000 + 10 * leaseMs }), null);
  });

  it('claims jobs without an instance side by side', async () => {
    await using fresh = await openFresh();
    await insertJob(fresh, { instanceId: null });
    await insertJob(fresh, { instanceId: null });
    assert.notEqual(await claim(fresh.catalog), null);
    assert.notEqual(await claim(fresh.catalog), null);
  });

  it('passes over many jobs of a busy instance', async () => {
    await using fresh = await openFresh();
    const busy = someInstanceId();
    for (let at = 0; at < 30; at++) {
      await insertJob(fresh, { instanceId: busy, createdAt: new Date(at) });
    }
    const free = await insertJob(fresh, { createdAt: new Date(50) });
    assert.equal((await claim(fresh.catalog))?.instanceId, busy);
    assert.equal((await claim(fresh.catalog))?.id, free.id);
    assert.equal(await claim(fresh.catalog), null);
  });
}

function raceTests(openFresh: OpenFreshCatalog): void {
  it('gives each job to one of many racing workers', async () => {
    await using fresh = await openFresh();
    const connections = await openMany(fresh, 4);
    for (let count = 0; count < 10; count++) await insertJob(fresh, {});
    const claims = Array.from({ length: 24 }, (_, index) =>
      claim(connections[index % connections.length] ?? fresh.catalog, { owner: `w${index}` }),
    );
    const won = (await Promise.all(claims)).filter((job) => job !== null);
    assert.equal(new Set(won.map(({ id }) => id)).size, won.length);
    // A loser of the race looks again with its next poll: nobody is left out for good.
    while (won.length < 10) won.push((await claim(fresh.catalog)) ?? assert.fail('a job is lost'));
    assert.deepEqual([...new Set(won.map(({ fence }) => fence))], [1]);
  });

  it('lets one of many racing workers begin on an instance', async () => {
    await using fresh = await openFresh();
    const connections = await openMany(fresh, 4);
    for (let round = 0; round < 8; round++) {
      const instanceId = someInstanceId();
      for (const kind of ['backup', 'delete', 'restore', 'backup']) {
        await insertJob(fresh, { kind, instanceId, createdAt: new Date(round) });
      }
      const claims = Array.from({ length: 12 }, (_, index) =>
        claim(connections[index % connections.length] ?? fresh.catalog),
      );
      const won = (await Promise.all(claims)).filter((job) => job?.instanceId === instanceId);
      const kinds = won.map((job) => job?.kind).sort();
      const isFine = kinds.length <= 1 || kinds.join() === 'delete,restore';
      assert.ok(isFine, `round ${round} runs ${kinds.join()} together`);
    }
  });

  it('lets exactly one of many take an abandoned job over', async () => {
    await using fresh = await openFresh();
    const connections = await openMany(fresh, 3);
    await insertJob(fresh, {});
    const job = (await claim(fresh.catalog)) ?? assert.fail();
    const takes = Array.from({ length: 9 }, (_, index) =>
      (connections[index % 3] ?? fresh.catalog).jobs.takeOver(job, `r${index}`, new Date(9)),
    );
    const taken = (await Promise.all(takes)).filter((lease) => lease !== null);
    assert.equal(taken.length, 1);
    assert.equal(taken[0]?.fence, job.fence + 1);
  });
}

function leaseTests(openFresh: OpenFreshCatalog): void {
  it('renews a lease with progress, and says when a cancel was asked for', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const { id } = await insertJob(fresh, {});
    const lease = leaseOf(await claim(fresh.catalog));
    const progress = { phase: 'reading', doneBytes: 5, totalBytes: null, bytesPerSecond: 1 };
    const held = { held: true, cancelRequested: false };
    assert.deepEqual(await jobs.renew(lease, new Date(99_000), progress), held);
    assert.deepEqual(await jobs.renew(lease, new Date(99_001), null), held);
    const job = await jobs.find(testProjectId, id);
    assert.deepEqual([job?.progress, job?.leaseExpiresAt], [progress, new Date(99_001)]);
    assert.deepEqual(await jobs.requestCancel(id, new Date(1)), { ended: false });
    const cancelled = { held: true, cancelRequested: true };
    assert.deepEqual(await jobs.renew(lease, new Date(99_002), null), cancelled);
    assert.equal((await jobs.find(testProjectId, id))?.status, 'running');
  });

  it('refuses every write under a stale lease', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    await insertJob(fresh, {});
    const job = (await claim(fresh.catalog)) ?? assert.fail();
    const stale = leaseOf(job);
    await jobs.assertLease(stale);
    const lease = (await jobs.takeOver(job, 'reaper', new Date(9))) ?? assert.fail();
    await assertRefused(fresh.catalog, stale);
    await assertRefused(fresh.catalog, { ...lease, owner: 'somebody' });
    await jobs.assertLease(lease);
    await jobs.end(lease, { status: 'succeeded' }, new Date(9));
    await assertRefused(fresh.catalog, lease);
    assert.equal((await jobs.find(testProjectId, job.id))?.status, 'succeeded');
  });

  it('tells two attempts of one worker apart', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    await insertJob(fresh, {});
    const first = leaseOf(await claim(fresh.catalog));
    await jobs.giveBack(first, new Date(0));
    const second = leaseOf(await claim(fresh.catalog));
    assert.equal(second.owner, first.owner);
    await assertRefused(fresh.catalog, first);
    await jobs.assertLease(second);
  });

  it('writes nothing of a commit whose lease went in the meantime', async () => {
    await using fresh = await openFresh();
    await insertJob(fresh, {});
    const job = (await claim(fresh.catalog)) ?? assert.fail();
    const other = await fresh.openAnother();
    const order: string[] = [];
    const commit = fresh.catalog.transaction(async (tx) => {
      await tx.jobs.assertLease(leaseOf(job));
      const taking = other.jobs.takeOver(job, 'reaper', new Date(9)).then(() => order.push('take'));
      await Promise.race([taking, delay(100)]);
      await tx.settings.ensure('written', 'under the lease');
      return { taking, written: order.push('commit') };
    });
    const { taking } = await commit;
    await taking;
    assert.deepEqual(order, ['commit', 'take'], 'the lease was taken while a commit relied on it');
    const late = fresh.catalog.transaction(async (tx) => {
      await tx.settings.ensure('late', 'yes');
      await tx.jobs.assertLease(leaseOf(job));
    });
    await assert.rejects(late, (e) => isErrorKind(e, 'conflict'));
    assert.equal(await fresh.catalog.settings.find('late'), null);
  });

  it('finds the jobs of workers that are gone', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    await insertJob(fresh, {});
    await insertJob(fresh, {});
    const one = await claim(fresh.catalog, { owner: 'a', nowMs: 0 });
    const two = await claim(fresh.catalog, { owner: 'b', nowMs: 1 });
    const ids = async (nowMs: number, owners: string[] = []): Promise<unknown[]> =>
      (await jobs.listAbandoned(new Date(nowMs), owners)).map(({ id }) => id);
    assert.deepEqual(await ids(leaseMs - 1), []);
    assert.deepEqual(await ids(leaseMs), [one?.id]);
    assert.deepEqual(await ids(0, ['b', 'c']), [two?.id]);
    // Only late: it renewed after it was listed.
    await jobs.renew(leaseOf(one), new Date(leaseMs * 2), null);
    assert.equal(await jobs.takeOver(one ?? assert.fail(), 'reaper', new Date(9)), null);
  });
}

function endTests(openFresh: OpenFreshCatalog): void {
  it('ends a job with what it amounted to', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    for (const status of ['failed', 'cancelled'] as const) {
      const { id } = await insertJob(fresh, {});
      const lease = leaseOf(await claim(fresh.catalog));
      await jobs.end(lease, { status, error }, new Date(77));
      const job = await jobs.find(testProjectId, id);
      assert.deepEqual([job?.status, job?.error, job?.endedAt], [status, error, new Date(77)]);
      assert.deepEqual([job?.leaseOwner, job?.leaseExpiresAt], [null, null]);
    }
  });

  it('counts a retry as an attempt and a job given back as none', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const { id } = await insertJob(fresh, {});
    await jobs.retry(leaseOf(await claim(fresh.catalog)), error, new Date(500));
    const waiting = await jobs.find(testProjectId, id);
    assert.deepEqual([waiting?.status, waiting?.error, waiting?.attempt], ['queued', error, 1]);
    const again = await claim(fresh.catalog, { nowMs: 500 });
    assert.deepEqual([again?.attempt, again?.fence, again?.error], [2, 2, null]);
    await jobs.giveBack(leaseOf(again), new Date(500));
    const third = await claim(fresh.catalog, { nowMs: 500 });
    assert.deepEqual([third?.attempt, third?.fence], [2, 3]);
    assert.deepEqual(third?.startedAt, waiting?.startedAt);
  });

  it('cancels a queued job at once and leaves an ended one alone', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const { id } = await insertJob(fresh, {});
    assert.deepEqual(await jobs.requestCancel(id, new Date(8)), { ended: true });
    const job = await jobs.find(testProjectId, id);
    assert.deepEqual([job?.status, job?.error?.kind], ['cancelled', 'cancelled']);
    assert.equal(await claim(fresh.catalog), null);
    assert.deepEqual(await jobs.requestCancel(id, new Date(9)), { ended: false });
    assert.deepEqual((await jobs.find(testProjectId, id))?.endedAt, new Date(8));
    const missing = jobs.requestCancel(someJobId(), new Date(9));
    await assert.rejects(missing, (e) => isErrorKind(e, 'not-found'));
  });
}

function listTests(openFresh: OpenFreshCatalog): void {
  it('lists jobs newest first, by filter and by page', async () => {
    await using fresh = await openFresh();
    const { jobs } = fresh.catalog;
    const instanceId = someInstanceId();
    const made: Job[] = [];
    for (let at = 0; at < 4; at++) {
      const place = at < 2 ? { instanceId } : {};
      made.push(await insertJob(fresh, { ...place, kind: 'other', createdAt: new Date(at) }));
    }
    const list = async (filter: object, page = firstPage): Promise<[number[], number]> => {
      const { items, total } = await jobs.list({ projectId: testProjectId, ...filter }, page);
      return [items.map(({ id }) => made.findIndex((job) => job.id === id)), total];
    };
    assert.deepEqual(await list({}), [[3, 2, 1, 0], 4]);
    assert.deepEqual(await list({}, { offset: 1, limit: 2 }), [[2, 1], 4]);
    assert.deepEqual(await list({ instanceId }), [[1, 0], 2]);
    assert.deepEqual(await list({ id: made[2]?.id }), [[2], 1]);
    assert.deepEqual(await list({ projectId: 'nobody' }), [[], 0]);
    await claim(fresh.catalog);
    const ended = await claim(fresh.catalog);
    await jobs.end(leaseOf(ended), { status: 'succeeded' }, new Date(1));
    const open = (await jobs.listOpen(instanceId)).map(({ status }) => status);
    assert.deepEqual(open, ['running']);
  });
}

async function assertRefused({ jobs, ...catalog }: Catalog, lease: Lease): Promise<void> {
  const at = new Date(9);
  assert.equal((await jobs.renew(lease, at, null)).held, false);
  const writes = [
    () => jobs.assertLease(lease),
    () => catalog.transaction((tx) => tx.jobs.assertLease(lease)),
    () => jobs.end(lease, { status: 'succeeded' }, at),
    () => jobs.end(lease, { status: 'failed', error }, at),
    () => jobs.retry(lease, error, at),
    () => jobs.giveBack(lease, at),
  ];
  for (const write of writes) await assert.rejects(write, (e) => isErrorKind(e, 'conflict'));
}

async function openMany(fresh: FreshCatalog, count: number): Promise<Catalog[]> {
  return await Promise.all(Array.from({ length: count }, () => fresh.openAnother()));
}

async function claim(
  catalog: Catalog,
  { nowMs = 1000, ...changes }: Partial<ClaimRequest> & { nowMs?: number } = {},
): Promise<Job | null> {
  return await catalog.jobs.claim({
    owner: 'worker',
    pools: ['default'],
    conflicts,
    now: new Date(nowMs),
    leaseExpiresAt: new Date(nowMs + leaseMs),
    ...changes,
  });
}

function leaseOf(job: Job | null): Lease {
  assert.ok(job?.leaseOwner, 'no job was claimed');
  return { jobId: job.id, owner: job.leaseOwner, fence: job.fence };
}
