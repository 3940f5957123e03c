// Who asks for locks, and what their jobs answer; the storage is in memory and only notes them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceId } from '../src/model/ids.ts';
import { jobKinds } from '../src/operations/job-payloads.ts';
import type { StoredLockReport } from '../src/operations/lock/lock-report.ts';
import { schedulePrunes } from '../src/operations/prune/schedule-prunes.ts';
import type { WorkerParts } from '../src/operations/worker-parts.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { systemRandom } from '../src/platform/random.ts';
import { manifestObject } from '../src/repository/format.ts';
import { planLocks } from '../src/repository/lock-plan.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ObjectVersion } from '../src/storage/storage.ts';
import { completed, makeBackup, makeInstance } from './fixtures/catalog-values.ts';
import type { FreshCatalog } from './fixtures/catalogs.ts';
import { openFreshSqlite, testProjectId } from './fixtures/catalogs.ts';
import { runNextJob } from './fixtures/job-run.ts';
import { ManualClock } from './fixtures/manual-clock.ts';
import { memoryLock, versionOf } from './fixtures/memory-lock.ts';
import {
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';
import { dayMs, startMs } from './fixtures/schedule-scene.ts';

class LockingMemory extends MemoryStorage {
  readonly locked = new Set<string>();
  readonly lock = memoryLock(this.objects, this.locked);
}

async function openScene({ catalog }: FreshCatalog) {
  const clock = new ManualClock(undefined, startMs);
  const storage = new LockingMemory();
  const { repository } = await openTestRepository(storage);
  await catalog.instances.insert(makeInstance({ id: testInstanceId, name: 'shop' }));
  for (const number of [1, 2]) {
    const id = testBackupId(number);
    await storeFiles(repository, new Map([['base/1', Buffer.alloc(20_000, number)]]), {
      backupId: id,
    });
    const state = completed(startMs);
    const backup = { id, name: `b${number}`, instanceId: testInstanceId, state };
    await catalog.backups.insert(makeBackup(backup));
  }
  const parts: WorkerParts & { readonly log: typeof silentLogger } = {
    ...{ catalog, repository, clock, engines: {}, random: systemRandom, log: silentLogger },
    ...{ serversDir: '/nowhere', pruneGraceMs: dayMs, secondStorage: null },
    logArchive: { isOn: false, intervalMs: null },
  };
  const asked = async (): Promise<number> => {
    const filter = { projectId: testProjectId, kind: jobKinds.extendLocks };
    return (await catalog.jobs.list(filter, { offset: 0, limit: 10 })).total;
  };
  return { storage, clock, parts, asked };
}

describe('locks of a service', () => {
  it('are asked for once a day, where the storage locks', async () => {
    await using fresh = await openFreshSqlite();
    const { parts, clock, asked, storage } = await openScene(fresh);
    await schedulePrunes(parts, { locksToo: true });
    await schedulePrunes(parts, { locksToo: true });
    assert.equal(await asked(), 1);
    while (await runNextJob(parts)) continue;
    assert.ok(storage.locked.has(manifestObject(testInstanceId, testBackupId(1))));
    assert.ok(storage.locked.has('repository.json'));
    await clock.advance(dayMs);
    await schedulePrunes(parts, { locksToo: true });
    assert.equal(await asked(), 2);
    await clock.advance(dayMs);
    await schedulePrunes(parts, { locksToo: false });
    assert.equal(await asked(), 2);
  });

  it('fail, with what they found, when a backup of the catalog has lost its manifest', async () => {
    await using fresh = await openFreshSqlite();
    const { parts, storage } = await openScene(fresh);
    const manifest = manifestObject(testInstanceId, testBackupId(1));
    storage.objects.delete(manifest);
    await schedulePrunes(parts, { locksToo: true });
    const jobs = [await runNextJob(parts), await runNextJob(parts)];
    const job = jobs.find((each) => each?.kind === jobKinds.extendLocks);
    assert.equal(job?.status, 'failed');
    assert.equal(job.error?.kind, 'repository-damaged');
    assert.match(job.error?.hint ?? '', /docs\/object-lock\.md/);
    const report = job.result as StoredLockReport;
    assert.deepEqual(report.findings, [{ object: manifest, problem: 'missing' }]);
    assert.ok(storage.locked.has(manifestObject(testInstanceId, testBackupId(2))));
  });
});

describe('the plan of locks', () => {
  const instanceId = 'i' as InstanceId;
  const pack = 'instances/i/backups/b/packs/p';
  const plan = (versions: readonly ObjectVersion[]) =>
    planLocks({ instanceId, versions, needed: new Set([pack]) });
  const problems = (versions: readonly ObjectVersion[]): readonly string[] =>
    plan(versions).findings.map(({ problem }) => problem);
  const first = versionOf({ name: pack, isLatest: false });

  it('keeps every version of what is needed, and tells of a second content', () => {
    const forged = versionOf({ name: pack, versionId: 'v2', contentTag: 'b' });
    assert.deepEqual(plan([forged, first]).needed, [forged, first]);
    assert.deepEqual(problems([forged, first]), ['overwritten']);
    assert.deepEqual(problems([{ ...forged, sizeBytes: 2, contentTag: 'a' }, first]), [
      'overwritten',
    ]);
    const again = versionOf({ name: pack, versionId: 'v2' });
    assert.deepEqual(problems([again, first]), [], 'the same bytes, copied again');
  });

  it('tells of what is hidden or missing', () => {
    const deletion = versionOf({ name: pack, versionId: 'v2', isDeletion: true, contentTag: '' });
    assert.deepEqual(problems([deletion, first]), ['deleted']);
    assert.deepEqual(problems([]), ['missing']);
    const put = versionOf({ name: pack, versionId: 'v3' });
    assert.deepEqual(problems([put, { ...deletion, isLatest: false }, first]), []);
  });

  it('counts log, keys and markers as needed while they are there', () => {
    const names = ['keys/i.1.json', 'owners/000001.json', 'instances/i/log/s/files/1/0'];
    const there = names.map((name) => versionOf({ name }));
    const gone = there.flatMap((version) => [
      { ...version, isLatest: false },
      { ...version, versionId: 'v2', isDeletion: true },
    ]);
    const own = versionOf({ name: pack });
    assert.deepEqual(plan([own, ...there]).needed, [own, ...there]);
    assert.deepEqual(plan([own, ...gone]).needed, [own]);
    assert.deepEqual(plan([own, versionOf({ name: 'keys/j.1.json' })]).needed, [own]);
  });
});
