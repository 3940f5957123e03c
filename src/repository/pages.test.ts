import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isErrorKind } from '../model/errors.ts';
import type { PageTake } from './pages.ts';
import { digestPage, takePages } from './pages.ts';
import { planLevel, sealFrame } from './seal.ts';

const pageBytes = 512;
const raw = randomBytes(16 * pageBytes + 100);
const place = { key: randomBytes(32), frame: 3, name: 'pack' };
const isDamage = (error: unknown): boolean => isErrorKind(error, 'repository-damaged');

function sealed(): Buffer {
  return sealFrame(raw, { ...place, level: 2 });
}

function take(offsetBytes: number, lengthBytes: number): PageTake {
  const digests: Uint8Array[] = [];
  const end = offsetBytes + lengthBytes;
  for (let at = offsetBytes; at < end; at += pageBytes) {
    digests.push(digestPage(raw.subarray(at, Math.min(at + pageBytes, end))));
  }
  return { offsetBytes, lengthBytes, pageBytes, digests: Buffer.concat(digests) };
}

test('few pages come alone, most of a frame comes as the frame', () => {
  const few = takePages(sealed(), place, [take(pageBytes, 1024), take(8192, 100)]);
  assert.equal(few.isWhole, false);
  const expected = Buffer.concat([raw.subarray(512, 1536), raw.subarray(8192, 8292)]);
  assert.ok(Buffer.from(few.buffer).equals(expected));
  const most = takePages(sealed(), place, [take(0, 8192)]);
  assert.ok(Buffer.from(most.buffer).equals(most.isWhole ? raw : raw.subarray(0, 8192)));
});

test('a page that is not the one of the file map is damage, though the frame is sound', () => {
  for (const [offset, length] of [
    [0, 8192],
    [1024, 512],
  ] as const) {
    const { digests, ...rest } = take(offset, length);
    const wrong = Buffer.from(digests);
    wrong.writeUInt8(wrong.readUInt8(wrong.byteLength - 1) ^ 1, wrong.byteLength - 1);
    assert.throws(() => takePages(sealed(), place, [{ ...rest, digests: wrong }]), isDamage);
  }
  assert.throws(
    () => takePages(sealed(), place, [{ ...take(0, 512), offsetBytes: 512 }]),
    isDamage,
  );
});

test('a take that reaches past the frame, or another frame than its number, is damage', () => {
  const past = { ...take(0, 512), offsetBytes: 17 * pageBytes };
  assert.throws(() => takePages(sealed(), place, [past]), isDamage);
  assert.throws(() => takePages(sealed(), { ...place, frame: 4 }, [take(0, 512)]), isDamage);
});

test('rows that shrink very well get the fastest level, all others the chosen one', () => {
  assert.equal(planLevel(1, 3), 3);
  assert.equal(planLevel(9.9, 3), 3);
  assert.equal(planLevel(42, 3), 1);
  assert.equal(planLevel(42, -1), -1);
});
