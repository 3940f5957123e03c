// The worker against every database: what it runs, how each way of stopping ends, what becomes of
// the jobs of workers that died. Time is turned by hand; only the database takes real time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { releaseOwner } from '../../src/jobs/reaper.ts';
import { CairnError, isErrorKind } from '../../src/model/errors.ts';
import type { Job } from '../../src/model/job.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { someInstanceId } from '../fixtures/catalogs.ts';
import { openSetting, runUntilAborted, untilAborted } from '../fixtures/worker-setting.ts';

const unreachable = (): CairnError => new CairnError('engine-unreachable', 'no answer');

export function workerSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`worker contract: ${leg}`, { concurrency: false }, () => {
    runTests(openFresh);
    retryTests(openFresh);
    stopTests(openFresh);
    leaseLossTests(openFresh);
    abandonedTests(openFresh);
  });
}

function runTests(openFresh: OpenFreshCatalog): void {
  it('runs a job to its end, with progress and a commit under the lease', async () => {
    await using setting = await openSetting(openFresh, {
      async run(job, context) {
        context.progress({ phase: 'reading', doneBytes: 0, totalBytes: 100 });
        await setting.clock.sleep(2_000, context.signal);
        context.progress({ phase: 'reading', doneBytes: 50, totalBytes: 100 });
        await context.assertLease();
        await context.commit((tx) => tx.settings.ensure('done', job.id));
      },
    });
    const job = await setting.insert({});
    const worker = setting.startWorker();
    await setting.untilStatus(job, 'succeeded');
    const { progress, attempt, error } = await setting.read(job);
    assert.deepEqual(
      [attempt, error, await setting.catalog.settings.find('done')],
      [1, null, job.id],
    );
    const rate = progress?.bytesPerSecond ?? 0;
    assert.ok(progress?.doneBytes === 50 && rate > 15 && rate <= 25, `rate ${rate}`);
    assert.deepEqual(setting.failures, []);
    await worker.stop({ graceMs: 1 });
  });

  it('runs as many at a time as it may, and the next when one has ended', async () => {
    let running = 0;
    let peak = 0;
    await using setting = await openSetting(openFresh, {
      async run(_, context) {
        peak = Math.max(peak, ++running);
        await setting.clock.sleep(3_000, context.signal);
        running--;
      },
    });
    const jobs = [];
    for (let count = 0; count < 5; count++) jobs.push(await setting.insert({}));
    setting.startWorker({ concurrency: 2 });
    for (const job of jobs) await setting.untilStatus(job, 'succeeded');
    assert.equal(peak, 2);
  });

  it('keeps jobs that stand by and jobs that move data out of each other’s places', async () => {
    await using setting = await openSetting(openFresh, {
      lane: 'standing',
      run: (_, context) => untilAborted(context),
    });
    const standing: Job[] = [];
    for (let count = 0; count < 4; count++) standing.push(await setting.insert({}));
    setting.startWorker({ concurrency: 1, standingMax: 3 });
    const three = async (): Promise<boolean> => {
      const jobs = await Promise.all(standing.map((job) => setting.read(job)));
      return jobs.filter(({ status }) => status === 'running').length === 3;
    };
    await setting.clock.advanceUntil(three);
    const quick = await setting.insert({ kind: 'quick' });
    await setting.untilStatus(quick, 'succeeded');
    assert.ok(await three(), 'the fourth has no place');
  });

  it('fails a job of a kind that it does not know', async () => {
    await using setting = await openSetting(openFresh, {});
    const job = await setting.insert({ kind: 'from-the-future' });
    setting.startWorker();
    await setting.untilStatus(job, 'failed');
    assert.match((await setting.read(job)).error?.message ?? '', /does not know.*from-the-future/);
  });
}

