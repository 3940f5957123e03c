// Off-site policies as the scheduler and a worker carry them out, against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OffsiteEntry } from '../../src/catalog/catalog.ts';
import type { Job } from '../../src/model/job.ts';
import type { OffsiteReport } from '../../src/operations/offsite/offsite-report.ts';
import { scheduleOffsiteCopies } from '../../src/operations/offsite/schedule-offsite.ts';
import type { SecondStorage } from '../../src/operations/parts.ts';
import { setOffsitePolicy } from '../../src/operations/policy/offsite-policy.ts';
import type { WorkerParts } from '../../src/operations/worker-parts.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { completed, makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';
import { backUp, copyOf, dayOf, manifestsOf, NamedMemory, openSource } from '../fixtures/copies.ts';
import { runNextJob } from '../fixtures/job-run.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { never, testBackupId, testInstanceId } from '../fixtures/repositories.ts';

const dayMs = 86_400_000;
const entry: OffsiteEntry = {
  ...{ backupType: 'all', keepDays: 2, destinationRegion: 'far', destinationProjectId: '' },
};

async function openScene({ catalog }: FreshCatalog) {
  const [source, target] = [new NamedMemory('source'), new NamedMemory('target')];
  const masterKey = MasterKey.generate();
  const repository = await openSource(source, masterKey);
  const clock = new ManualClock(undefined, dayOf(1).getTime());
  let isAway = false;
  const secondStorage: SecondStorage = {
    region: 'far',
    open: () => copyOf({ source, target, masterKey }, !isAway),
  };
  await catalog.instances.insert(makeInstance({ id: testInstanceId, name: 'shop' }));
  const parts: WorkerParts & { log: typeof silentLogger } = {
    ...{ catalog, repository, clock, engines: {}, random: systemRandom, log: silentLogger },
    ...{ serversDir: '/nowhere', pruneGraceMs: dayMs, secondStorage },
    logArchive: { isOn: false, intervalMs: null },
  };
  const options = { removeOlder: true, signal: never };
  return {
    ...{ parts, clock, source, target },
    set: (changes: Partial<OffsiteEntry> = {}) =>
      setOffsitePolicy(parts, testProjectId, testInstanceId, { ...entry, ...changes }),
    ask: () => scheduleOffsiteCopies(parts, options),
    run: async () => (await runNextJob(parts)) ?? assert.fail('no job waits'),
    async store(day: number) {
      const id = testBackupId(day);
      await backUp(repository, id, day);
      const state = completed(dayOf(day).getTime());
      const startedAt = dayOf(day);
      await catalog.backups.insert(
        makeBackup({ id, instanceId: testInstanceId, name: `day-${day}`, startedAt, state }),
      );
    },
    setAway(away: boolean) {
      isAway = away;
    },
    [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose](),
  };
}

const resultOf = ({ result }: Job): OffsiteReport => result as OffsiteReport;

export function offsiteSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`off-site policies: ${leg}`, { concurrency: false }, () => {
    it('copy each backup once, whoever asks, and remove what has outlived them', async () => {
      await using fresh = await openFresh();
      await using scene = await openScene(fresh);
      await scene.store(1);
      assert.equal(await scene.ask(), 0);
      await scene.set();
      const asked = await Promise.all([scene.ask(), scene.ask(), scene.ask()]);
      assert.equal(asked[0] + asked[1] + asked[2], 1);
      assert.equal(resultOf(await scene.run()).copied, 1);
      assert.equal(await scene.ask(), 0);
      for (const day of [2, 3, 4]) {
        await scene.clock.advance(dayMs);
        await scene.store(day);
        assert.equal(await scene.ask(), 1);
        const job = await scene.run();
        assert.equal(job.error, null);
        assert.deepEqual([resultOf(job).copied, resultOf(job).removed], [1, day === 4 ? 1 : 0]);
      }
      assert.equal(manifestsOf(scene.target).length, 3);
      assert.equal(manifestsOf(scene.source).length, 4);
      await scene.clock.advance(9 * dayMs);
      assert.equal(await scene.ask(), 1);
      assert.equal(resultOf(await scene.run()).removed, 2);
      assert.equal(manifestsOf(scene.target).length, 1);
    });

    it('are tried again after an hour when the second storage was away', async () => {
      await using fresh = await openFresh();
      await using scene = await openScene(fresh);
      await scene.store(1);
      await scene.set();
      scene.setAway(true);
      await scene.ask();
      const failed = await scene.run();
      assert.deepEqual([failed.status, failed.error?.kind], ['failed', 'storage-unavailable']);
      scene.setAway(false);
      assert.equal(await scene.ask(), 0);
      await scene.clock.advance(3_600_000);
      assert.equal(await scene.ask(), 1);
      assert.equal(resultOf(await scene.run()).copied, 1);
    });

    it('tell of a backup that cannot be copied, when the others are done', async () => {
      await using fresh = await openFresh();
      await using scene = await openScene(fresh);
      await scene.store(1);
      await scene.store(2);
      await scene.set();
      const pack = [...scene.source.objects.keys()].find((name) =>
        name.includes(`${testBackupId(2)}/packs/`),
      );
      scene.source.objects.delete(pack ?? assert.fail('no pack'));
      await scene.ask();
      const job = await scene.run();
      assert.equal(job.error?.kind, 'repository-damaged');
      assert.match(job.error.message, /^1 of 2 backups could not be copied to memory:target/);
      assert.deepEqual(
        [resultOf(job).copied, resultOf(job).failed.map(({ backupId }) => backupId)],
        [1, [testBackupId(2)]],
      );
    });

    it('are refused elsewhere and for logs alone, and a closed one copies nothing', async () => {
      await using fresh = await openFresh();
      await using scene = await openScene(fresh);
      await scene.store(1);
      await assert.rejects(scene.set({ destinationRegion: 'x' }), /is in region far/);
      await assert.rejects(scene.set({ backupType: 'incremental' }), /needs copies of full/);
      await scene.set();
      await scene.ask();
      await scene.set({ keepDays: 0 });
      const job = await scene.run();
      assert.deepEqual([job.status, job.result], ['succeeded', null]);
      assert.equal(scene.target.objects.size, 0);
    });
  });
}
