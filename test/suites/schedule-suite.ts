// Policies, their schedule and their retention, against every database: several replicas of the
// service share one catalog and must act as one.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import type { Backup } from '../../src/model/backup.ts';
import { everyDay } from '../../src/model/backup-policy.ts';
import { CairnError } from '../../src/model/errors.ts';
import type { Instance } from '../../src/model/instance.ts';
import type { Job } from '../../src/model/job.ts';
import { isName } from '../../src/model/names.ts';
import { stopBackup } from '../../src/operations/backup/stop-backup.ts';
import type { RestoreInPlacePayload } from '../../src/operations/job-payloads.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import { emptyPolicy } from '../../src/operations/policy/get-policy.ts';
import { setPolicy } from '../../src/operations/policy/set-policy.ts';
import { runSchedulerOnce } from '../../src/operations/schedule/run-scheduler.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { completed, makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { FreshCatalog, OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** A Tuesday, at midnight. */
const startMs = Date.UTC(2030, 0, 1);

type Scene = {
  readonly fresh: FreshCatalog;
  readonly clock: ManualClock;
  readonly instance: Instance;
  round(catalog?: Catalog): Promise<void>;
  tidy(catalog?: Catalog): Promise<void>;
  listAutomated(): Promise<readonly Backup[]>;
};

async function openScene(fresh: FreshCatalog, keepDays = 7): Promise<Scene> {
  const clock = new ManualClock(undefined, startMs);
  const instance = makeInstance({ name: 'shop' });
  await fresh.catalog.instances.insert(instance);
  await fresh.catalog.policies.put({
    ...emptyPolicy(testProjectId, instance.id, clock.now()),
    policy: { kind: 'on', keepDays, schedule: { startMinute: 120, weekdays: everyDay } },
  });
  const parts = { clock, random: systemRandom, log: silentLogger };
  const round = (catalog: Catalog, tidy: boolean): Promise<void> =>
    runSchedulerOnce({ ...parts, catalog }, { tidy, signal });
  return {
    ...{ fresh, clock, instance },
    round: (catalog = fresh.catalog) => round(catalog, false),
    tidy: (catalog = fresh.catalog) => round(catalog, true),
    async listAutomated() {
      const filter = { projectId: testProjectId, instanceId: instance.id, type: 'auto' } as const;
      return (await fresh.catalog.backups.list(filter, { offset: 0, limit: 100 })).items;
    },
  };
}

async function finish(scene: Scene, state: 'completed' | 'failed'): Promise<void> {
  const { backups } = scene.fresh.catalog;
  const [backup] = (await scene.listAutomated()).filter((b) => b.state.status === 'building');
  assert.ok(backup);
  const endedMs = scene.clock.now().getTime();
  const failed = { status: 'failed', endedAt: scene.clock.now(), reason: 'away' } as const;
  await backups.setState(backup.id, state === 'completed' ? completed(endedMs) : failed);
  assert.equal((await endNextJob(scene, state)).id, backup.jobId);
}

/** As a worker does. */
async function endNextJob(
  { fresh: { catalog }, clock }: Pick<Scene, 'fresh' | 'clock'>,
  outcome: 'completed' | 'failed',
): Promise<Job> {
  const now = clock.now();
  const leaseExpiresAt = new Date(now.getTime() + minuteMs);
  const request = { owner: 'w', pools: ['default'], conflicts: {}, now, leaseExpiresAt };
  const job = (await catalog.jobs.claim(request)) ?? assert.fail('no job waits');
  const error = { kind: 'engine-refused', message: 'away', hint: null } as const;
  await catalog.jobs.end(
    { jobId: job.id, owner: 'w', fence: job.fence },
    outcome === 'completed' ? { status: 'succeeded' } : { status: 'failed', error },
    now,
  );
  return job;
}

export function scheduleSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`policies: ${leg}`, { concurrency: false }, () => {
    scheduleTests(openFresh);
    obstacleTests(openFresh);
    retentionTests(openFresh);
    switchOffTests(openFresh);
  });
}

