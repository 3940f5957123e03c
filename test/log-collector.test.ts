// What the collector owes to new log while it makes files whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
