import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { findBadPage, pageChecksum } from './page-checksum.ts';

const blockSizeBytes = 8192;
const later = { blockSizeBytes, startLsn: 0xffff_ffff_0000_0000n };

/** Pages that look used, the same in every run, as the blocks from `firstBlock` on. */
function makePages(count: number, firstBlock: number): Buffer {
  const bytes = Buffer.alloc(count * blockSizeBytes);
  for (let at = 0; at < bytes.length; at += 32) {
    createHash('sha256').update(`word ${at}`).digest().copy(bytes, at);
  }
  for (let block = 0; block < count; block++) {
    const page = bytes.subarray(block * blockSizeBytes, (block + 1) * blockSizeBytes);
    page.writeUInt32LE(1, 0);
    page.writeUInt32LE(0x100 * (block + 1), 4);
    page.writeUInt16LE(0x80, 14);
    page.writeUInt16LE(pageChecksum(page, firstBlock + block), 8);
  }
  return bytes;
}

describe('the checksum of a page', () => {
  it('is the one that servers write', () => {
    // Computed by the documented algorithm with a program of its own.
    const page = Buffer.alloc(blockSizeBytes, 0xa5);
    assert.equal(pageChecksum(page, 0), slowChecksum(page, 0));
    const used = makePages(1, 131_072 + 5);
    assert.equal(used.readUInt16LE(8), slowChecksum(used, 131_072 + 5));
  });

  it('holds for whole pages, wherever they begin in the relation', () => {
    const bytes = makePages(5, 131_072);
    assert.equal(findBadPage(bytes, 131_072, later), null);
    assert.equal(findBadPage(bytes, 0, later)?.block, 0);
    assert.equal(findBadPage(bytes.subarray(0, -1), 131_072, later), null);
  });

  it('finds every flipped bit and each bad page once', () => {
    const bytes = makePages(4, 0);
    for (const at of [8192 + 16, 8192 + 9, 2 * 8192 - 1]) {
      bytes[at] = (bytes[at] ?? 0) ^ 4;
      assert.equal(findBadPage(bytes, 0, later)?.block, 1);
      assert.equal(findBadPage(bytes, 0, later, 2), null);
      bytes[at] = (bytes[at] ?? 0) ^ 4;
    }
    assert.equal(findBadPage(bytes, 0, later), null);
  });

  it('does not judge new pages and those written since the start', () => {
    const bytes = makePages(3, 0);
    bytes.fill(0, 8192, 2 * 8192);
    bytes[2 * 8192 + 100] = (bytes[2 * 8192 + 100] ?? 0) ^ 1;
    assert.equal(findBadPage(bytes, 0, later)?.block, 2);
    const lsn = 0x1_0000_0300n;
    assert.equal(findBadPage(bytes, 0, { blockSizeBytes, startLsn: lsn }), null);
    assert.equal(findBadPage(bytes, 0, { blockSizeBytes, startLsn: lsn + 1n })?.block, 2);
  });
});

/** Word by word in big integers. */
function slowChecksum(page: Buffer, block: number): number {
  const offsets = [
    ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2],
    ...[0x83e13d2c, 0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c],
    ...[0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979],
    ...[0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e],
    ...[0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
  ];
  const sums = offsets.map(BigInt);
  const step = (sum: bigint, word: bigint): bigint =>
    (((sum ^ word) * 16777619n) & 0xffffffffn) ^ ((sum ^ word) >> 17n);
  for (let at = 0; at < page.length + 256; at += 4) {
    const read = at < page.length ? page.readUInt32LE(at) : 0;
    const word = BigInt(at === 8 ? (read & 0xffff0000) >>> 0 : read);
    const column = (at / 4) % 32;
    sums[column] = step(sums[column] ?? 0n, word);
  }
  const folded = sums.reduce((all, sum) => all ^ sum, 0n) ^ BigInt(block);
  return Number(folded % 65535n) + 1;
}