function retryTests(openFresh: OpenFreshCatalog): void {
  it('tries again what may pass, not too early and not too often', async () => {
    const runsAt: number[] = [];
    const lasts: boolean[] = [];
    await using setting = await openSetting(openFresh, {
      async run(_, context) {
        runsAt.push(setting.clock.monotonicMs());
        lasts.push(await context.isFinal(unreachable()));
        assert.ok(await context.isFinal(new Error('a slip')));
        throw unreachable();
      },
    });
    const job = await setting.insert({ attemptsMax: 3 });
    setting.startWorker({ retryDelayMs: 5_000 });
    await setting.untilStatus(job, 'failed');
    const spans = runsAt.slice(1).map((at, index) => at - (runsAt[index] ?? 0));
    assert.equal(runsAt.length, 3);
    assert.deepEqual(lasts, [false, false, true]);
    for (const span of spans) assert.ok(span >= 5_000 && span < 7_000, `waited ${span} ms`);
    assert.equal((await setting.read(job)).error?.kind, 'engine-unreachable');
    assert.deepEqual(setting.failures, [`${job.id} failed no answer`]);
  });

  it('fails at once what would only fail again, in the transaction of onFailed', async () => {
    await using setting = await openSetting(openFresh, {
      run: () => Promise.reject(new Error('a slip')),
      async onFailed(_job, _outcome, tx) {
        await tx.settings.ensure('told', 'yes');
      },
    });
    const job = await setting.insert({});
    setting.startWorker();
    await setting.untilStatus(job, 'failed');
    const { error, attempt } = await setting.read(job);
    assert.deepEqual([error?.kind, attempt], ['bug', 1]);
    assert.equal(await setting.catalog.settings.find('told'), 'yes');
  });

  it('ends a job whose onFailed fails, so that its instance is free again', async () => {
    await using setting = await openSetting(openFresh, {
      run: () => Promise.reject(new CairnError('engine-refused', 'no')),
      async onFailed(_job, _outcome, tx) {
        await tx.settings.ensure('half', 'written');
        throw new CairnError('not-found', 'the backup is gone');
      },
    });
    const job = await setting.insert({});
    setting.startWorker();
    await setting.untilStatus(job, 'failed');
    assert.equal((await setting.read(job)).error?.kind, 'engine-refused');
    assert.equal(await setting.catalog.settings.find('half'), null);
  });

  it('writes the end of a job once the catalog answers again', async () => {
    await using setting = await openSetting(openFresh, {
      async run() {
        setting.faults.end = 3;
      },
    });
    const job = await setting.insert({});
    setting.startWorker();
    await setting.untilStatus(job, 'succeeded');
    assert.equal(setting.faults.end, 0);
    assert.equal((await setting.read(job)).attempt, 1);
  });
}

function stopTests(openFresh: OpenFreshCatalog): void {
  it('brings a cancel to the job within 2 s', async () => {
    await using setting = await openSetting(openFresh, runUntilAborted());
    const job = await setting.insert({});
    setting.startWorker();
    await setting.untilStatus(job, 'running');
    const askedMs = setting.clock.monotonicMs();
    await setting.catalog.jobs.requestCancel(job.id, setting.clock.now());
    await setting.untilStatus(job, 'cancelled');
    const [aborted] = setting.aborts;
    assert.ok((aborted?.atMs ?? Infinity) - askedMs <= 2_000, `took ${aborted?.atMs} ms`);
    assert.deepEqual([aborted?.reason.kind, aborted?.isFinal], ['cancelled', true]);
    assert.deepEqual(setting.failures, [`${job.id} cancelled cancelled on request`]);
  });

  it('stops a job at its ceiling, and writes it off when it does not stop', async () => {
    await using setting = await openSetting(openFresh, {
      ceilingMs: 60_000,
      run: () => new Promise(() => undefined),
    });
    const instanceId = someInstanceId();
    const stuck = await setting.insert({ instanceId });
    const next = await setting.insert({ instanceId, kind: 'quick' });
    setting.startWorker({ abortGraceMs: 5_000, concurrency: 1 });
    await setting.untilStatus(stuck, 'failed');
    assert.match((await setting.read(stuck)).error?.message ?? '', /time limit of 1 min/);
    await setting.untilStatus(next, 'succeeded');
    assert.ok(setting.clock.monotonicMs() < 70_000);
  });

  it('lets other instances go on beside a job that hangs', async () => {
    await using setting = await openSetting(openFresh, runUntilAborted());
    const instanceId = someInstanceId();
    const hanging = await setting.insert({ instanceId });
    const blocked = await setting.insert({ instanceId, kind: 'quick' });
    setting.startWorker();
    await setting.untilStatus(hanging, 'running');
    for (let count = 0; count < 3; count++) {
      await setting.untilStatus(await setting.insert({ kind: 'quick' }), 'succeeded');
    }
    assert.equal((await setting.read(blocked)).status, 'queued');
  });

  it('gives running jobs back when it stops, without taking an attempt from them', async () => {
    await using setting = await openSetting(openFresh, runUntilAborted());
    const job = await setting.insert({ attemptsMax: 1 });
    const worker = setting.startWorker();
    await setting.untilStatus(job, 'running');
    await worker.stop({ graceMs: 5_000 });
    const { status, attempt, leaseOwner } = await setting.read(job);
    assert.deepEqual([status, attempt, leaseOwner], ['queued', 0, null]);
    const [aborted] = setting.aborts;
    assert.equal(aborted?.reason.message, 'the worker is stopping');
    assert.equal(aborted.isFinal, false, 'another attempt will follow');
    setting.startWorker({ owner: 'next' });
    await setting.untilStatus(job, 'running');
    assert.equal((await setting.read(job)).attempt, 1);
    assert.deepEqual(setting.failures, []);
  });

  it('leaves a job that does not stop in time to its lease', async () => {
    await using setting = await openSetting(openFresh, { run: () => new Promise(() => undefined) });
    const job = await setting.insert({ attemptsMax: 1 });
    const worker = setting.startWorker();
    await setting.untilStatus(job, 'running');
    const stopped = worker.stop({ graceMs: 5_000 });
    await setting.clock.advance(5_000);
    await stopped;
    assert.equal((await setting.read(job)).status, 'running');
    setting.startWorker({ owner: 'next' });
    await setting.untilStatus(job, 'failed');
    assert.match((await setting.read(job)).error?.message ?? '', /attempt 1 of 1/);
    assert.equal(setting.failures.length, 1);
  });
}