function scheduleTests(openFresh: OpenFreshCatalog): void {
  it('makes one backup in a window, however many replicas look', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.round();
    assert.deepEqual(await scene.listAutomated(), []);
    const replicas = [fresh.catalog, await fresh.openAnother(), await fresh.openAnother()];
    for (let day = 1; day <= 3; day++) {
      await scene.clock.advance(day === 1 ? 125 * minuteMs : dayMs);
      await Promise.all(
        replicas.flatMap((catalog) => [scene.round(catalog), scene.round(catalog)]),
      );
      assert.equal((await scene.listAutomated()).length, day);
      await finish(scene, 'completed');
      await Promise.all(replicas.map((catalog) => scene.round(catalog)));
      assert.equal((await scene.listAutomated()).length, day);
    }
    const [newest] = await scene.listAutomated();
    assert.equal(newest?.name, 'auto-shop-20300103T0200');
    const job = await fresh.catalog.jobs.find(testProjectId, newest?.jobId ?? assert.fail());
    assert.equal(job?.kind, jobKinds.backup);
  });

  it('catches up once after days without a service', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.clock.advance(5 * dayMs + 300 * minuteMs);
    for (let round = 0; round < 3; round++) {
      await scene.round();
      const open = (await scene.listAutomated()).some(({ state }) => state.status === 'building');
      if (open) await finish(scene, 'completed');
    }
    const names = (await scene.listAutomated()).map(({ name }) => name);
    assert.deepEqual(names, ['auto-shop-20300106T0200']);
  });

  it('asks again half an hour after a failure, three times in one window', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.clock.advance(121 * minuteMs);
    const counts: number[] = [];
    for (let quarter = 0; quarter < 12; quarter++) {
      await scene.round();
      const open = (await scene.listAutomated()).some(({ state }) => state.status === 'building');
      if (open) await finish(scene, 'failed');
      counts.push((await scene.listAutomated()).length);
      await scene.clock.advance(15 * minuteMs);
    }
    assert.deepEqual(counts, [1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
    assert.equal(new Set((await scene.listAutomated()).map(({ name }) => name)).size, 3);
  });

  it('does not begin again in the same window what somebody has stopped', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    const { clock } = scene;
    await clock.advance(121 * minuteMs);
    await scene.round();
    const parts = { catalog: fresh.catalog, clock, log: silentLogger };
    await stopBackup(parts, testProjectId, scene.instance.id);
    await clock.advance(40 * minuteMs);
    await scene.round();
    assert.deepEqual(
      (await scene.listAutomated()).map(({ state }) => state.status),
      ['failed'],
    );
    await clock.advance(dayMs);
    await scene.round();
    assert.equal((await scene.listAutomated()).length, 2);
  });

  it('gives names that are as short as those of users, each once', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    const record = await fresh.catalog.policies.find(scene.instance.id);
    assert.ok(record);
    const long = ['a', 'b'].map((end) => makeInstance({ name: 'n'.repeat(63) + end }));
    for (const instance of long) {
      await fresh.catalog.instances.insert(instance);
      await fresh.catalog.policies.put({ ...record, instanceId: instance.id });
    }
    await scene.clock.advance(121 * minuteMs);
    await scene.round();
    const filter = { projectId: testProjectId, type: 'auto' } as const;
    const { items } = await fresh.catalog.backups.list(filter, { offset: 0, limit: 9 });
    assert.equal(items.length, 3);
    assert.deepEqual(
      items.filter(({ name }) => !isName(name)),
      [],
    );
  });
}

function obstacleTests(openFresh: OpenFreshCatalog): void {
  it('waits while a manual backup runs, then makes its own in the same window', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    await scene.clock.advance(121 * minuteMs);
    const manual = makeBackup({ instanceId: scene.instance.id });
    await fresh.catalog.backups.insert(manual);
    await scene.round();
    assert.deepEqual(await scene.listAutomated(), []);
    await fresh.catalog.backups.setState(manual.id, completed(scene.clock.now().getTime()));
    await scene.round();
    assert.equal((await scene.listAutomated()).length, 1);
  });

  it('leaves instances alone that are being built, restored over or removed', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    const { instances } = fresh.catalog;
    await scene.clock.advance(121 * minuteMs);
    for (const status of ['building', 'restoring'] as const) {
      await instances.setState(scene.instance.id, { status }, scene.clock.now());
      await scene.round();
    }
    await instances.setState(scene.instance.id, { status: 'active' }, scene.clock.now());
    await insertJob(fresh, { kind: jobKinds.removeInstance, instanceId: scene.instance.id });
    await scene.round();
    assert.deepEqual(await scene.listAutomated(), []);
  });

  it('one policy that fails does not keep the others from theirs', async () => {
    await using fresh = await openFresh();
    const scene = await openScene(fresh);
    const policy = await fresh.catalog.policies.find(scene.instance.id);
    assert.ok(policy);
    const other = makeInstance({ name: 'other' });
    const gone = makeInstance({ name: 'gone' });
    await fresh.catalog.instances.insert(other);
    for (const { id } of [other, gone]) {
      await fresh.catalog.policies.put({ ...policy, instanceId: id });
    }
    await scene.clock.advance(121 * minuteMs);
    // Whichever comes first.
    let failures = 0;
    const transaction: Catalog['transaction'] = async (work) => {
      if (failures++ === 0) throw new CairnError('storage-full', 'no room');
      return await fresh.catalog.transaction(work);
    };
    await scene.round({ ...fresh.catalog, transaction });
    assert.equal(failures, 3);
    const { total } = await fresh.catalog.backups.list(
      { projectId: testProjectId, type: 'auto' },
      { offset: 0, limit: 9 },
    );
    assert.ok(total >= 1, 'the others had to wait');
    await scene.round();
    assert.equal((await scene.listAutomated()).length, 1);
  });
}

function retentionTests(openFresh: OpenFreshCatalog): void {
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
