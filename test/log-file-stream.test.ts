// One file of log, piece by piece: what is handed out was checked, whatever becomes of its pieces.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import type { LogPosition } from '../src/model/log-position.ts';
import { filesWithin } from '../src/operations/restore/open-recovery.ts';
import type { LogFile, LogStreamWriter, Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import {
  segmentBytes,
  segmentName,
  segmentOf,
  storePieces,
  storeWhole,
  streamRecord,
  testStreamId,
} from './fixtures/log-streams.ts';
import { never, openTestRepository, testInstanceId } from './fixtures/repositories.ts';

const cuts = [0, 9_000, 10_000, 20_000, 33_000, 41_000, 50_000, 60_000, segmentBytes];
const isOfKind =
  (kind: CairnError['kind']) =>
  (error: unknown): boolean =>
    error instanceof CairnError && error.kind === kind;

function stream({ log }: Repository, number: number, signal = never): AsyncGenerator<Uint8Array> {
  return log.streamFile(testInstanceId, testStreamId, segmentName(number), signal);
}

async function open(): Promise<{
  readonly repository: Repository;
  readonly objects: Map<string, Buffer>;
  readonly writer: LogStreamWriter;
}> {
  const { repository, storage } = await openTestRepository(new MemoryStorage());
  const writer = await repository.log.beginStream(streamRecord(), new Date(0), never);
  await storePieces(writer, 3, cuts);
  return { repository, objects: (storage as MemoryStorage).objects as never, writer };
}

describe('a log file is streamed', () => {
  it('piece by piece, the same bytes as were stored', async () => {
    const { repository } = await open();
    await using _ = repository;
    const chunks = await Array.fromAsync(stream(repository, 3));
    assert.equal(chunks.length, cuts.length - 1);
    assert.ok(Buffer.concat(chunks).equals(segmentOf(3)));
  });

  it('also when its pieces are replaced by the whole file in the middle', async () => {
    const { repository, writer } = await open();
    await using _ = repository;
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream(repository, 3)) {
      chunks.push(chunk);
      if (chunks.length === 2) await storeWhole(writer, 3);
    }
    assert.ok(chunks.length < cuts.length - 1, 'the whole file was never read');
    assert.ok(Buffer.concat(chunks).equals(segmentOf(3)));
  });

  it('up to what is damaged, and never as if it ended there', async () => {
    const { repository, objects } = await open();
    await using _ = repository;
    const names = [...objects.keys()].filter((name) => name.includes('/files/')).sort();
    const [broken = ''] = names.slice(6, 7);
    const bytes = Buffer.from(objects.get(broken) ?? '');
    bytes.writeUInt8(bytes.readUInt8(bytes.byteLength >> 1) ^ 1, bytes.byteLength >> 1);
    objects.set(broken, bytes);
    const chunks: Uint8Array[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of stream(repository, 3)) chunks.push(chunk);
    };
    await assert.rejects(reading(), isOfKind('repository-damaged'));
    const read = Buffer.concat(chunks);
    assert.ok(segmentOf(3).subarray(0, read.byteLength).equals(read));
    // The whole file holds what the piece held.
    const writer = await repository.log.resumeStream(testInstanceId, testStreamId, never);
    await storeWhole(writer, 3);
    objects.set(broken, bytes);
    assert.ok(Buffer.concat(await Array.fromAsync(stream(repository, 3))).equals(segmentOf(3)));
  });

  it('and never as if it ended where it was removed in the middle', async () => {
    const { repository } = await open();
    await using _ = repository;
    const lease = { assertLease: async () => undefined, signal: never };
    const reading = async (): Promise<void> => {
      for await (const _chunk of stream(repository, 3)) {
        await repository.log.removeBefore(testInstanceId, testStreamId, null, lease);
      }
    };
    // Whether it is the file or the stream that is gone: nothing that says “this was all”.
    await assert.rejects(reading(), isOfKind('storage-unavailable'));
  });

  it('until nobody wants it any more', async () => {
    const { repository } = await open();
    await using _ = repository;
    for await (const _chunk of stream(repository, 3)) break;
    const aborted = stream(repository, 3, AbortSignal.abort(new Error('enough')));
    await assert.rejects(aborted.next(), /enough/);
    await assert.rejects(stream(repository, 9).next(), isOfKind('not-found'));
  });
});

it('files of log are listed in order, each as far as it is stored without a hole', async () => {
  const { repository, writer } = await open();
  await using _ = repository;
  const place = (file: string): LogPosition => ({
    ...{ engine: 'mysql', file, offsetBytes: 0, gtidSet: null },
  });
  const fileOf = (name: string, kind: LogFile['kind'] = 'log'): LogFile => ({
    ...{ name, kind, startPosition: place(name) },
  });
  await repository.log.removeBefore(testInstanceId, testStreamId, null, {
    ...{ assertLease: async () => undefined, signal: never },
  });
  const again = { ...streamRecord(), engine: 'mysql' } as const;
  await repository.log.beginStream(again, new Date(0), never);
  const store = async (name: string, [from, to]: readonly [number, number], isLast: boolean) => {
    const file = fileOf(name);
    const endPosition = { ...place(name), offsetBytes: to } as LogPosition;
    const range = { offsetBytes: from, lengthBytes: to - from, isLast, endPosition };
    const bytes = Buffer.alloc(to - from, 1);
    await writer.store({ file, ...range, endAt: new Date(0) }, bytes, never);
  };
  await store('bin.1000000', [0, 10], false);
  await store('bin.1000000', [12, 20], false);
  await store('bin.999998', [0, 10], true);
  // A number is left out: names need not follow one another.
  await store('bin.000004', [0, 4], false);
  await store('bin.000004', [4, 9], true);
  const files = await repository.log.listFiles(testInstanceId, testStreamId, never);
  const shown = files.map(({ name, sizeBytes, isComplete }) => [name, sizeBytes, isComplete]);
  assert.deepEqual(shown, [
    ['bin.000004', 9, true],
    ['bin.999998', 10, true],
    ['bin.1000000', 10, false],
  ]);
  const within = (start: string, end: string, endOffset = 10): string[] => {
    const endPosition = { ...place(end), offsetBytes: endOffset } as LogPosition;
    const startPosition = { ...place(start), offsetBytes: 337 } as LogPosition;
    return filesWithin(files, { startPosition, endPosition }).map(({ name }) => name);
  };
  assert.deepEqual(within('bin.000004', 'bin.999998'), ['bin.000004', 'bin.999998']);
  assert.deepEqual(within('bin.999998', 'bin.1000000'), ['bin.999998', 'bin.1000000']);
  assert.deepEqual(within('bin.000004', 'bin.999998', 0), ['bin.000004']);
});
