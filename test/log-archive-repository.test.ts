// Archived log in the repository: what was stored comes back, byte for byte, whatever broke off.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import type { LogStreamId } from '../src/model/ids.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Repository } from '../src/repository/repository.ts';
import { LocalStorage } from '../src/storage/local.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import {
  cutsOf,
  firstSegment,
  intervalOf,
  isConflict,
  pieceOf,
  positionAt,
  segmentBytes,
  segmentName,
  segmentOf,
  storePieces,
  storeStream,
  storeWhole,
  streamRecord,
  testStreamId,
  timeAt,
} from './fixtures/log-streams.ts';
import {
  never,
  openTestRepository,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';
import type { FaultKind, FaultMethod } from './model/faulty-storage.ts';
import { FaultyStorage, faultMethods } from './model/faulty-storage.ts';
import { Seeded } from './model/seeded.ts';

const lease = { assertLease: async () => undefined, signal: never };

async function readSegment(repository: Repository, number: number, streamId = testStreamId) {
  return await repository.log.readFile(testInstanceId, streamId, segmentName(number), never);
}

async function assertSegment(
  repository: Repository,
  number: number,
  endBytes = segmentBytes,
  streamId = testStreamId,
): Promise<void> {
  const { bytes, isComplete } = await readSegment(repository, number, streamId);
  assert.equal(isComplete, endBytes === segmentBytes);
  assert.ok(bytes.equals(segmentOf(number).subarray(0, endBytes)), `segment ${number} differs`);
}

const survey = (repository: Repository, from = 0, streamId = testStreamId) =>
  repository.log.surveyStream(testInstanceId, streamId, never, from);
const namesOf = ({ objects }: MemoryStorage, part: string): string[] =>
  [...objects.keys()].filter((name) => name.includes(part)).sort();
const isDamage = (error: unknown): boolean =>
  error instanceof CairnError && error.kind === 'repository-damaged';

describe('log in the repository', () => {
  it('comes back from any pieces, in any order, with overlaps', async () => {
    const seeded = new Seeded(7);
    const { repository } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    for (let number = firstSegment; number < firstSegment + 6; number++) {
      const cuts = cutsOf(seeded, seeded.below(8));
      const bytes = segmentOf(number);
      const pieces = cuts.slice(1).map((to, index) => {
        const back = seeded.isOneIn(2) ? 0 : seeded.below((cuts[index] ?? 0) + 1);
        return pieceOf(number, (cuts[index] ?? 0) - back, to);
      });
      for (const piece of pieces.sort(() => (seeded.isOneIn(2) ? 1 : -1))) {
        const { offsetBytes, lengthBytes } = piece;
        const part = Buffer.from(bytes.subarray(offsetBytes, offsetBytes + lengthBytes));
        const stored = await writer.store(piece, part, never);
        assert.ok(stored.storedBytes > 0);
      }
      await assertSegment(repository, number);
    }
  });

  it('is readable by another process, up to the last piece', async () => {
    const storage = new MemoryStorage();
    const { repository, masterKey } = await openTestRepository(storage);
    await using _ = repository;
    await storeStream(repository, 3);
    await using other = (await openTestRepository(storage, masterKey)).repository;
    const [record] = await other.log.listStreams(testInstanceId, never);
    assert.deepEqual(record, streamRecord());
    const found = await survey(other);
    assert.deepEqual(found.intervals, [intervalOf(0, 3, 4), intervalOf(1, 4, 5)]);
    const shown = found.pieces.map(({ file, offsetBytes, isLast, endAt }) => {
      return [file.name, offsetBytes, isLast, endAt];
    });
    assert.deepEqual(shown, [
      [segmentName(3), 0, true, timeAt(4 * segmentBytes)],
      [segmentName(4), 0, true, timeAt(5 * segmentBytes)],
      [segmentName(5), 0, false, timeAt(5 * segmentBytes + 1000)],
      [segmentName(5), 1000, false, timeAt(5 * segmentBytes + 2500)],
    ]);
    assert.deepEqual(found.pieces.at(-1)?.endPosition, positionAt(5 * segmentBytes + 2500));
    const later = await survey(other, 1);
    assert.deepEqual([later.intervals, later.pieces.length], [[intervalOf(1, 4, 5)], 3]);
    await assertSegment(other, 5, 2500);
    const resumed = await other.log.resumeStream(testInstanceId, testStreamId, never);
    await storePieces(resumed, 5, [2500, segmentBytes]);
    await assertSegment(repository, 5);
  });

  it('takes the same bytes again, and refuses others', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    await assert.rejects(
      repository.log.beginStream(streamRecord(), new Date(0), never),
      isConflict,
    );
    await storePieces(writer, 3, [0, 500, 900]);
    const objects = namesOf(storage as MemoryStorage, '/files/').length;
    await storePieces(writer, 3, [0, 500, 900]);
    assert.equal(namesOf(storage as MemoryStorage, '/files/').length, objects);
    const other = Buffer.alloc(400, 7);
    await assert.rejects(writer.store(pieceOf(3, 500, 900), other, never), isConflict);
    // Nor do other bytes replace them.
    const whole = segmentOf(3);
    whole.writeUInt8(whole.readUInt8(600) ^ 1, 600);
    await assert.rejects(writer.store(pieceOf(3, 0, segmentBytes), whole, never), isConflict);
    await assertSegment(repository, 3, 900);
    await writer.closeInterval(intervalOf(0, 3, 4), never);
    await writer.closeInterval(intervalOf(0, 3, 4), never);
    const second = { ...intervalOf(0, 3, 4), backupId: testBackupId(9) };
    await assert.rejects(writer.closeInterval(second, never), isConflict);
  });

  it('ends at a hole, and says that there is nothing rather than nothing yet', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    await storePieces(writer, 3, [0, 500]);
    await storePieces(writer, 3, [700, segmentBytes]);
    await assertSegment(repository, 3, 500);
    await storePieces(writer, 4, [700, segmentBytes]);
    assert.deepEqual((await readSegment(repository, 4)).bytes.byteLength, 0);
    await assert.rejects(
      readSegment(repository, 5),
      (error) => error instanceof CairnError && error.kind === 'not-found',
    );
    const away = repository.log.surveyStream(testInstanceId, 'none' as typeof testStreamId, never);
    await assert.rejects(away, (error) => (error as CairnError).kind === 'not-found');
  });

  it('stays readable when keys change', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const writer = await storeStream(repository, 2);
    await repository.rotateKey(testInstanceId, new Date(0), never);
    await storePieces(writer, 4, [2500, 3000]);
    const newer = await repository.log.resumeStream(testInstanceId, testStreamId, never);
    await storePieces(newer, 4, [3000, 4000]);
    await assertSegment(repository, 3);
    await assertSegment(repository, 4, 4000);
  });

  it('never shows other bytes than those that were stored', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const { objects } = storage as MemoryStorage;
    const writer = await storeStream(repository, 2);
    const [name = ''] = namesOf(storage as MemoryStorage, segmentName(4));
    const before = objects.get(name) ?? Buffer.alloc(0);
    for (let at = 0; at < before.byteLength; at += 97) {
      const bytes = Buffer.from(before);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      objects.set(name, bytes);
      await assert.rejects(readSegment(repository, 4), isDamage, `flipped at ${at}`);
    }
    // Under the name of another piece it does not open either.
    objects.set(
      name,
      objects.get(namesOf(storage as MemoryStorage, segmentName(4))[1] ?? '') ?? before,
    );
    await assert.rejects(readSegment(repository, 4), isDamage);
    // Who still has the bytes can store them once more.
    await storeWhole(writer, 4);
    await assertSegment(repository, 4);
  });
});

