// What a policy deletes, and what it must never delete, against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import type { Backup } from '../../src/model/backup.ts';
import type { LogStreamId } from '../../src/model/ids.ts';
import type { LogStream } from '../../src/model/log-stream.ts';
import type { RestoreInPlacePayload } from '../../src/operations/job-payloads.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import { setPolicy } from '../../src/operations/policy/set-policy.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { completed, makeBackup } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';
import type { Scene } from '../fixtures/schedule-scene.ts';
import { dayMs, endNextJob, minuteMs, openScene, startMs } from '../fixtures/schedule-scene.ts';

export function retentionSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`retention: ${leg}`, { concurrency: false }, () => {
    retentionTests(openFresh);
    raceTests(openFresh);
    switchOffTests(openFresh);
  });
}

function retentionTests(openFresh: OpenFreshCatalog): void {
  it('deletes automated backups that are too old, and no others', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 7);
    const old = await addBackup(fresh, scene, 9, {});
    const manual = await addBackup(fresh, scene, 400, { type: 'manual' });
    const young = await addBackup(fresh, scene, 6, {});
    await scene.round();
    assert.equal(await statusOf(fresh, old), 'completed', 'only when it is time to tidy');
    await scene.tidy();
    assert.equal(await statusOf(fresh, old), 'deleting');
    assert.equal(await statusOf(fresh, manual), 'completed');
    assert.equal(await statusOf(fresh, young), 'completed');
    assert.equal(await openDeletions(fresh, scene), 1);
    await scene.tidy();
    assert.equal(await openDeletions(fresh, scene), 1);
  });

  it('keeps the newest completed backup, however old it is', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 1);
    const older = await addBackup(fresh, scene, 40, {});
    const last = await addBackup(fresh, scene, 30, {});
    await scene.tidy();
    assert.equal(await statusOf(fresh, older), 'deleting');
    assert.equal(await statusOf(fresh, last), 'completed');
  });

  it('keeps an old backup as long as log leads from it to a day that is kept', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 7);
    const older = await addBackup(fresh, scene, 12, {});
    const base = await addBackup(fresh, scene, 9, {});
    await addBackup(fresh, scene, 1, {});
    const position = { engine: 'postgresql', timeline: 1, lsn: 1n } as const;
    const { instance, clock } = scene;
    const stream: LogStream = {
      id: 'stream' as LogStreamId,
      ...{ projectId: testProjectId, instanceId: instance.id, engine: 'postgresql' },
      ...{ systemIdentifier: '1', startPosition: position, keptFrom: position },
      ...{ beganAt: new Date(clock.now().getTime() - 20 * dayMs), updatedAt: clock.now() },
      state: { status: 'following' },
      progress: {
        covered: { position, at: clock.now() },
        ...{ closed: null, behindBytes: null, warning: null, trouble: null },
      },
    };
    await fresh.catalog.logStreams.insert(stream);
    await scene.tidy();
    assert.equal(await statusOf(fresh, older), 'deleting');
    assert.equal(await statusOf(fresh, base), 'completed');
    await fresh.catalog.logStreams.delete(stream.id);
    await scene.tidy();
    assert.equal(await statusOf(fresh, base), 'deleting');
  });

  it('keeps a backup that is being restored from until that has ended', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 1);
    const used = await addBackup(fresh, scene, 9, {});
    await addBackup(fresh, scene, 0.5, {});
    const payload: RestoreInPlacePayload = {
      backupId: used.id,
      sourceInstanceId: scene.instance.id,
      targetInstanceId: scene.instance.id,
      replacedHomeDir: '/h',
      recovery: null,
    };
    const restore = await insertJob(fresh, {
      ...{ kind: jobKinds.restoreInPlace, instanceId: scene.instance.id, payload },
    });
    await scene.tidy();
    assert.equal(await statusOf(fresh, used), 'completed');
    await fresh.catalog.jobs.requestCancel(restore.id, scene.clock.now());
    await scene.tidy();
    assert.equal(await statusOf(fresh, used), 'deleting');
  });
}

