import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Batch } from './batch.ts';
import { Batcher } from './batch.ts';
import { BufferShelf } from './flow-gate.ts';
import { frameRawBytesMax } from './format.ts';

/** Keeps what batches hold, by file: each segment's kind, first page and bytes. */
function collect() {
  const segments = new Map<string, { kind: string; firstPage: number; bytes: Buffer }[]>();
  const batches: Batch<string>[] = [];
  const emit = (batch: Batch<string>): void => {
    batches.push(batch);
    for (const { file, kind, firstPage, offsetBytes, lengthBytes } of batch.segments) {
      const bytes = Buffer.from(batch.buffer.slice(offsetBytes, offsetBytes + lengthBytes));
      segments.set(file, [...(segments.get(file) ?? []), { kind, firstPage, bytes }]);
    }
  };
  const batcher = new Batcher<string>(new BufferShelf(frameRawBytesMax), emit);
  const bytesOf = (file: string): Buffer =>
    Buffer.concat(
      (segments.get(file) ?? []).filter(({ kind }) => kind === 'written').map((one) => one.bytes),
    );
  return { batcher, batches, segments, bytesOf };
}

describe('a batch', () => {
  it('holds whole pages of a file that another one interrupts', () => {
    const { batcher, batches, segments, bytesOf } = collect();
    const [a, b] = [batcher.beginFile('a', 1000, null), batcher.beginFile('b', 700, 2100)];
    const [bytesA, bytesB] = [randomBytes(3456), randomBytes(2100)];
    batcher.write(a, bytesA.subarray(0, 2100));
    batcher.write(b, bytesB.subarray(0, 1));
    batcher.write(a, bytesA.subarray(2100, 2101));
    batcher.write(b, bytesB.subarray(1));
    batcher.endFile(b);
    batcher.write(a, bytesA.subarray(2101));
    batcher.endFile(a);
    batcher.flush();
    assert.deepEqual(bytesOf('a'), bytesA);
    assert.deepEqual(bytesOf('b'), bytesB);
    const ofA = (segments.get('a') ?? []).map((one) => [one.firstPage, one.bytes.byteLength]);
    assert.deepEqual(ofA, [
      [0, 2000],
      [2, 1456],
    ]);
    assert.deepEqual(
      batches[0]?.segments.map(({ last }) => last),
      [false, true, true],
    );
  });

  it('has room for a first page that comes again', () => {
    const { batcher, segments } = collect();
    const file = batcher.beginFile('a', 4096, null);
    batcher.write(file, randomBytes(frameRawBytesMax - 100));
    batcher.endFile(file);
    const head = randomBytes(4096);
    batcher.rewriteHead(file, head);
    batcher.flush();
    const last = segments.get('a')?.at(-1);
    assert.deepEqual(last, { kind: 'head', firstPage: 0, bytes: head });
  });
});