describe('a whole file', () => {
  it('replaces the pieces of the file, and is read in their place', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    await storePieces(writer, 3, [0, 100, 200, 300]);
    await writer.store(pieceOf(3, 0, 300), segmentOf(3).subarray(0, 300), never);
    assert.equal(namesOf(storage as MemoryStorage, segmentName(3)).length, 1);
    await storePieces(writer, 3, [300, segmentBytes, segmentBytes]);
    await storeWhole(writer, 3);
    const names = namesOf(storage as MemoryStorage, segmentName(3));
    assert.equal(names.length, 1);
    assert.match(names[0] ?? '', /\.last\./);
    await assertSegment(repository, 3);
    // A late attempt stores a piece again: it is left out, and goes with the next prune.
    await storePieces(writer, 3, [100, 200]);
    assert.equal((await survey(repository)).pieces.length, 1);
    await assertSegment(repository, 3);
  });

  it('or its pieces are there, at whichever step an attempt dies', async () => {
    const inner = new MemoryStorage();
    const { repository, masterKey } = await openTestRepository(inner);
    await using _ = repository;
    let stories = 0;
    const run = async (method: FaultMethod, kind: FaultKind, call: number): Promise<boolean> => {
      const streamId = `${testStreamId}-${stories++}` as LogStreamId;
      const storage = new FaultyStorage(inner);
      const dying = (await openTestRepository(storage, masterKey, { threadCount: 1 })).repository;
      await using __ = dying;
      const record = streamRecord(streamId);
      const writer = await dying.log.beginStream(record, new Date(0), never);
      await storePieces(writer, 3, [0, 20_000, 40_000, segmentBytes]);
      storage.arm({ method, call, kind });
      await storeWhole(writer, 3).catch((error: unknown) => {
        assert.ok(error instanceof CairnError && error.kind === 'storage-unavailable');
      });
      const { hasFired } = storage;
      await storage.disarm();
      await assertSegment(repository, 3, segmentBytes, streamId);
      const again = await repository.log.resumeStream(testInstanceId, streamId, never);
      await storeWhole(again, 3);
      await assertSegment(repository, 3, segmentBytes, streamId);
      assert.equal((await survey(repository, 0, streamId)).pieces.length, 1);
      return hasFired;
    };
    for (const kind of ['crash', 'lost-answer', 'late'] as const) {
      for (const method of faultMethods) {
        for (let call = 0; await run(method, kind, call); ) call++;
      }
    }
    assert.ok(stories > 50, `${stories} stories`);
  });

  it('that is damaged costs nothing while the pieces are there', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const { objects } = storage as MemoryStorage;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    await storePieces(writer, 3, [0, 20_000, segmentBytes]);
    const pieces = namesOf(storage as MemoryStorage, '/files/').map((name) => {
      return [name, objects.get(name) ?? Buffer.alloc(0)] as const;
    });
    await storeWhole(writer, 3);
    for (const [name, bytes] of pieces) objects.set(name, bytes);
    const whole = namesOf(storage as MemoryStorage, `${segmentBytes.toString(16)}.last`).find(
      (name) => name.includes('/000000000000-'),
    );
    objects.set(whole ?? '', Buffer.from('cut'));
    await assertSegment(repository, 3);
    objects.delete(pieces[1]?.[0] ?? '');
    await assert.rejects(readSegment(repository, 3), isDamage);
  });
});

