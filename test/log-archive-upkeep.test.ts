// Prunes leave archived log alone, and a check names every hole in it and every byte that changed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import {
  firstSegment,
  intervalOf,
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
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const lease = { assertLease: async () => undefined, signal: never };
const now = new Date(0);

const namesOf = ({ objects }: MemoryStorage, part: string): string[] =>
  [...objects.keys()].filter((name) => name.includes(part)).sort();

async function openScene() {
  const storage = new MemoryStorage();
  const { repository } = await openTestRepository(storage);
  return { storage, repository, [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose]() };
}

async function check(repository: Repository, percent: number | null = null) {
  return await repository.check({
    instanceIds: [testInstanceId],
    readData: percent === null ? null : { percent, seed: 'test' },
    ...{ onProgress: () => undefined, signal: never },
  });
}

describe('a prune', () => {
  it('takes nothing of the log but pieces that were replaced, after the grace', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    const writer = await storeStream(repository, 3);
    await storePieces(writer, 3, [100, 200, 300]);
    await storePieces(writer, 5, [2500, 4000]);
    const firstSeen = new Map([...storage.objects.keys()].map((name) => [name, now]));
    const knowledge = { inFlight: new Set<never>(), firstSeen, now, graceMs: 0 };
    const early = { ...knowledge, firstSeen: new Map() };
    const waiting = await repository.surveyInstance(testInstanceId, early, never);
    assert.deepEqual([waiting.remove.length, waiting.wait.length, waiting.foreign], [0, 2, []]);
    const { remove, keep } = await repository.surveyInstance(testInstanceId, knowledge, never);
    assert.deepEqual(
      remove.map(({ name }) => name).sort(),
      namesOf(storage, `${segmentName(3)}/`).filter((name) => !name.includes('.last.')),
    );
    // Whoever asks for more than that gets no more than that.
    const { removed } = await repository.removeUnneeded(
      testInstanceId,
      [...remove, ...keep],
      lease,
    );
    assert.deepEqual(removed, remove);
    const { bytes } = await repository.log.readFile(
      ...([testInstanceId, testStreamId, segmentName(3), never] as const),
    );
    assert.ok(bytes.equals(segmentOf(3)));
  });

  it('and a deletion leave the log of a deleted backup', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    await storeFiles(repository, new Map([['a', segmentOf(1)]]), { backupId: testBackupId(1) });
    await storeStream(repository, 3);
    const before = namesOf(storage, '/log/');
    await repository.deleteBackup(testInstanceId, testBackupId(1), lease);
    await repository.deleteBackup(testInstanceId, intervalOf(0, 3, 4).backupId, lease);
    assert.deepEqual(namesOf(storage, 'instances/'), before);
  });
});

