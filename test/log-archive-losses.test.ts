// What would cost an archived log, or its server: a storage or catalog that is away at the wrong
// moment, an archiver that was thought dead, a clock that was set back, a keeper left behind.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../src/catalog/catalog.ts';
import { CairnError } from '../src/model/errors.ts';
import { jobKinds } from '../src/operations/job-payloads.ts';
import { planResume } from '../src/operations/log-archive/resume-stream.ts';
import type { StoredLogPiece } from '../src/repository/repository.ts';
import { makeBackup } from './fixtures/catalog-values.ts';
import { testProjectId } from './fixtures/catalogs.ts';
import type { LogScene } from './fixtures/log-scene.ts';
import {
  AbsentStorage,
  giveBase,
  listBackups,
  openLogScene,
  positionAt,
  untilIntervals,
} from './fixtures/log-scene.ts';
import { memoryLock } from './fixtures/memory-lock.ts';
import { never } from './fixtures/repositories.ts';

/** A catalog of which a part of each transaction is another. */
function withSession(
  { catalog }: LogScene,
  change: (tx: Parameters<Parameters<Catalog['transaction']>[0]>[0]) => object,
): Catalog {
  const transaction: Catalog['transaction'] = (work) =>
    catalog.transaction((tx) => work({ ...tx, ...change(tx) }));
  return { ...catalog, transaction };
}

async function jobsOf({ catalog }: LogScene, kind: string) {
  const filter = { projectId: testProjectId, kind };
  return (await catalog.jobs.list(filter, { offset: 0, limit: 100 })).items;
}

const away = (): CairnError => new CairnError('engine-unreachable', 'no answer');

describe('a volume that is unmounted and comes back', { concurrency: false }, () => {
  it('ends no stream, and costs the server nothing that it keeps for us', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    const released = server.released.length;
    const objects = new Map(storage.objects);
    storage.objects.clear();
    server.write('b'.repeat(30));
    await clock.advanceUntil(async () => {
      const [troubled] = await scene.streams();
      return troubled?.progress.trouble !== null;
    });
    await clock.advance(30_000);
    storage.objects.clear();
    for (const [name, bytes] of objects) storage.objects.set(name, bytes);
    await scene.untilStored(server.text);
    const streams = await scene.streams();
    assert.deepEqual([streams.length, streams[0]?.state.status], [1, 'following']);
    assert.equal(server.released.length, released);
  });

  it('has no log that is said not to exist, or to be gone', async () => {
    await using scene = await openLogScene();
    const { server, storage, parts, instance } = scene;
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    const [stream] = await scene.streams();
    assert.ok(stream);
    const objects = new Map(storage.objects);
    storage.objects.clear();
    const { log } = parts.repository;
    const isAway = (error: unknown): boolean =>
      error instanceof CairnError && error.kind === 'storage-unavailable';
    await assert.rejects(log.readFile(instance.id, stream.id, 'segment-0000', never), isAway);
    await assert.rejects(log.surveyStream(instance.id, stream.id, never), isAway);
    const lease = { assertLease: async () => undefined, signal: never };
    await assert.rejects(log.removeBefore(instance.id, stream.id, null, lease), isAway);
    for (const [name, bytes] of objects) storage.objects.set(name, bytes);
  });
});

describe('a stream of which something stored is damaged', { concurrency: false }, () => {
  it('is tried for a while, then given up, and the log is archived anew', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage } = scene;
    await scene.schedule();
    await giveBase(scene);
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    for (const [name, bytes] of storage.objects) {
      if (name.includes('segment-0000')) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    }
    storage.isAway = true;
    server.write('b'.repeat(30));
    const trouble = async () => (await scene.streams())[0]?.progress.trouble?.message ?? '';
    await clock.advanceUntil(async () => (await trouble()) !== '');
    storage.isAway = false;
    await clock.advanceUntil(async () => /segment-0000/.test(await trouble()));
    await clock.advance(60_000);
    assert.equal((await scene.streams()).length, 1, 'not at once');
    const patience = { stepMs: 5_000, spanMaxMs: 1_800_000 };
    await clock.advanceUntil(async () => (await scene.streams()).length === 2, patience);
    const [ended] = await scene.streams();
    assert.ok(ended?.state.status === 'ended');
    assert.equal(ended.state.cause, 'gap');
    assert.match(ended.state.reason, /damaged/);
    await scene.untilStored(server.text);
    assert.equal((await listBackups(scene, 'auto')).total, 1, 'a full backup is asked for');
  });
});

