// Streams of archived log and the backups that are stretches of them, against every database.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrorKind } from '../../src/model/errors.ts';
import type { InstanceId, LogStreamId } from '../../src/model/ids.ts';
import type { LogStream } from '../../src/model/log-stream.ts';
import { findNewestBase } from '../../src/operations/log-archive/find-trims.ts';
import { findRecoveryFacts } from '../../src/operations/restore/recovery-facts.ts';
import { completed, makeBackup } from '../fixtures/catalog-values.ts';
import type { OpenFreshCatalog } from '../fixtures/catalogs.ts';
import { someInstanceId, testProjectId } from '../fixtures/catalogs.ts';

const positionAt = (lsn: bigint) => ({ engine: 'postgresql', timeline: 3, lsn }) as const;

function makeStream(instanceId: InstanceId, number: number): LogStream {
  return {
    id: `stream-${number}-${instanceId.slice(0, 8)}` as LogStreamId,
    ...{ projectId: testProjectId, instanceId, engine: 'postgresql', systemIdentifier: '7' },
    ...{ startPosition: positionAt(1n), keptFrom: positionAt(1n) },
    ...{ beganAt: new Date(number), updatedAt: new Date(number) },
    state: { status: 'following' },
    progress: { covered: null, closed: null, behindBytes: null, warning: null, trouble: null },
  };
}

export function logCatalogSuite(leg: string, openFresh: OpenFreshCatalog): void {
  describe(`log in the catalog: ${leg}`, { concurrency: false }, () => {
    it('reads a stream back as it was written, at each stage', async () => {
      await using fresh = await openFresh();
      const { logStreams } = fresh.catalog;
      const instanceId = someInstanceId();
      const stream = makeStream(instanceId, 5);
      await logStreams.insert(stream);
      assert.deepEqual(await logStreams.findFollowing(instanceId), stream);
      const at = new Date(1_700_000_000_123);
      const progress: LogStream['progress'] = {
        covered: { position: positionAt(2n ** 60n), at },
        closed: { position: positionAt(9n), at: new Date(7), sequence: 0 },
        behindBytes: 2 ** 41,
        warning: { message: 'the slot’s', hint: '"x"' },
        trouble: { kind: 'engine-unreachable', message: 'no', hint: null, since: new Date(3) },
      };
      await logStreams.setProgress(stream.id, progress, at);
      await logStreams.setKeptFrom(stream.id, positionAt(8n));
      const ended = { status: 'ended', cause: 'gap', endedAt: at, reason: 'lost' } as const;
      await logStreams.setState(stream.id, ended, at);
      assert.deepEqual(await logStreams.list(instanceId), [
        { ...stream, progress, state: ended, keptFrom: positionAt(8n), updatedAt: at },
      ]);
      assert.equal(await logStreams.findFollowing(instanceId), null);
      await logStreams.delete(stream.id);
      assert.deepEqual(await logStreams.list(instanceId), []);
    });

    it('has one stream followed at a time, and lists them oldest first', async () => {
      await using fresh = await openFresh();
      const { logStreams } = fresh.catalog;
      const [a, b] = [someInstanceId(), someInstanceId()].sort();
      assert.ok(a && b);
      await logStreams.insert(makeStream(a, 2));
      await assert.rejects(logStreams.insert(makeStream(a, 3)), (error) => {
        return isErrorKind(error, 'conflict') && /followed already/.test(error.message);
      });
      const old = makeStream(a, 1);
      const state = {
        status: 'ended',
        cause: 'stopped',
        endedAt: new Date(2),
        reason: 'x',
      } as const;
      await logStreams.insert({ ...old, state });
      await logStreams.insert(makeStream(b, 1));
      assert.deepEqual(
        (await logStreams.list(a)).map(({ beganAt }) => beganAt.getTime()),
        [1, 2],
      );
      const all = await logStreams.listInstances(null, 10);
      assert.deepEqual(
        all.map(({ instanceId }) => instanceId),
        [a, b],
      );
      assert.deepEqual(await logStreams.listInstances(a, 10), all.slice(1));
    });

    it('counts intervals with the other backups, and deletes many at once', async () => {
      await using fresh = await openFresh();
      const { backups, intervals } = fresh.catalog;
      const instanceId = someInstanceId();
      const streamId = 'stream-1' as LogStreamId;
      const rows = [3, 1, 2].map((ms) =>
        makeBackup({
          ...{ instanceId, type: 'incremental', name: `part-${ms}` },
          ...{ startedAt: new Date(ms), state: completed(ms + 1) },
        }),
      );
      for (const row of rows) await intervals.insert(row, streamId);
      const full = makeBackup({ instanceId, startedAt: new Date(0), state: completed(1) });
      await backups.insert(full);
      const twin = makeBackup({ name: 'part-1', type: 'incremental', state: completed(1) });
      await assert.rejects(intervals.insert(twin, streamId), /named part-1 exists/);
      const oldest = await intervals.list(streamId, 2);
      assert.deepEqual(
        oldest.map(({ name }) => name),
        ['part-1', 'part-2'],
      );
      assert.equal((await backups.findLatestCompleted(instanceId))?.id, full.id);
      const ids = rows.map(({ id }) => id);
      assert.deepEqual(await intervals.findKnown(streamId, [...ids, full.id]), new Set(ids));
      // Only of its own stream.
      await intervals.delete('stream-2' as LogStreamId, ids);
      await intervals.delete(streamId, [...ids.slice(1), full.id]);
      const filter = { projectId: testProjectId, instanceId };
      const left = await backups.list(filter, { offset: 0, limit: 10 });
      assert.deepEqual([left.total, left.items.length], [2, 2]);
      const incremental = await backups.list(
        { ...filter, type: 'incremental', status: 'completed' },
        { offset: 0, limit: 10 },
      );
      assert.deepEqual([incremental.total, incremental.items[0]?.name], [1, 'part-3']);
    });

    it('keeps the log of the whole server, whatever exports of databases there are', async () => {
      await using fresh = await openFresh();
      const { backups } = fresh.catalog;
      const instanceId = someInstanceId();
      const of = { projectId: testProjectId, instanceId };
      const whole = makeBackup({ instanceId, startedAt: new Date(10), state: completed(11) });
      const exported = makeBackup({
        ...{ instanceId, databases: ['shop'], name: 'exported' },
        ...{ startedAt: new Date(20), state: completed(21) },
      });
      for (const backup of [whole, exported]) await backups.insert(backup);
      const base = await findNewestBase(fresh.catalog, of, new Date(99));
      assert.equal(base?.id, whole.id, 'log that leads on from the backup would be trimmed');
      assert.equal((await backups.findLatestCompleted(instanceId))?.id, whole.id);
      const same = await backups.findLatestCompleted(instanceId, ['shop']);
      assert.equal(same?.id, exported.id);
      assert.equal(await backups.findLatestCompleted(instanceId, ['crm']), null);
      assert.equal((await backups.findLatestCompleted(instanceId, 'any'))?.id, exported.id);
      const facts = await findRecoveryFacts(fresh.catalog, of);
      assert.deepEqual(
        facts.backups.map(({ id }) => id),
        [whole.id],
      );
    });
  });
}
