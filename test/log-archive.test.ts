// The job that archives a log: that nothing is confirmed which is not stored, that nothing is lost
// or stored twice whatever fails, and that it ends when nobody wants it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../src/catalog/catalog.ts';
import { releaseOwner } from '../src/jobs/reaper.ts';
import { CairnError } from '../src/model/errors.ts';
import { createJobKinds } from '../src/operations/job-kinds.ts';
import { jobKinds } from '../src/operations/job-payloads.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { testProjectId } from './fixtures/catalogs.ts';
import type { LogScene } from './fixtures/log-scene.ts';
import {
  giveBase,
  listBackups,
  offsetOf,
  openLogScene,
  untilIntervals,
} from './fixtures/log-scene.ts';
import { never } from './fixtures/repositories.ts';

const minuteMs = 60_000;

async function archiveJobs({ catalog }: LogScene) {
  const filter = { projectId: testProjectId, kind: jobKinds.archiveLog };
  return (await catalog.jobs.list(filter, { offset: 0, limit: 100 })).items;
}

describe('archiving a log', { concurrency: false }, () => {
  it('stores within seconds, confirms what is stored, and makes pieces whole', async () => {
    await using scene = await openLogScene();
    const { server, clock } = scene;
    await scene.schedule();
    await scene.schedule();
    assert.equal((await archiveJobs(scene)).length, 1, 'asked for once');
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored('a'.repeat(30));
    const writtenMs = clock.now().getTime();
    server.write('b'.repeat(20));
    await scene.untilStored(server.text);
    await clock.advanceUntil(async () => {
      const [following] = await scene.streams();
      return (following?.progress.covered?.at.getTime() ?? 0) > writtenMs;
    });
    assert.equal(offsetOf(server.confirmed ?? assert.fail()), 50);
    const [stream] = await scene.streams();
    assert.ok(stream);
    const survey = async () =>
      (await scene.parts.repository.log.surveyStream(scene.instance.id, stream.id, never)).pieces;
    assert.equal((await survey()).length, 2);
    server.write('c'.repeat(100));
    await scene.untilStored(server.text);
    await clock.advanceUntil(async () => (await survey()).length === 3);
    const pieces = await survey();
    assert.deepEqual(
      pieces.map(({ offsetBytes, lengthBytes, isLast }) => [offsetBytes, lengthBytes, isLast]),
      [
        [0, 64, true],
        [0, 64, true],
        [0, 22, false],
      ],
    );
  });

  it('goes on where it was when the server or the storage comes back', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    const away = (): CairnError => new CairnError('engine-unreachable', 'no answer');
    server.refusals.push(away(), away(), away());
    server.write('b'.repeat(10));
    server.cut(away());
    await clock.advanceUntil(async () => {
      const [troubled] = await scene.streams();
      return troubled?.progress.trouble?.message === 'no answer';
    });
    await scene.untilStored(server.text);
    storage.isAway = true;
    server.write('c'.repeat(90));
    await clock.advanceUntil(async () => {
      const [troubled] = await scene.streams();
      return /storage is away/.test(troubled?.progress.trouble?.message ?? '');
    });
    await clock.advance(20_000);
    assert.equal((await scene.storedText()).length, 40);
    assert.equal(offsetOf(server.confirmed ?? assert.fail()), 40, 'not confirmed');
    storage.isAway = false;
    await scene.untilStored(server.text);
    await clock.advanceUntil(async () => (await scene.streams())[0]?.progress.trouble === null);
    assert.equal((await scene.streams()).length, 1);
    assert.equal((await archiveJobs(scene))[0]?.attempt, 1, 'all by one job');
  });

  it('tells of trouble until more is covered, not until it has begun anew', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    storage.isAway = true;
    server.isMute = true;
    server.write('b'.repeat(90));
    const trouble = async () => (await scene.streams())[0]?.progress.trouble ?? null;
    await clock.advanceUntil(async () => (await trouble()) !== null);
    storage.isAway = false;
    await scene.untilStored(server.text);
    await clock.advance(20_000);
    assert.match((await trouble())?.message ?? '', /storage is away/);
    server.isMute = false;
    await clock.advanceUntil(async () => (await trouble()) === null);
  });

  it('ends a stream by a gap, begins another and asks for one full backup', async () => {
    await using scene = await openLogScene();
    const { server, clock } = scene;
    await scene.schedule();
    await giveBase(scene);
    scene.startWorker('one');
    server.write('a'.repeat(70));
    await scene.untilStored(server.text);
    const gap = (): CairnError =>
      new CairnError('log-gap', 'the slot is lost', { hint: 'mind it' });
    server.refusals.push(new CairnError('engine-unreachable', 'no answer'));
    server.cut(gap());
    await clock.advanceUntil(async () => (await scene.streams()).length === 2);
    const [ended, next] = await scene.streams();
    assert.ok(ended?.state.status === 'ended');
    assert.deepEqual(
      [ended.state.cause, ended.state.reason],
      ['gap', 'the slot is lost (mind it)'],
    );
    assert.equal(next?.state.status, 'following');
    assert.equal(server.released.length, 3, 'before each new stream, and once in vain');
    assert.equal((await listBackups(scene, 'incremental')).total, 1, 'what was stored is shown');
    const autos = await listBackups(scene, 'auto');
    assert.deepEqual(
      autos.items.map(({ description }) => description),
      ['after a gap in the archived log'],
    );
    server.cut(gap());
    await clock.advanceUntil(async () => (await scene.streams()).length === 3);
    assert.ok((await listBackups(scene, 'auto')).total <= 2);
  });
});

