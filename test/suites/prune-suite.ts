// Prune as its jobs do it, against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceId } from '../../src/model/ids.ts';
import { newJobId } from '../../src/model/ids.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import type { PruneReport } from '../../src/operations/prune/prune-report.ts';
import { requestPrune } from '../../src/operations/prune/request-prune.ts';
import { schedulePrunes } from '../../src/operations/prune/schedule-prunes.ts';
import type { WorkerParts } from '../../src/operations/worker-parts.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { completed, makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';
import { claimNext, runNextJob } from '../fixtures/job-run.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import {
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { dayMs, startMs } from '../fixtures/schedule-scene.ts';

const hourMs = 3_600_000;

type Scene = {
  readonly fresh: FreshCatalog;
  readonly clock: ManualClock;
  readonly storage: MemoryStorage;
  readonly repository: Repository;
  readonly parts: WorkerParts;
  names(part: string): string[];
  prune(options?: { dryRun?: boolean }): Promise<PruneReport>;
};

/** One instance, one completed backup, and an object that nothing needs. */
async function openScene(fresh: FreshCatalog): Promise<Scene> {
  const clock = new ManualClock(undefined, startMs);
  const storage = new MemoryStorage();
  const { repository } = await openTestRepository(storage);
  const { catalog } = fresh;
  await catalog.instances.insert(makeInstance({ id: testInstanceId, name: 'shop' }));
  await store(repository, 1);
  const backup = { id: testBackupId(1), instanceId: testInstanceId, state: completed(startMs) };
  await catalog.backups.insert(makeBackup(backup));
  storage.objects.set(leftover, Buffer.from('left over'));
  const parts: WorkerParts = {
    ...{ catalog, repository, clock, engines: {}, random: systemRandom },
    ...{ serversDir: '/nowhere', pruneGraceMs: 24 * hourMs, secondStorage: null },
    logArchive: { isOn: false, intervalMs: null },
  };
  return {
    ...{ fresh, clock, storage, repository, parts },
    names: (part) => [...storage.objects.keys()].filter((name) => name.includes(part)),
    async prune({ dryRun = false } = {}) {
      const request = { projectId: testProjectId, instanceId: testInstanceId, dryRun };
      const [asked] = await requestPrune(parts, request);
      const job = await runNextJob(parts);
      assert.equal(job?.id, asked?.jobId);
      assert.equal(job?.error, null);
      return job?.result as PruneReport;
    },
  };
}

const leftover = `instances/${testInstanceId}/backups/${testBackupId(9)}/packs/dead-000000`;

async function store(repository: Repository, number: number): Promise<void> {
  const files = new Map([[`base/${number}`, Buffer.alloc(20_000, number)]]);
  await storeFiles(repository, files, { backupId: testBackupId(number) });
}

export function pruneSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`prune: ${leg}`, { concurrency: false }, () => {
    graceTests(openFresh);
    orphanTests(openFresh);
    conflictTests(openFresh);
    scheduleTests(openFresh);
  });
}

function graceTests(openFresh: OpenFreshCatalog): void {
  it('deletes what was unneeded for the grace period, never at first sight', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    assert.deepEqual((await scene.prune()).removed, { count: 0, bytes: 0 });
    await scene.clock.advance(24 * hourMs - 1);
    assert.equal((await scene.prune()).waiting.count, 1);
    await scene.clock.advance(1);
    assert.deepEqual((await scene.prune()).removed, { count: 1, bytes: 9 });
    assert.deepEqual(scene.names('dead-'), []);
    assert.equal(scene.names(testBackupId(1)).length, 3);
    assert.equal((await fresh.catalog.prune.listCandidates(testInstanceId)).size, 0);
  });

  it('changes nothing in a dry run, and tells what a run would do', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    assert.equal((await scene.prune({ dryRun: true })).waiting.count, 1);
    assert.equal((await fresh.catalog.prune.listCandidates(testInstanceId)).size, 0);
    await scene.prune();
    await scene.clock.advance(25 * hourMs);
    const plan = await scene.prune({ dryRun: true });
    assert.deepEqual([plan.dryRun, plan.removed.count, plan.kept.count], [true, 1, 2]);
    assert.equal(scene.names('dead-').length, 1);
    const done = await scene.prune();
    assert.deepEqual({ ...done, dryRun: true }, plan);
  });

  it('begins anew when an object was needed in between', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.prune();
    const building = makeBackup({ id: testBackupId(9), instanceId: testInstanceId });
    await fresh.catalog.backups.insert(building);
    await scene.clock.advance(48 * hourMs);
    assert.equal((await scene.prune()).waiting.count, 0);
    const failed = { status: 'failed', endedAt: scene.clock.now(), reason: 'away' } as const;
    await fresh.catalog.backups.setState(building.id, failed);
    assert.equal((await scene.prune()).removed.count, 0);
    await scene.clock.advance(24 * hourMs);
    assert.equal((await scene.prune()).removed.count, 1);
  });

  it('remembers thousands of objects', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    for (let n = 0; n < 1500; n++) scene.storage.objects.set(`${leftover}${n}`, Buffer.from('x'));
    assert.equal((await scene.prune()).waiting.count, 1501);
    assert.equal((await fresh.catalog.prune.listCandidates(testInstanceId)).size, 1501);
    await scene.clock.advance(24 * hourMs);
    assert.equal((await scene.prune()).removed.count, 1501);
    assert.equal((await fresh.catalog.prune.listCandidates(testInstanceId)).size, 0);
  });

  it('fails and deletes nothing when a manifest cannot be read', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.prune();
    await scene.clock.advance(48 * hourMs);
    const [manifest = ''] = scene.names('/manifest');
    scene.storage.objects.get(manifest)?.fill(0, 60, 80);
    const request = { projectId: testProjectId, instanceId: testInstanceId, dryRun: false };
    await requestPrune(scene.parts, request);
    const job = await runNextJob(scene.parts);
    assert.equal(job?.error?.kind, 'repository-damaged');
    assert.ok(job.error.message.includes(manifest), job.error.message);
    assert.equal(scene.names('dead-').length, 1);
  });
}

