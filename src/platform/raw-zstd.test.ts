import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import type { Span } from './raw-zstd.ts';
import { blockBytes, framedLength, readFramed } from './raw-zstd.ts';

/** The span of a frame around the content, which is read in chunks of the given size. */
async function frameOf(content: Buffer, span: Span, chunkBytes = 50_000): Promise<Buffer> {
  async function* read({ startBytes, endBytes }: Span) {
    assert.ok(startBytes < endBytes, 'nothing was asked for');
    for (let at = startBytes; at < endBytes; at += chunkBytes) {
      yield content.subarray(at, Math.min(at + chunkBytes, endBytes));
    }
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of readFramed(content.byteLength, span, read)) {
    assert.ok(piece.byteLength > 0, 'an empty piece');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function wholeOf(content: Buffer): Promise<Buffer> {
  const endBytes = framedLength(content.byteLength);
  return await frameOf(content, { startBytes: 0, endBytes });
}

test('decoders give back the content, whatever its length', async () => {
  const lengths = [0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes, 1_000_003];
  for (const length of lengths) {
    const content = randomBytes(length);
    const frame = await wholeOf(content);
    assert.equal(frame.byteLength, framedLength(length));
    assert.ok(zstdDecompressSync(frame).equals(content), `${length} bytes by Node`);
    const options = { input: frame, maxBuffer: 10_000_000 };
    const tool = spawnSync('zstd', ['-d', '-c'], options);
    assert.equal(tool.status, 0, String(tool.stderr));
    assert.ok(tool.stdout.equals(content), `${length} bytes by zstd`);
  }
});

test('every span is that slice of the whole', async () => {
  const content = randomBytes(3 * blockBytes + 777);
  const whole = await wholeOf(content);
  const size = whole.byteLength;
  const headStarts = [0, 1, 2, 3].map((block) => 14 + block * (blockBytes + 3));
  const places = fc.oneof(
    fc.integer({ min: 0, max: size }),
    fc.constantFrom(...headStarts).chain((at) => fc.integer({ min: at - 4, max: at + 4 })),
  );
  const chunks = fc.integer({ min: 2_000, max: 300_000 });
  await fc.assert(
    fc.asyncProperty(places, places, chunks, async (a, b, chunk) => {
      const [startBytes = 0, endBytes = 0] = [a, b]
        .map((at) => Math.max(0, at))
        .sort((x, y) => x - y);
      const found = await frameOf(content, { startBytes, endBytes }, chunk);
      assert.ok(found.equals(whole.subarray(startBytes, endBytes)), `${startBytes} to ${endBytes}`);
    }),
    { numRuns: 200 },
  );
});

test('a frame that lost its end is no frame', async () => {
  const whole = await wholeOf(randomBytes(300_000));
  const tool = spawnSync('zstd', ['-d', '-c'], { input: whole.subarray(0, -1), maxBuffer: 1e7 });
  assert.notEqual(tool.status, 0);
});