describe('an archiver that was thought dead', { concurrency: false }, () => {
  it('and wakes up later spoils nothing', async () => {
    await using scene = await openLogScene();
    const { server, clock, storage, catalog } = scene;
    await scene.schedule();
    let isPaused = false;
    const held = Promise.withResolvers<void>();
    // It believes that it still has its lease, and hears nothing of the catalog.
    const asleep: Catalog = {
      ...catalog,
      jobs: {
        ...catalog.jobs,
        renew: async (...args) =>
          isPaused ? { held: true, cancelRequested: false } : await catalog.jobs.renew(...args),
      },
    };
    scene.startWorker('asleep', asleep);
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    isPaused = true;
    storage.heldOnce = held.promise;
    server.write('b'.repeat(20));
    await clock.advance(5_000);
    assert.equal(storage.heldOnce, null, 'it is in the middle of storing');
    const [job] = await jobsOf(scene, jobKinds.archiveLog);
    assert.ok(job);
    await clock.advance(40_000);
    scene.startWorker('next');
    server.write('c'.repeat(60));
    await scene.untilStored(server.text);
    await untilIntervals(scene, 2);
    held.resolve();
    server.write('d'.repeat(40));
    await scene.untilStored(server.text);
    await clock.advance(30_000);
    assert.equal(await scene.storedText(), server.text);
    const streams = await scene.streams();
    assert.deepEqual([streams.length, streams[0]?.state.status], [1, 'following']);
    const { findings } = await scene.parts.repository.check({
      ...{ instanceIds: [scene.instance.id], readData: { percent: 100, seed: 'x' } },
      ...{ onProgress: () => undefined, signal: never },
    });
    assert.deepEqual(findings, []);
    const { id } = streams[0] ?? assert.fail();
    const survey = await scene.parts.repository.log.surveyStream(scene.instance.id, id, never);
    const rows = await listBackups(scene, 'incremental');
    assert.deepEqual(
      rows.items.map((row) => row.id).toReversed(),
      survey.intervals.map(({ backupId }) => backupId),
    );
    const moved = (await jobsOf(scene, jobKinds.archiveLog)).find(({ id }) => id === job.id);
    assert.ok((moved?.fence ?? 0) > job.fence, 'the other one has the job');
  });
});

describe('a stream that nobody can build on', { concurrency: false }, () => {
  it('asks for a full backup, once, also when one could not begin at first', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, instance } = scene;
    const running = makeBackup({ instanceId: instance.id, startedAt: clock.now(), name: 'own' });
    await catalog.backups.insert(running);
    await scene.schedule();
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    await scene.schedule();
    assert.equal((await listBackups(scene, 'auto')).total, 0, 'not beside another');
    const failed = { status: 'failed', endedAt: clock.now(), reason: 'x', hint: null } as const;
    await catalog.backups.setState(running.id, { ...running.state, ...failed } as never);
    await scene.schedule();
    await scene.schedule();
    const autos = async () => (await listBackups(scene, 'auto')).items;
    assert.deepEqual(
      (await autos()).map(({ description }) => description),
      ['where the archived log begins'],
    );
    // The driver of this server makes none.
    await clock.advanceUntil(async () => (await autos())[0]?.state.status === 'failed');
    await scene.schedule();
    assert.equal((await autos()).length, 1, 'another try is the business of the policy');
  });

  it('asks for none while it has one', async () => {
    await using scene = await openLogScene();
    const { server } = scene;
    await scene.schedule();
    await giveBase(scene);
    scene.startWorker('one');
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    await scene.schedule();
    assert.equal((await listBackups(scene, 'auto')).total, 0);
  });
});