function raceTests(openFresh: OpenFreshCatalog): void {
  it('looks again when it deletes: the policy and the newest backup may have changed', async () => {
    for (const race of ['longer', 'off', 'newest-leaves'] as const) {
      await using fresh = await openFresh();
      const scene = await openScene(fresh, 1);
      const old = await addBackup(fresh, scene, 9, {});
      const newest = await addBackup(fresh, scene, 0.5, { type: 'manual' });
      const record = await fresh.catalog.policies.find(scene.instance.id);
      assert.ok(record?.policy.kind === 'on');
      const { policy } = record;
      const change = async (): Promise<void> => {
        if (race === 'newest-leaves') {
          const endedAt = scene.clock.now();
          return await fresh.catalog.backups.setState(newest.id, { status: 'deleting', endedAt });
        }
        const after = race === 'off' ? ({ kind: 'off' } as const) : { ...policy, keepDays: 30 };
        await fresh.catalog.policies.put({ ...record, policy: after });
      };
      const transaction: Catalog['transaction'] = async (work) => {
        await change();
        return await fresh.catalog.transaction(work);
      };
      await scene.tidy({ ...fresh.catalog, transaction });
      assert.equal(await statusOf(fresh, old), 'completed', race);
    }
  });

  it('keeps a backup when the one that was to stay leaves while it looks', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 1);
    const old = await addBackup(fresh, scene, 9, {});
    const newest = await addBackup(fresh, scene, 0.5, { type: 'manual' });
    const transaction: Catalog['transaction'] = async (work) =>
      await fresh.catalog.transaction(async (tx) => {
        const findLatestCompleted: typeof tx.backups.findLatestCompleted = async (id) => {
          const found = await tx.backups.findLatestCompleted(id);
          const endedAt = scene.clock.now();
          await tx.backups.setState(newest.id, { status: 'deleting', endedAt });
          return found;
        };
        return await work({ ...tx, backups: { ...tx.backups, findLatestCompleted } });
      });
    await scene.tidy({ ...fresh.catalog, transaction });
    assert.equal(await statusOf(fresh, old), 'completed');
  });

  it('asks once a day again for a deletion that has failed', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh, 1);
    const old = await addBackup(fresh, scene, 9, {});
    await addBackup(fresh, scene, 0.5, { type: 'manual' });
    await scene.tidy();
    const job = await endNextJob(scene, 'failed');
    assert.deepEqual(job.payload, { backupId: old.id });
    await scene.tidy();
    assert.equal(await openDeletions(fresh, scene), 0, 'too soon');
    await scene.clock.advance(dayMs + minuteMs);
    for (let round = 0; round < 2; round++) {
      await scene.tidy();
      assert.equal(await openDeletions(fresh, scene), 1);
    }
  });
}

function switchOffTests(openFresh: OpenFreshCatalog): void {
  for (const whenOff of ['keep-backups', 'delete-backups'] as const) {
    it(`switched off with ${whenOff}, it makes no more and touches no manual one`, async () => {
      await using fresh = await openFresh();
      const scene = await openScene(fresh);
      const state = completed(startMs);
      const mine = { instanceId: scene.instance.id, state };
      const manual = makeBackup(mine);
      const auto = makeBackup({ ...mine, type: 'auto' });
      for (const backup of [manual, auto]) await fresh.catalog.backups.insert(backup);
      const { clock } = scene;
      const parts = { catalog: fresh.catalog, clock, random: systemRandom, log: silentLogger };
      await setPolicy(parts, {
        projectId: testProjectId,
        instanceId: scene.instance.id,
        policy: { keepDays: 0, startTime: null, period: null },
        whenOff,
      });
      await clock.advance(30 * dayMs);
      await scene.tidy();
      const left = (await scene.listAutomated()).map(({ state: { status } }) => status);
      assert.deepEqual(left, [whenOff === 'keep-backups' ? 'completed' : 'deleting']);
      const kept = await fresh.catalog.backups.find(testProjectId, manual.id);
      assert.equal(kept?.state.status, 'completed');
    });
  }
}

const openDeletions = async (fresh: FreshCatalog, scene: Scene): Promise<number> => {
  const open = await fresh.catalog.jobs.listOpen(scene.instance.id);
  return open.filter(({ kind }) => kind === jobKinds.deleteBackup).length;
};
const addBackup = async (
  fresh: FreshCatalog,
  scene: Scene,
  days: number,
  changes: Partial<Backup>,
): Promise<Backup> => {
  const startedAt = new Date(scene.clock.now().getTime() - days * dayMs);
  const backup = makeBackup({
    instanceId: scene.instance.id,
    type: 'auto',
    startedAt,
    state: completed(startedAt.getTime() + minuteMs),
    ...changes,
  });
  await fresh.catalog.backups.insert(backup);
  return backup;
};
const statusOf = async (fresh: FreshCatalog, { id }: Backup): Promise<string | undefined> =>
  (await fresh.catalog.backups.find(testProjectId, id))?.state.status;
