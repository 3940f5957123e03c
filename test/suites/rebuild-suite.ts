// A catalog made anew from the storage, against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { ProjectId } from '../../src/model/ids.ts';
import type { RebuildParts } from '../../src/operations/rebuild/rebuild-catalog.ts';
import { rebuildCatalog } from '../../src/operations/rebuild/rebuild-catalog.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { CommittedBackup, Repository } from '../../src/repository/repository.ts';
import { MemoryStorage } from '../../src/storage/memory.ts';
import { completed, makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { testProjectId } from '../fixtures/catalogs.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import {
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from '../fixtures/repositories.ts';

/** The project that `testFacts` names. */
const storedProjectId = 'project' as ProjectId;
const page = { offset: 0, limit: 100 };
const quiet = { onBackup: () => undefined, signal: never };

type Scene = {
  readonly storage: MemoryStorage;
  readonly repository: Repository;
  readonly stored: readonly CommittedBackup[];
  readonly parts: RebuildParts;
};

async function openScene(catalog: Catalog): Promise<Scene> {
  const storage = new MemoryStorage();
  const { repository } = await openTestRepository(storage);
  const stored: CommittedBackup[] = [];
  for (const number of [1, 2, 3]) {
    const files = new Map([['base/1', Buffer.alloc(30_000, number)]]);
    stored.push(await storeFiles(repository, files, { backupId: testBackupId(number) }));
  }
  const clock = new ManualClock();
  const bootstrap = async (): Promise<void> => undefined;
  const parts = { catalog, repository, clock, random: systemRandom, bootstrap };
  return { storage, repository, stored, parts };
}

export function rebuildSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`rebuild: ${leg}`, { concurrency: false }, () => {
    emptyTests(openFresh);
    knownTests(openFresh);
  });
}

function emptyTests(openFresh: OpenFreshCatalog): void {
  it('tells of every backup what the catalog had', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const scene = await openScene(catalog);
    const { unreadable, unreadableLog, ...counts } = await rebuildCatalog(scene.parts, quiet);
    assert.deepEqual(counts, {
      projects: 1,
      instances: 1,
      backups: 3,
      knownBackups: 0,
      logStreams: 0,
    });
    assert.deepEqual(unreadableLog, []);
    assert.deepEqual(unreadable, []);
    const { backup: facts, base } = testFacts();
    const { items } = await catalog.backups.list({ projectId: storedProjectId }, page);
    assert.equal(items.length, 3);
    for (const [index, number] of [1, 2, 3].entries()) {
      const backup = await catalog.backups.get(storedProjectId, testBackupId(number));
      const { jobId: _, name, ...found } = backup;
      assert.deepEqual(found, {
        ...{ id: testBackupId(number), projectId: storedProjectId, instanceId: testInstanceId },
        ...{ instanceName: 'pg-test', engine: 'postgresql', serverVersion: base.serverVersion },
        ...{ description: '', type: 'manual', databases: [], startedAt: facts.startedAt },
        state: {
          ...{ status: 'completed', endedAt: facts.endedAt, totals: scene.stored[index]?.totals },
          ...{ startPosition: base.startPosition, stopPosition: base.stopPosition },
        },
      });
      assert.equal(name, number === 1 ? 'nightly' : `nightly-${number}`);
    }
  });

  it('makes instances that nothing is done with until they have an address', async () => {
    await using fresh = await openFresh();
    const { parts } = await openScene(fresh.catalog);
    await rebuildCatalog(parts, quiet);
    const instance = await fresh.catalog.instances.get(storedProjectId, testInstanceId);
    assert.equal(instance.name, 'pg-test');
    assert.equal(instance.state.status, 'failed');
    assert.deepEqual([instance.connection, instance.managed], [null, null]);
    assert.equal(instance.systemIdentifier, testFacts().base.systemIdentifier);
    assert.deepEqual(instance.createdAt, testFacts().backup.startedAt);
    assert.deepEqual((await fresh.catalog.policies.find(testInstanceId))?.policy, { kind: 'off' });
  });

  it('asks for the first project with its own id', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const { parts } = await openScene(catalog);
    const asked: ProjectId[] = [];
    const bootstrap = async (id: ProjectId): Promise<void> => {
      asked.push(id);
      await catalog.identity.insertProject({ id, name: 'cairn', domainId: 'default' });
    };
    await rebuildCatalog({ ...parts, bootstrap }, quiet);
    assert.deepEqual(asked, [storedProjectId]);
    assert.equal((await catalog.identity.findProject(storedProjectId))?.name, 'cairn');
  });

  it('can be repeated, also after it broke off at any backup', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh.catalog);
    for (const breakAt of [1, 2, 3]) {
      const onBackup = (count: number): void => {
        if (count === breakAt) throw new CairnError('cancelled', 'the power went');
      };
      await assert.rejects(rebuildCatalog(scene.parts, { ...quiet, onBackup }), /power/);
    }
    const last = await rebuildCatalog(scene.parts, quiet);
    assert.deepEqual([last.backups, last.knownBackups, last.instances], [0, 3, 1]);
    const again = await rebuildCatalog(scene.parts, quiet);
    assert.deepEqual([again.backups, again.knownBackups, again.instances], [0, 3, 0]);
    const { total } = await fresh.catalog.backups.list({ projectId: storedProjectId }, page);
    assert.equal(total, 3);
  });

  it('takes in all but the backups whose manifests cannot be read, and names these', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh.catalog);
    const name = `instances/${testInstanceId}/backups/${testBackupId(2)}/manifest`;
    scene.storage.objects.get(name)?.fill(7, 80, 90);
    const report = await rebuildCatalog(scene.parts, quiet);
    assert.equal(report.backups, 2);
    assert.deepEqual(
      report.unreadable.map(({ backupId }) => backupId),
      [testBackupId(2)],
    );
    assert.ok(report.unreadable[0]?.message.includes(name));
  });
}

function knownTests(openFresh: OpenFreshCatalog): void {
  it('leaves what the catalog knows as it is, and finds other names for the rest', async () => {
    await using fresh = await openFresh();
    const { catalog } = fresh;
    const scene = await openScene(catalog);
    await catalog.identity.insertProject({
      ...{ id: storedProjectId, name: 'shop', domainId: 'default' },
    });
    const mine = { projectId: storedProjectId };
    await catalog.instances.insert(makeInstance({ ...mine, name: 'pg-test' }));
    const failed = { status: 'failed', endedAt: new Date(5), reason: 'stopped' } as const;
    const known = makeBackup({ ...mine, id: testBackupId(1), instanceId: testInstanceId });
    await catalog.backups.insert({ ...known, state: failed });
    const taken = { ...mine, name: 'nightly', state: completed(9) };
    await catalog.backups.insert(makeBackup(taken));
    const report = await rebuildCatalog(scene.parts, quiet);
    assert.deepEqual([report.projects, report.backups, report.knownBackups], [0, 2, 1]);
    const first = await catalog.backups.get(storedProjectId, testBackupId(1));
    assert.deepEqual(first.state, failed);
    const names = [2, 3].map(
      async (n) => (await catalog.backups.get(storedProjectId, testBackupId(n))).name,
    );
    assert.deepEqual(await Promise.all(names), ['nightly-2', 'nightly-3']);
    const instance = await catalog.instances.get(storedProjectId, testInstanceId);
    assert.equal(instance.name, 'pg-test-2');
    assert.equal((await catalog.identity.findProject(testProjectId))?.name, 'test');
  });
}