describe('an attempt to begin a stream that died', { concurrency: false }, () => {
  it('leaves nothing in the storage for long', async () => {
    await using scene = await openLogScene();
    const { server, storage } = scene;
    await scene.schedule();
    let failuresLeft = 1;
    const catalog = withSession(scene, (tx) => {
      const insert: typeof tx.logStreams.insert = async (...args) => {
        if (failuresLeft-- > 0) throw new CairnError('storage-unavailable', 'the catalog is away');
        await tx.logStreams.insert(...args);
      };
      return { logStreams: { ...tx.logStreams, insert } };
    });
    scene.startWorker('one', catalog);
    server.write('a'.repeat(30));
    await scene.untilStored(server.text);
    const records = [...storage.objects.keys()].filter((name) => name.endsWith('/stream'));
    assert.equal(records.length, 1);
    assert.ok(failuresLeft < 0);
  });

  it('leaves no keeper on the server when nobody wants it any more', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, instance } = scene;
    await scene.schedule();
    server.refusals.push(...Array.from({ length: 50 }, away));
    scene.startWorker('one');
    await clock.advanceUntil(() => server.refusals.length < 49);
    const record = (await catalog.policies.find(instance.id)) ?? assert.fail();
    const before = server.released.length;
    const refusedBefore = server.refusals.length;
    await catalog.policies.put({ ...record, policy: { kind: 'off' } });
    await clock.advanceUntil(async () => {
      return (await jobsOf(scene, jobKinds.archiveLog))[0]?.status === 'succeeded';
    });
    const tried = refusedBefore - server.refusals.length;
    assert.equal(server.released.length, before + tried + 1);
  });
});

class LockingStorage extends AbsentStorage {
  readonly locked = new Set<string>();
  readonly lock = memoryLock(this.objects, this.locked);
}

describe('a closed interval', { concurrency: false }, () => {
  it('is locked with its files and its key at once, where the storage locks', async () => {
    const storage = new LockingStorage();
    await using scene = await openLogScene(storage);
    await scene.schedule();
    scene.startWorker('one');
    scene.server.write('a'.repeat(100));
    await scene.untilStored(scene.server.text);
    await untilIntervals(scene, 1);
    const stored = [...storage.objects.keys()].filter((name) => !name.startsWith('tmp/'));
    await scene.clock.advanceUntil(() => stored.every((name) => storage.locked.has(name)));
    const kinds = [
      'keys/',
      '/stream',
      '/files/segment-0000/',
      '/files/segment-0001/',
      '/intervals/',
    ];
    for (const kind of kinds) {
      assert.ok(
        [...storage.locked].some((name) => name.includes(kind)),
        kind,
      );
    }
    scene.server.write('b'.repeat(10));
    await scene.untilStored(scene.server.text);
    const fresh = [...storage.objects.keys()].filter((name) => !stored.includes(name));
    assert.ok(fresh.length > 0 && fresh.every((name) => !storage.locked.has(name)));
    await untilIntervals(scene, 2);
    await scene.clock.advanceUntil(() => fresh.every((name) => storage.locked.has(name)));
  });
});

describe('a server whose clock was set back', () => {
  it('is covered until what its clock says behind the last piece, not before', () => {
    const at = (minute: number): Date => new Date(Date.UTC(2026, 0, 5, 12, minute));
    const piece = (from: number, to: number, endAt: Date): StoredLogPiece => ({
      ...{ file: { name: 'one', kind: 'log', startPosition: positionAt(0) } },
      ...{ offsetBytes: from, lengthBytes: to - from, isLast: false, endPosition: positionAt(to) },
      ...{ endAt, objectName: `one-${from}`, storedBytes: 1 },
    });
    const pieces = [piece(0, 10, at(59)), piece(10, 20, at(5))];
    const closed = { sequence: 0, position: positionAt(10), at: at(59) };
    const progress = { closed, behindBytes: null, warning: null, trouble: null };
    const resumed = (covered: { position: ReturnType<typeof positionAt>; at: Date }) =>
      planResume({ progress: { ...progress, covered } }, { pieces, intervals: [] }).coveredUntil;
    assert.deepEqual(resumed({ position: positionAt(10), at: at(59) }), at(5));
    assert.deepEqual(resumed({ position: positionAt(20), at: at(7) }), at(7), 'nothing since');
  });
});
