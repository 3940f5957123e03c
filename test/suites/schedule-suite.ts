// Schedules against every database: several replicas of the service share one catalog and must
// act as one.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { CairnError } from '../../src/model/errors.ts';
import { isName } from '../../src/model/names.ts';
import { stopBackup } from '../../src/operations/backup/stop-backup.ts';
import { jobKinds } from '../../src/operations/job-payloads.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { completed, makeBackup, makeInstance } from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { insertJob, testProjectId } from '../fixtures/catalogs.ts';
import { dayMs, finish, minuteMs, openScene } from '../fixtures/schedule-scene.ts';

export function scheduleSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`policies: ${leg}`, { concurrency: false }, () => {
    scheduleTests(openFresh);
    obstacleTests(openFresh);
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
    for (const state of [{ status: 'building' }, { status: 'restoring', failure: null }] as const) {
      await instances.setState(scene.instance.id, state, scene.clock.now());
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