function orphanTests(openFresh: OpenFreshCatalog): void {
  it('keeps a backup that the catalog does not know, and says so', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await store(scene.repository, 2);
    await scene.prune();
    await scene.clock.advance(100 * dayMs);
    const { orphans } = await scene.prune();
    assert.deepEqual(orphans, [{ backupId: testBackupId(2), status: 'unknown', removed: false }]);
    assert.equal(scene.names(testBackupId(2)).length, 3);
  });

  it('deletes the manifest of a failed backup only after the grace period', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await store(scene.repository, 2);
    const failed = { status: 'failed', endedAt: scene.clock.now(), reason: 'stopped' } as const;
    const backup = { id: testBackupId(2), instanceId: testInstanceId, state: failed };
    await fresh.catalog.backups.insert(makeBackup(backup));
    const told = { backupId: testBackupId(2), status: 'failed', removed: false } as const;
    assert.deepEqual((await scene.prune()).orphans, [told]);
    assert.equal(scene.names(testBackupId(2)).length, 3);
    await scene.clock.advance(24 * hourMs);
    assert.deepEqual((await scene.prune()).orphans, [{ ...told, removed: true }]);
    assert.equal(scene.names(testBackupId(2)).length, 0);
    assert.equal(scene.names(testBackupId(1)).length, 3);
  });

  it('tells folders of unknown instances, and deletes nothing there', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    const stranger = 'ffffffffffffffffffffffffffffffffin03' as InstanceId;
    const name = `instances/${stranger}/backups/${testBackupId(1)}/packs/0-000000`;
    scene.storage.objects.set(name, Buffer.from('of another'));
    await requestPrune(scene.parts, {
      ...{ projectId: testProjectId, instanceId: null, dryRun: false },
    });
    const results = [await runNextJob(scene.parts), await runNextJob(scene.parts)].map(
      (job) => job?.result,
    );
    const found = results.find((result) => result?.['kind'] === 'unknown-instances');
    assert.deepEqual(found?.['instanceIds'], [stranger]);
    assert.ok(results.some((result) => result?.['kind'] === 'prune'));
    assert.ok(scene.storage.objects.has(name));
  });
}

function conflictTests(openFresh: OpenFreshCatalog): void {
  for (const kind of [jobKinds.backup, jobKinds.deleteBackup, jobKinds.prune] as const) {
    it(`waits for a ${kind} job of the instance, and makes it wait`, async () => {
      await using fresh = await openFresh();
      const scene = await openScene(fresh);
      const request = { projectId: testProjectId, instanceId: testInstanceId, dryRun: false };
      const [asked] = await requestPrune(scene.parts, request);
      assert.equal((await claimNext(scene.parts))?.id, asked?.jobId);
      const other = newJobId(() => systemRandom.hex(16));
      await fresh.catalog.jobs.insert({
        ...{ id: other, projectId: testProjectId, kind, pool: 'default', payload: {} },
        ...{ instanceId: testInstanceId, instanceName: 'shop', attemptsMax: 1 },
        createdAt: scene.clock.now(),
      });
      assert.equal(await claimNext(scene.parts, 'other'), null);
      await requestPrune(scene.parts, { ...request, dryRun: true });
      const plan = await claimNext(scene.parts, 'other');
      assert.equal(plan?.kind, jobKinds.planPrune, 'a dry run waits for nobody');
    });
  }
}

function scheduleTests(openFresh: OpenFreshCatalog): void {
  const asked = async ({ fresh }: Scene): Promise<number> => {
    const filter = { projectId: testProjectId, kind: jobKinds.prune };
    return (await fresh.catalog.jobs.list(filter, { offset: 0, limit: 10 })).total;
  };

  it('is asked for once a day for each instance with backups, by one of many', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await fresh.catalog.instances.insert(makeInstance({ name: 'without-backups' }));
    const another = { ...scene.parts, log: silentLogger, catalog: await fresh.openAnother() };
    const parts = { ...scene.parts, log: silentLogger };
    const counts = await Promise.all([schedulePrunes(parts), schedulePrunes(another)]);
    assert.equal(counts[0] + counts[1], 1);
    assert.equal(await asked(scene), 1);
    assert.equal((await runNextJob(scene.parts))?.status, 'succeeded');
    await scene.clock.advance(dayMs - 1);
    assert.equal(await schedulePrunes(parts), 0);
    await scene.clock.advance(1);
    assert.equal(await schedulePrunes(parts), 1);
    assert.equal(await asked(scene), 2);
  });

  it('is asked for also when the instance is gone and its backups stay', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await fresh.catalog.instances.delete(testInstanceId);
    assert.equal(await schedulePrunes({ ...scene.parts, log: silentLogger }), 1);
    const job = await runNextJob(scene.parts);
    assert.equal(job?.status, 'succeeded');
    assert.equal(job.instanceName, 'orders');
    await fresh.catalog.backups.delete(testBackupId(1));
    await scene.clock.advance(2 * dayMs);
    assert.equal(await schedulePrunes({ ...scene.parts, log: silentLogger }), 0);
  });
}