describe('a server that was set back', { concurrency: false }, () => {
  it('has another history: its log begins a new stream, and nothing is mixed', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage } = scene;
    await scene.schedule();
    await giveBase(scene);
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    storage.hasOtherBytes = true;
    server.write('b'.repeat(30));
    await clock.advanceUntil(async () => (await scene.streams())[0]?.state.status === 'ended');
    storage.hasOtherBytes = false;
    await clock.advanceUntil(async () => (await scene.streams()).length === 2);
    const [ended] = await scene.streams();
    assert.ok(ended?.state.status === 'ended');
    assert.deepEqual(
      [ended.state.cause, ended.state.reason],
      ['gap', 'other bytes are stored there'],
    );
    assert.equal((await listBackups(scene, 'auto')).total, 1);
  });
});

describe('intervals of a log', { concurrency: false }, () => {
  it('are closed in every span in which something was written', async () => {
    await using scene = await openLogScene();
    const { server, clock } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    await untilIntervals(scene, 1);
    const [interval] = (await listBackups(scene, 'incremental')).items;
    assert.ok(interval?.state.status === 'completed');
    assert.match(interval.name, /^incremental-shop-20300101T0000\d\d$/);
    assert.equal(offsetOf(interval.state.stopPosition), 30);
    assert.equal(interval.state.totals.logicalBytes, 30);
    const before = (await scene.streams())[0]?.progress.covered?.at.getTime() ?? 0;
    await clock.advance(minuteMs);
    assert.equal((await listBackups(scene, 'incremental')).total, 1, 'nothing was written');
    const after = (await scene.streams())[0]?.progress.covered?.at.getTime() ?? 0;
    assert.ok(after - before >= minuteMs / 2, 'but until when it is covered moves on');
    server.write('b'.repeat(40));
    await untilIntervals(scene, 2);
    const later = (await listBackups(scene, 'incremental')).items[0];
    assert.ok(later?.state.status === 'completed');
    assert.deepEqual(later.state.startPosition, interval.state.stopPosition);
    assert.deepEqual(later.startedAt, interval.state.endedAt);
  });

  it('that a crash has kept from the catalog are told to it later', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog } = scene;
    await scene.schedule();
    let isBroken = true;
    const transaction: Catalog['transaction'] = (work) =>
      catalog.transaction((tx) => {
        const insert: typeof tx.intervals.insert = async (...args) => {
          if (isBroken) throw new CairnError('storage-unavailable', 'the catalog is away');
          await tx.intervals.insert(...args);
        };
        return work({ ...tx, intervals: { ...tx.intervals, insert } });
      });
    scene.startWorker('one', { ...catalog, transaction });
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    const [stream] = await scene.streams();
    assert.ok(stream);
    const survey = () =>
      scene.parts.repository.log.surveyStream(scene.instance.id, stream.id, never);
    await clock.advanceUntil(async () => (await survey()).intervals.length === 1);
    const [stored] = (await survey()).intervals;
    assert.ok(stored);
    await clock.advance(5_000);
    assert.equal((await listBackups(scene, 'incremental')).total, 0);
    isBroken = false;
    await untilIntervals(scene, 1);
    const { items } = await listBackups(scene, 'incremental');
    assert.deepEqual(
      items.map(({ id }) => id),
      [stored.backupId],
    );
    server.write('b'.repeat(30));
    await untilIntervals(scene, 2);
    assert.deepEqual(
      (await survey()).intervals.map(({ sequence }) => sequence),
      [0, 1],
    );
  });
});