function leaseLossTests(openFresh: OpenFreshCatalog): void {
  it('stops a job before its lease expires when it cannot be renewed', async () => {
    await using setting = await openSetting(openFresh, runUntilAborted());
    const job = await setting.insert({ attemptsMax: 2 });
    setting.startWorker();
    await setting.untilStatus(job, 'running');
    await setting.clock.advance(20_000);
    setting.faults.renew = Infinity;
    const { leaseExpiresAt } = await setting.read(job);
    await setting.clock.advanceUntil(() => setting.aborts.length > 0);
    const [aborted] = setting.aborts;
    assert.deepEqual([aborted?.reason.kind, aborted?.isFinal], ['conflict', false]);
    assert.ok((aborted?.at ?? 0) < (leaseExpiresAt ?? 0), 'the job outlived its lease');
    const { status, attempt } = await setting.read(job);
    assert.deepEqual([status, attempt], ['running', 1], 'without a lease nothing may be written');
    setting.faults.renew = 0;
    await setting.clock.advanceUntil(async () => (await setting.read(job)).attempt === 2);
  });

  it('stops a job that another worker has taken over, and refuses its commit', async () => {
    const refusals: unknown[] = [];
    await using setting = await openSetting(openFresh, {
      async run(_, context) {
        await untilAborted(context);
        const commit = context.commit((tx) => tx.settings.ensure('late', 'yes'));
        await commit.catch((error) => refusals.push(error));
        await context.assertLease().catch((error) => refusals.push(error));
      },
    });
    const job = await setting.insert({ attemptsMax: 1 });
    const worker = setting.startWorker();
    await setting.untilStatus(job, 'running');
    const taken = await setting.read(job);
    const lease = await setting.catalog.jobs.takeOver(taken, 'other', new Date(2 ** 45));
    assert.notEqual(lease, null);
    await setting.clock.advanceUntil(() => refusals.length === 2);
    assert.ok(refusals.every((error) => isErrorKind(error, 'conflict')));
    assert.equal(await setting.catalog.settings.find('late'), null);
    await worker.stop({ graceMs: 1 });
    assert.equal((await setting.read(job)).leaseOwner, 'other');
  });
}

function abandonedTests(openFresh: OpenFreshCatalog): void {
  it('takes over from a worker that died, once its lease has run out', async () => {
    await using setting = await openSetting(openFresh, {});
    const job = await setting.insert({ attemptsMax: 2 });
    await setting.claimAs('dead');
    const claimedMs = setting.clock.monotonicMs();
    for (const owner of ['one', 'two', 'three']) setting.startWorker({ owner });
    await setting.untilStatus(job, 'succeeded');
    assert.ok(setting.clock.monotonicMs() - claimedMs >= 30_000, 'taken before the lease ran out');
    const { attempt, fence } = await setting.read(job);
    // Claimed, taken over by exactly one of three, claimed again.
    assert.deepEqual([attempt, fence], [2, 3]);
  });

  it('fails a job whose workers died too often, and says so once', async () => {
    await using setting = await openSetting(openFresh, {});
    const job = await setting.insert({ attemptsMax: 2 });
    for (const owner of ['first', 'second']) {
      await setting.claimAs(owner);
      await setting.clock.advance(40_000);
      const parts = { ...setting, log: silentLogger, owner: 'r', leaseMs: 30_000, retryDelayMs: 0 };
      const counts = await Promise.all([
        releaseOwner(parts, owner),
        releaseOwner(parts, owner),
        releaseOwner({ ...parts, catalog: await setting.fresh.openAnother() }, owner),
      ]);
      assert.equal(
        counts.reduce((sum, count) => sum + count),
        1,
      );
    }
    const { status, error } = await setting.read(job);
    const message = 'worker stopped while the job ran (attempt 2 of 2)';
    assert.deepEqual([status, error?.message], ['failed', message]);
    assert.deepEqual(setting.failures, [`${job.id} failed ${message}`]);
  });

  it('releases the jobs of a dead owner at once, and only those', async () => {
    await using setting = await openSetting(openFresh, {});
    const job = await setting.insert({ attemptsMax: 2 });
    const other = await setting.insert({ attemptsMax: 2 });
    await setting.claimAs('dead');
    await setting.claimAs('alive');
    const count = await releaseOwner({ ...setting, log: silentLogger }, 'dead');
    assert.equal(count, 1);
    const statuses = [(await setting.read(job)).status, (await setting.read(other)).status];
    assert.deepEqual(statuses.sort(), ['queued', 'running']);
  });

  it('ends an abandoned job that was to be cancelled', async () => {
    await using setting = await openSetting(openFresh, {});
    const job = await setting.insert({ attemptsMax: 5 });
    await setting.claimAs('dead');
    await setting.catalog.jobs.requestCancel(job.id, setting.clock.now());
    setting.startWorker();
    await setting.untilStatus(job, 'cancelled');
    assert.equal(setting.failures.length, 1);
  });
}
