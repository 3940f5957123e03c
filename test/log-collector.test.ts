// What the collector owes to new log while it makes files whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogPosition } from '../src/model/log-position.ts';
import { LogCollector } from '../src/operations/log-archive/log-collector.ts';
import type { LogPiece } from '../src/repository/repository.ts';
import { positionAt } from './fixtures/log-scene.ts';
import { ManualClock } from './fixtures/manual-clock.ts';
import { never } from './fixtures/repositories.ts';

function openCollector(storeWhole: (whole: LogPiece) => Promise<void>) {
  const clock = new ManualClock();
  const stored: LogPiece[] = [];
  const limits = { pieceBytesMax: 10, flushAfterMs: 1_000, wholeBytesMax: 1_000, piecesMax: 3 };
  const collector = new LogCollector({
    ...{ clock, limits, resume: null, signal: never, storeWhole },
    beginStream: async () => undefined,
    store: async (piece) => {
      stored.push(piece);
      return { ...piece, objectName: 'x', storedBytes: piece.lengthBytes };
    },
    onStored: () => undefined,
    onFailure: (error) => assert.fail(String(error)),
  });
  const begin = (number: number, sizeBytes: number): void =>
    collector.beginFile({
      ...{ name: `file-${number}`, kind: 'log', startPosition: positionAt(number * 100) },
      ...{ offsetBytes: 0, sizeBytes },
    });
  return { clock, collector, stored, begin };
}

test('new log does not wait for a file that is made whole, but closing does', async () => {
  const held = Promise.withResolvers<void>();
  const { clock, collector, stored, begin } = openCollector(() => held.promise);
  begin(0, 20);
  void collector.write(Buffer.alloc(20));
  collector.endFile();
  begin(1, 20);
  void collector.write(Buffer.alloc(5));
  await clock.advance(2_000);
  assert.deepEqual(collector.storedPosition, positionAt(105));
  assert.equal(stored.length, 3);
  await collector.settle();
  let isClosed = false;
  const closing = collector.close().then(() => {
    isClosed = true;
  });
  await clock.advance(1_000);
  assert.equal(isClosed, false);
  held.resolve();
  await closing;
});

test('a file in very many pieces is stored as one before it is complete', async () => {
  const wholes: [number, number, boolean][] = [];
  const { collector, begin } = openCollector(async ({ offsetBytes, lengthBytes, isLast }) => {
    wholes.push([offsetBytes, lengthBytes, isLast]);
  });
  begin(0, 60);
  for (let count = 0; count < 6; count++) await collector.write(Buffer.alloc(10));
  collector.endFile();
  await collector.close();
  assert.deepEqual(wholes, [
    [0, 30, false],
    [0, 50, false],
    [0, 60, true],
  ]);
});

test('what is stored of a binary log says which transactions lie before it', async () => {
  const { collector, stored } = openCollector(async () => undefined);
  const at = (offsetBytes: number, gtidSet: string | null): LogPosition => ({
    ...{ engine: 'mysql', file: 'bin.000004', offsetBytes, gtidSet },
  });
  const now = new Date(0);
  collector.beginFile({
    ...{ name: 'bin.000004', kind: 'log', startPosition: at(0, '0-1-5') },
    ...{ offsetBytes: 0, sizeBytes: null },
  });
  await collector.write(Buffer.alloc(8));
  collector.mark({ position: at(8, '0-1-6'), at: now });
  await collector.write(Buffer.alloc(4));
  collector.mark({ position: at(12, '0-1-7'), at: now });
  await collector.write(Buffer.alloc(8));
  await collector.settle();
  // Both are cut behind a mark: nobody says what has come since.
  assert.deepEqual(
    stored.map(({ endPosition }) => endPosition),
    [at(10, null), at(20, null)],
  );
  collector.mark({ position: at(20, '0-1-9'), at: now });
  assert.deepEqual(collector.covered, { position: at(20, '0-1-9'), at: now });
  collector.beginFile({
    ...{ name: 'bin.000004', kind: 'log', startPosition: at(0, '0-1-5') },
    ...{ offsetBytes: 20, sizeBytes: null },
  });
  await collector.write(Buffer.alloc(4));
  collector.mark({ position: at(24, '0-1-10'), at: now });
  await collector.settle();
  assert.deepEqual(stored.at(-1)?.endPosition, at(24, '0-1-10'));
  assert.deepEqual(collector.fileStart, at(0, '0-1-5'));
  assert.equal(collector.lastBytes.byteLength, 24);
});