describe('removing log', () => {
  it('respects the position, the intervals that stay, and the lease', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const memory = storage as MemoryStorage;
    await storeStream(repository, 6);
    const { log } = repository;
    const remove = (byte: number) =>
      log.removeBefore(testInstanceId, testStreamId, positionAt(byte), lease);
    assert.deepEqual(await remove(firstSegment * segmentBytes), { freedBytes: 0 });
    // In the middle of an interval: it stays, with all of its files.
    const before = [...memory.objects.values()].reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    const { freedBytes } = await remove(5 * segmentBytes + 1);
    const after = [...memory.objects.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assert.equal(freedBytes, before - after);
    const found = await survey(repository);
    assert.deepEqual(
      [found.intervals[0]?.sequence, found.pieces[0]?.file.name],
      [2, segmentName(5)],
    );
    const away = { ...lease, assertLease: async () => Promise.reject(new Error('lease lost')) };
    await assert.rejects(log.removeBefore(testInstanceId, testStreamId, null, away), /lease lost/);
    assert.deepEqual(await survey(repository), found);
    // The newest file stays, wherever the position is: the next piece goes on with it.
    await remove(100 * segmentBytes);
    assert.deepEqual((await survey(repository)).pieces.length, 2);
    await log.removeBefore(testInstanceId, testStreamId, null, lease);
    await log.removeBefore(testInstanceId, testStreamId, null, lease);
    assert.deepEqual(namesOf(memory, '/log/'), []);
    assert.deepEqual(await log.listStreams(testInstanceId, never), []);
  });

  it('leaves every file of an interval that stays', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    for (const number of [3, 4, 5, 6]) await storeWhole(writer, number);
    await writer.closeInterval(intervalOf(0, 3, 4), never);
    await writer.closeInterval(intervalOf(1, 4, 7), never);
    const at = positionAt(5 * segmentBytes + 1);
    await repository.log.removeBefore(testInstanceId, testStreamId, at, lease);
    const { pieces, intervals } = await survey(repository);
    const names = pieces.map(({ file }) => file.name);
    assert.deepEqual(names, [segmentName(4), segmentName(5), segmentName(6)]);
    assert.deepEqual(intervals, [intervalOf(1, 4, 7)]);
  });

  it('leaves the timeline that goes on, and what is stored twice at the switch', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
    await storePieces(writer, 3, [0, 30_000]);
    const history = {
      file: { name: '00000002.history', kind: 'side', startPosition: positionAt(4 * segmentBytes) },
      ...{ offsetBytes: 0, lengthBytes: 20, isLast: true, endAt: timeAt(0) },
      endPosition: positionAt(3 * segmentBytes + 20_000),
    } as const;
    await writer.store(history, Buffer.from('1\t0/35000\tno reason\n'), never);
    const second = pieceOf(3, 0, segmentBytes, 2);
    await writer.store(second, segmentOf(3), never);
    await writer.store(pieceOf(4, 0, 100, 2), segmentOf(4).subarray(0, 100), never);
    const at = positionAt(3 * segmentBytes + 25_000, 2);
    await repository.log.removeBefore(testInstanceId, testStreamId, at, lease);
    const names = (await survey(repository)).pieces.map(({ file }) => file.name);
    assert.deepEqual(names, ['00000002.history', segmentName(3, 2), segmentName(4, 2)]);
  });

  it('can be repeated wherever it broke off', async () => {
    for (let call = 0; call < 8; call++) {
      const storage = new FaultyStorage(new MemoryStorage());
      const { repository } = await openTestRepository(storage);
      await using _ = repository;
      await storeStream(repository, 4);
      storage.arm({ method: 'delete', call, kind: 'error' });
      const remove = () => repository.log.removeBefore(testInstanceId, testStreamId, null, lease);
      await remove().catch(() => undefined);
      if (storage.hasFired)
        assert.equal((await repository.log.listStreams(testInstanceId, never)).length, 1);
      await remove();
      assert.deepEqual(await Array.fromAsync(storage.list('instances/', never)), []);
    }
  });
});

