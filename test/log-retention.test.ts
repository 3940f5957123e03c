// What becomes of archived log: it goes when no kept time needs it, and is found again by a catalog
// that was made anew.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Catalog } from '../src/catalog/catalog.ts';
import type { BackupState } from '../src/model/backup.ts';
import { CairnError } from '../src/model/errors.ts';
import type { Job } from '../src/model/job.ts';
import { jobKinds } from '../src/operations/job-payloads.ts';
import { scheduleLogTrims } from '../src/operations/log-archive/schedule-log-archive.ts';
import { rebuildLog } from '../src/operations/rebuild/rebuild-log.ts';
import { systemClock } from '../src/platform/clock.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { completed, makeBackup } from './fixtures/catalog-values.ts';
import { insertJob, openFreshSqlite, someInstanceId, testProjectId } from './fixtures/catalogs.ts';
import { listBackups, openLogScene, positionAt, untilIntervals } from './fixtures/log-scene.ts';
import { never } from './fixtures/repositories.ts';

function completedAt(at: Date): Extract<BackupState, { status: 'completed' }> {
  const state = completed(at.getTime());
  assert.ok(state.status === 'completed');
  return state;
}

describe('log that no kept time needs', { concurrency: false }, () => {
  it('goes with its intervals, but not while a restore may read it', async () => {
    await using scene = await openLogScene();
    const { server, clock, catalog, instance, parts } = scene;
    await scene.schedule();
    scene.startWorker('one');
    for (const [index, letter] of ['a', 'b', 'c'].entries()) {
      server.write(letter.repeat(64));
      await untilIntervals(scene, index + 1);
    }
    const trim = async (): Promise<Job | undefined> => {
      await scheduleLogTrims({ ...parts, log: silentLogger }, never);
      const filter = { projectId: testProjectId, kind: jobKinds.trimLog };
      const newest = async () =>
        (await catalog.jobs.list(filter, { offset: 0, limit: 1 })).items[0];
      await clock.advanceUntil(
        async () => ((await newest())?.status ?? 'succeeded') === 'succeeded',
      );
      return await newest();
    };
    assert.equal(await trim(), undefined, 'without a full backup all stays');
    const base = makeBackup({
      ...{ instanceId: instance.id, startedAt: clock.now() },
      state: { ...completedAt(clock.now()), startPosition: positionAt(130) },
    });
    await catalog.backups.insert(base);
    const restore = await insertJob(scene, {
      ...{ kind: jobKinds.restore, pool: 'nobody', instanceId: someInstanceId() },
      payload: {
        ...{ backupId: base.id, sourceInstanceId: instance.id, targetInstanceId: instance.id },
      },
    });
    assert.ok(await trim());
    assert.equal((await listBackups(scene, 'incremental')).total, 3);
    await catalog.jobs.requestCancel(restore.id, clock.now());
    await trim();
    assert.equal(await scene.storedText(), 'c'.repeat(64));
    assert.equal((await listBackups(scene, 'incremental')).total, 1);
    const [stream] = await scene.streams();
    assert.deepEqual(stream?.keptFrom, positionAt(130));
    // The archiver goes on where it was, also from what is left.
    server.cut(new CairnError('engine-unreachable', 'no answer'));
    server.write('d'.repeat(10));
    await scene.untilStored(server.text.slice(128));
  });
});

describe('a catalog that was made anew', { concurrency: false }, () => {
  it('has streams and intervals as the storage tells them, and deletes none of them', async () => {
    await using scene = await openLogScene();
    const { server, clock, instance, parts } = scene;
    await scene.schedule();
    scene.startWorker('one');
    for (const [index, letter] of ['a', 'b'].entries()) {
      server.write(letter.repeat(64));
      await untilIntervals(scene, index + 1);
    }
    await using fresh = await openFreshSqlite({ clock });
    const rebuild = { ...parts, catalog: fresh.catalog };
    const first = await rebuildLog(rebuild, instance.id, never);
    assert.deepEqual(first, { streams: 1, unreadable: [] });
    assert.equal((await rebuildLog(rebuild, instance.id, never)).streams, 0, 'once');
    const [stream] = await fresh.catalog.logStreams.list(instance.id);
    const [original] = await scene.streams();
    assert.equal(stream?.state.status, 'ended');
    assert.deepEqual(
      [stream.id, stream.startPosition, stream.progress.covered?.position, stream.progress.closed],
      [
        original?.id,
        original?.startPosition,
        original?.progress.covered?.position,
        original?.progress.closed,
      ],
    );
    const told = async (catalog: Catalog) =>
      (await catalog.intervals.list(original?.id ?? assert.fail(), 10)).map(
        ({ jobId: _, ...backup }) => backup,
      );
    const backups = await told(fresh.catalog);
    assert.equal(backups.length, 2);
    assert.deepEqual(backups, await told(scene.catalog));
    const later = { now: () => new Date(clock.now().getTime() + 9 * 86_400_000) };
    const trims = { ...rebuild, clock: { ...systemClock, ...later }, log: silentLogger };
    await scheduleLogTrims(trims, never);
    assert.deepEqual(await fresh.catalog.jobs.listOpen(instance.id), []);
  });
});
