// Archived log in the second copy: what backups there can be rolled forward with, and no half of
// it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogStreamId } from '../src/model/ids.ts';
import type { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import type { Storage } from '../src/storage/storage.ts';
import {
  backUp,
  copyAll,
  copyOf,
  dayMs,
  dayOf,
  everything,
  first,
  NamedMemory,
  openSource,
  second,
  third,
  withScene,
} from './fixtures/copies.ts';
import {
  cutsOf,
  intervalOf,
  positionAt,
  segmentBytes,
  segmentName,
  segmentOf,
  storePieces,
  storeStream,
  storeWhole,
  streamRecord,
  testStreamId,
} from './fixtures/log-streams.ts';
import { never, testInstanceId } from './fixtures/repositories.ts';
import type { FaultMethod } from './model/faulty-storage.ts';
import { FaultyStorage } from './model/faulty-storage.ts';
import { Seeded } from './model/seeded.ts';

/** Test backups begin in segment 0x300. */
const begin = 0x300;
const lease = { assertLease: async () => undefined, signal: never };

const logOf = ({ objects }: NamedMemory): string[] =>
  [...objects.keys()].filter((name) => name.includes('/log/')).sort();

async function openTarget(target: Storage, masterKey: MasterKey) {
  return await openRepository({
    ...{ storage: target, masterKey, ownerId: null, expectedId: null, random: systemRandom },
    ...{ now: new Date(0), signal: never, threadCount: 1 },
  });
}

async function assertCopied(
  scene: { readonly target: Storage; readonly masterKey: MasterKey },
  numbers: readonly number[],
): Promise<void> {
  await using copy = await openTarget(scene.target, scene.masterKey);
  for (const number of numbers) {
    const name = segmentName(number);
    const read = await copy.log.readFile(testInstanceId, testStreamId, name, never);
    assert.ok(read.bytes.equals(segmentOf(number)) && read.isComplete, name);
  }
  const options = { instanceIds: [testInstanceId], readData: { percent: 100, seed: 'x' } };
  const report = await copy.check({ ...options, onProgress: () => undefined, signal: never });
  assert.deepEqual(report.findings, []);
}

function restore({ objects }: NamedMemory, from: ReadonlyMap<string, Buffer>): void {
  objects.clear();
  for (const [name, bytes] of from) objects.set(name, bytes);
}

/** Every interval of the copy has all of its files. */
async function assertIntervals(target: Storage, masterKey: MasterKey): Promise<void> {
  await using copy = await openTarget(target, masterKey);
  const { intervals } = await copy.log.surveyStream(testInstanceId, testStreamId, never);
  for (const name of intervals.flatMap(({ files }) => files)) {
    const { isComplete } = await copy.log.readFile(testInstanceId, testStreamId, name, never);
    assert.ok(isComplete, name);
  }
}

describe('log in a copy', () => {
  it('goes as far back as the backups of the copy, and grows with the source', async () => {
    await withScene(async (scene) => {
      const { repository, source, target } = scene;
      const writer = await storeStream(repository, 4, begin - 1);
      const none = await copyAll(scene);
      assert.deepEqual([none.objects, logOf(target)], [0, []]);
      await backUp(repository, first, 1);
      const report = await copyAll(scene);
      assert.deepEqual([report.failed, report.failedLog], [[], []]);
      const expected = logOf(source).filter((name) => {
        return !name.includes(segmentName(begin - 1)) && !name.endsWith('/intervals/00000000');
      });
      assert.deepEqual(logOf(target), expected);
      await assertCopied(scene, [begin, begin + 1]);
      const again = await copyAll(scene);
      assert.deepEqual([again.objects, again.bytes], [0, 0]);
      // What the source stores once more as a whole replaces the pieces in the copy, too.
      await repository.rotateKey(testInstanceId, new Date(0), never);
      const newer = await repository.log.resumeStream(testInstanceId, testStreamId, never);
      await storeWhole(newer, begin + 2);
      await writer.closeInterval(intervalOf(3, begin + 2, begin + 3), never);
      await copyAll(scene);
      assert.deepEqual(
        logOf(target).filter((name) => name.includes(segmentName(begin + 2))).length,
        1,
      );
      await assertCopied(scene, [begin, begin + 1, begin + 2]);
      const { logGaps } = await (await copyOf(scene)).compareInstance(
        ...([testInstanceId, everything, never] as const),
      );
      assert.deepEqual(logGaps, []);
    });
  });

  it('leaves it with the last backup that it is of use to', async () => {
    await withScene(async (scene) => {
      const { repository, target } = scene;
      await storeStream(repository, 4, begin);
      await backUp(repository, first, 1);
      await copyAll(scene);
      const { length } = logOf(target);
      // The source forgets it: the copy does not, while its backup needs it.
      await repository.log.removeBefore(testInstanceId, testStreamId, null, lease);
      await copyAll(scene, { removeGone: true });
      assert.equal(logOf(target).length, length);
      const keepSince = new Date(dayOf(2).getTime() - dayMs / 2);
      const startPosition = positionAt((begin + 2) * segmentBytes + 5);
      await backUp(repository, second, 2, { startPosition });
      await copyAll(scene, { keepSince, removeOlder: true });
      await using copy = await openTarget(target, scene.masterKey);
      const left = await copy.log.surveyStream(testInstanceId, testStreamId, never);
      assert.deepEqual(
        [left.pieces[0]?.file.name, left.intervals.map(({ sequence }) => sequence)],
        [segmentName(begin + 2), [2]],
      );
      // A backup of another server has no use for it.
      await backUp(repository, third, 3, { systemIdentifier: '1' });
      for (const id of [first, second]) await repository.deleteBackup(testInstanceId, id, lease);
      await copyAll(scene, { removeGone: true });
      assert.deepEqual(logOf(target), []);
    });
  });

  it('has no gap that is not told of', async () => {
    await withScene(async (scene) => {
      const { repository, source, target } = scene;
      await backUp(repository, first, 1);
      await storeStream(repository, 5, begin);
      const broken = logOf(source).find((name) => name.includes(segmentName(begin + 1))) ?? '';
      const whole = source.objects.get(broken) ?? Buffer.alloc(0);
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(20_000) ^ 1, 20_000);
      source.objects.set(broken, bytes);
      const { failedLog } = await copyAll(scene);
      assert.deepEqual(
        failedLog.map(({ streamId }) => streamId),
        [testStreamId],
      );
      assert.match(failedLog[0]?.error.message ?? '', new RegExp(segmentName(begin + 1)));
      assert.ok(!target.objects.has(broken));
      assert.ok(!logOf(target).some((name) => name.endsWith('/intervals/00000001')));
      assert.ok(logOf(target).some((name) => name.endsWith('/intervals/00000002')));
      const compare = async () => {
        const copy = await copyOf(scene);
        return (await copy.compareInstance(testInstanceId, everything, never)).logGaps;
      };
      const [gap] = await compare();
      assert.equal(gap?.streamId, testStreamId);
      assert.ok(
        gap.problems.some((text) => text.includes('0/3010000') || text.includes('missing')),
      );
      // Mended at the source, it follows.
      source.objects.set(broken, whole);
      assert.deepEqual((await copyAll(scene)).failedLog, []);
      assert.deepEqual(await compare(), []);
      await assertCopied(scene, [begin, begin + 1, begin + 2, begin + 3]);
      const other = 'f'.repeat(12) as LogStreamId;
      await repository.log.beginStream(streamRecord(other), new Date(0), never);
      assert.deepEqual(await compare(), [
        { streamId: other, problems: ['nothing of the stream was copied'] },
      ]);
    });
  });

  it('is whole after whatever broke off, and beside a source that goes on', async () => {
    await withScene(async ({ repository, masterKey, source, target }) => {
      await backUp(repository, first, 1);
      const writer = await storeStream(repository, 4, begin);
      await copyAll({ source, target, masterKey });
      const cuts = [2500, ...cutsOf(new Seeded(11), 4).filter((at) => at > 2500)];
      await storePieces(writer, begin + 3, cuts);
      const early = new Map(source.objects);
      await storeWhole(writer, begin + 3);
      await writer.closeInterval(intervalOf(3, begin + 3, begin + 4), never);
      const late = new Map(source.objects);
      let stories = 0;
      const run = async (method: FaultMethod, call: number): Promise<boolean> => {
        stories++;
        const inner = new NamedMemory('inner');
        restore(inner, target.objects);
        const faulty = new FaultyStorage(inner);
        faulty.arm({ method, call, kind: 'crash' });
        const growing = new NamedMemory('growing');
        restore(growing, early);
        const read = growing.read.bind(growing);
        growing.read = async (...args) => {
          if (args[0].includes('/files/')) restore(growing, late);
          return await read(...args);
        };
        await copyAll({ source: growing, target: faulty, masterKey }).catch(() => undefined);
        await assertIntervals(inner, masterKey);
        await copyAll({ source, target: inner, masterKey });
        await assertCopied({ target: inner, masterKey }, [begin, begin + 1, begin + 2, begin + 3]);
        return faulty.hasFired;
      };
      for (const method of ['openWriter', 'publish', 'flush', 'list', 'delete'] as const) {
        for (let call = 0; await run(method, call); ) call += 2;
      }
      assert.ok(stories > 10, `${stories} stories`);
    });
  });

  it('comes with the key that sealed it, also one that was made meanwhile', async () => {
    await withScene(async (scene) => {
      const { repository, source } = scene;
      await backUp(repository, first, 1);
      await storeStream(repository, 2, begin);
      const list = source.list.bind(source);
      source.list = async function* (prefix, signal) {
        if (prefix.endsWith('/log/')) {
          source.list = list;
          await repository.rotateKey(testInstanceId, new Date(0), never);
          const writer = await repository.log.resumeStream(testInstanceId, testStreamId, never);
          await storePieces(writer, begin + 1, [2500, segmentBytes]);
        }
        yield* list(prefix, signal);
      };
      await copyAll(scene);
      await assertCopied(scene, [begin, begin + 1]);
    });
  });

  it('can be taken over: the stream goes on in what was the copy', async () => {
    await withScene(async (scene) => {
      const { repository, target, masterKey } = scene;
      await backUp(repository, first, 1);
      await storeStream(repository, 3, begin);
      await copyAll(scene);
      await using reader = await openTarget(target, masterKey);
      await reader.takeOver('another', { isAllowed: true, now: new Date(0), signal: never });
      await using other = await openRepository({
        ...{ storage: target, masterKey, ownerId: 'another', expectedId: null },
        ...{ random: systemRandom, now: new Date(0), signal: never, threadCount: 1 },
      });
      const writer = await other.log.resumeStream(testInstanceId, testStreamId, never);
      await storePieces(writer, begin + 2, [2500, segmentBytes]);
      const { pieces } = await other.log.surveyStream(testInstanceId, testStreamId, never);
      assert.deepEqual(pieces.at(-1)?.endPosition, positionAt((begin + 3) * segmentBytes));
    });
  });
});

it('does not go to a copy of another repository', async () => {
  await withScene(async (scene) => {
    const other = new NamedMemory('other');
    await using repository = await openSource(other, scene.masterKey);
    await backUp(repository, first, 1);
    await assert.rejects(copyAll({ ...scene, target: other }));
    assert.deepEqual(logOf(other), []);
  });
});