it('is not stored where the volume is gone', async () => {
  const { repository, storage } = await openTestRepository();
  await using _ = repository;
  const writer = await storeStream(repository, 1);
  (storage as MemoryStorage).objects.clear();
  await assert.rejects(
    writer.store(pieceOf(3, 2500, 3000), segmentOf(3).subarray(2500, 3000), never),
    (error) => (error as CairnError).kind === 'storage-unavailable',
  );
});

it('goes into a folder, with several writers of the same stream at once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-log-'));
  try {
    const storage = await LocalStorage.open(folder, systemRandom);
    const { repository } = await openTestRepository(storage, MasterKey.generate());
    await using _ = repository;
    const first = await repository.log.beginStream(streamRecord(), new Date(0), never);
    const second = await repository.log.resumeStream(testInstanceId, testStreamId, never);
    await Promise.all(
      [first, second].map(async (writer) => {
        await storePieces(writer, 3, [0, 10_000, 30_000, segmentBytes]);
        await storePieces(writer, 4, [0, 30_000]);
      }),
    );
    await Promise.all([storeWhole(first, 3), storePieces(second, 4, [30_000, 40_000])]);
    await assertSegment(repository, 3);
    await assertSegment(repository, 4, 40_000);
    assert.equal((await survey(repository)).pieces.length, 3);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