describe('a check of log', () => {
  it('is silent about a stream without a gap, also over a new timeline', async () => {
    await using scene = await openScene();
    const { repository } = scene;
    const writer = await storeStream(repository, 4);
    const side = { name: '00000002.history', kind: 'side' } as const;
    const switchAt = positionAt(6 * segmentBytes + 2000);
    await writer.store(
      {
        file: { ...side, startPosition: switchAt },
        ...{ offsetBytes: 0, lengthBytes: 3, isLast: true },
        ...{ endPosition: switchAt, endAt: timeAt(0) },
      },
      Buffer.from('1\t0'),
      never,
    );
    await writer.store(pieceOf(6, 0, segmentBytes, 2), segmentOf(6), never);
    await writer.store(pieceOf(7, 0, 10, 2), Buffer.alloc(10), never);
    const { findings, counts, storedIds, foreign } = await check(repository, 100);
    assert.deepEqual([findings, foreign], [[], []]);
    const { logStreams, logIntervals, logPieces, logPiecesRead } = counts;
    assert.deepEqual([logStreams, logIntervals, logPieces, logPiecesRead], [1, 3, 8, 8]);
    assert.ok(storedIds.has(intervalOf(2, 5, 6).backupId));
    await repository.log.removeBefore(
      ...([testInstanceId, testStreamId, positionAt(5 * segmentBytes), lease] as const),
    );
    assert.deepEqual((await check(repository)).findings, []);
  });

  it('names what is missing, and the intervals that need it', async () => {
    const losses = [
      { lose: `${segmentName(4)}/`, object: `files/${segmentName(4)}/`, sequences: [1] },
      { lose: '/intervals/00000001', object: 'intervals/00000001', sequences: [] },
      { lose: `/${testStreamId}/stream`, object: 'stream', sequences: [] },
      // In the file that is still growing: nothing else would tell.
      { lose: `${segmentName(6)}/000000000000`, object: `files/${segmentName(6)}/`, sequences: [] },
    ];
    for (const { lose, object, sequences } of losses) {
      await using scene = await openScene();
      const { repository, storage } = scene;
      await storeStream(repository, 4);
      for (const name of namesOf(storage, lose)) storage.objects.delete(name);
      const { findings } = await check(repository);
      const found = findings.find((finding) => finding.object.endsWith(object));
      assert.ok(found, `${object} is not among ${JSON.stringify(findings)}`);
      assert.equal(found.kind, 'damaged');
      assert.match(found.message, /missing/);
      assert.match(found.hint ?? '', /full backup/);
      const ids = sequences.map((sequence) => testBackupId(1000 + sequence));
      assert.deepEqual(found.backupIds, ids);
    }
  });

  it('finds a file that breaks off, and the pieces of one that were mixed up', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    const writer = await repository.log.beginStream(streamRecord(), now, never);
    await storePieces(writer, firstSegment, [0, 1000]);
    await storeWhole(writer, firstSegment + 1);
    const [first = ''] = namesOf(storage, `${segmentName(firstSegment)}/`);
    const { findings } = await check(repository);
    assert.match(findings[0]?.message ?? '', /ends at 1000, and is not complete/);
    const [second = ''] = namesOf(storage, `${segmentName(firstSegment + 1)}/`);
    storage.objects.set(first, storage.objects.get(second) ?? Buffer.alloc(0));
    const mixed = await check(repository);
    assert.ok(mixed.findings.some(({ object }) => object === first));
  });

  it('finds a byte that changed when it reads data, and a cut object without', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    await storeStream(repository, 4);
    const [name = ''] = namesOf(storage, `${segmentName(5)}/`);
    const bytes = Buffer.from(storage.objects.get(name) ?? '');
    bytes.writeUInt8(bytes.readUInt8(20_000) ^ 1, 20_000);
    storage.objects.set(name, bytes);
    const { findings } = await check(repository, 100);
    assert.deepEqual(
      findings.map(({ object, backupIds }) => [object, backupIds]),
      [[name, [testBackupId(1002)]]],
    );
    assert.deepEqual((await check(repository)).findings, []);
    storage.objects.set(name, bytes.subarray(0, 30_000));
    assert.deepEqual(
      (await check(repository)).findings.map(({ object }) => object),
      [name],
    );
  });

  it('takes nothing for a hole that is replaced or removed while it looks', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    const writer = await repository.log.beginStream(streamRecord(), now, never);
    for (const number of [3, 4, 5]) await storePieces(writer, number, [0, 5000, segmentBytes]);
    const read = storage.read.bind(storage);
    let calls = 0;
    const interrupted: typeof read = async (...args) => {
      storage.read = read;
      calls++;
      if (calls === 2) await storeWhole(writer, 4);
      const remove = repository.log.removeBefore;
      if (calls === 4) await remove(testInstanceId, testStreamId, null, lease);
      storage.read = interrupted;
      return await read(...args);
    };
    storage.read = interrupted;
    assert.deepEqual((await check(repository, 100)).findings, []);
    assert.ok(calls > 3);
  });

  it('looks again when a listing shows neither the pieces nor what replaced them', async () => {
    await using scene = await openScene();
    const { repository, storage } = scene;
    await storeStream(repository, 4);
    const list = storage.list.bind(storage);
    let isFirst = true;
    storage.list = async function* (prefix, signal) {
      const skips = isFirst && prefix.endsWith(`${testStreamId}/`);
      if (skips) isFirst = false;
      for await (const info of list(prefix, signal)) {
        if (!skips || !info.name.includes(segmentName(4))) yield info;
      }
    };
    assert.deepEqual((await check(repository)).findings, []);
    assert.ok(!isFirst);
  });
});