describe('an archiver', { concurrency: false }, () => {
  it('told to stop stores what it has; after one that died the next goes on', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, parts } = scene;
    await scene.schedule();
    const first = scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    server.write('b'.repeat(10));
    await clock.advance(100);
    let isStopped = false;
    void first.stop({ graceMs: 10_000 }).then(() => {
      isStopped = true;
    });
    await clock.advanceUntil(() => isStopped, { stepMs: 10 });
    assert.equal(await scene.storedText(), server.text);
    const [job] = await archiveJobs(scene);
    assert.deepEqual([job?.status, job?.attempt], ['queued', 0], 'given back without cost');
    // A worker that claims it and dies.
    const leaseExpiresAt = new Date(clock.now().getTime() + 30_000);
    const request = { owner: 'dead', pools: ['default'], conflicts: {}, leaseExpiresAt };
    await catalog.jobs.claim({ ...request, now: clock.now() });
    const kinds = createJobKinds(parts);
    await releaseOwner({ catalog, kinds, clock, log: silentLogger }, 'dead');
    server.write('c'.repeat(100));
    scene.startWorker('two');
    await scene.untilStored(server.text);
    assert.equal((await scene.streams()).length, 1);
  });

  it('stops when the policy is switched off, and the server forgets its log', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, instance } = scene;
    await scene.schedule();
    await giveBase(scene);
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    assert.equal((await listBackups(scene, 'auto')).total, 0);
    const before = server.released.length;
    server.releaseFailure = new CairnError('engine-unreachable', 'no answer');
    const record = (await catalog.policies.find(instance.id)) ?? assert.fail();
    await catalog.policies.put({ ...record, policy: { kind: 'off' } });
    await clock.advanceUntil(async () => (await archiveJobs(scene))[0]?.status === 'succeeded');
    const [stream] = await scene.streams();
    assert.ok(stream?.state.status === 'ended');
    assert.equal(stream.state.cause, 'stopped');
    assert.match(stream.progress.warning?.hint ?? '', /^drop cairn_.* there$/);
    await scene.schedule();
    assert.equal((await archiveJobs(scene)).length, 1, 'nobody asks again');
    // The next time it can be reached.
    server.releaseFailure = null;
    await catalog.policies.put(record);
    await scene.schedule();
    await clock.advanceUntil(async () => (await scene.streams()).length === 2);
    assert.equal(server.released.length, before + 1);
    const autos = (await listBackups(scene, 'auto')).items;
    assert.deepEqual(
      autos.map(({ description }) => description),
      ['where the archived log begins'],
      'a stop is no gap, but what was there before leads nowhere from here',
    );
  });

  it('goes with its instance: nothing is left', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, instance, storage } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(100));
    await scene.untilStored(server.text);
    await untilIntervals(scene, 1);
    const payload = { instanceId: instance.id };
    await catalog.jobs.insert({
      ...{ id: 'remove' as never, projectId: testProjectId, kind: jobKinds.removeInstance },
      ...{ pool: 'default', instanceId: instance.id, instanceName: 'shop', payload },
      ...{ attemptsMax: 1, createdAt: clock.now() },
    });
    await clock.advanceUntil(async () => {
      const job = await catalog.jobs.find(testProjectId, 'remove' as never);
      if (job?.error) throw new Error(JSON.stringify(job.error));
      return (await catalog.instances.find(testProjectId, instance.id)) === null;
    });
    assert.deepEqual(await scene.streams(), []);
    assert.equal((await listBackups(scene, 'incremental')).total, 0);
    assert.deepEqual(
      [...storage.objects.keys()].filter((name) => name.includes('/log/')),
      [],
    );
    assert.equal(server.released.length, 2);
  });
});
