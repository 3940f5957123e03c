// The checksum of a data page (PostgreSQL source, `src/include/storage/checksum_impl.h`): 32
// FNV-1a sums, one per column of 32-bit words, folded with the block number to 16 bits. The header
// of a page (`bufpage.h`): LSN in two halves, checksum at 8, begin of the rows at 14. For servers
// of little-endian machines.
import { assert } from '../../model/assert.ts';

/** Which pages are judged: those that nobody has changed since the backup began. */
export type PageCheck = {
  readonly blockSizeBytes: number;
  /** A page of this LSN or later may be half-written: the log holds it whole. */
  readonly startLsn: bigint;
};

export type PageMismatch = {
  /** Counted from the first byte that was looked at. */
  readonly block: number;
  readonly expected: number;
  readonly found: number;
};

const checksumAt = 8;
const rowsBeginAt = 14;
const prime = 16777619;
const columns = 32;
/** Sums that one pass holds in registers (measured on x86-64: 4 to 8 are equally good). */
const columnsPerPass = 8;

const offsets = new Int32Array([
  ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2],
  ...[0x83e13d2c, 0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c],
  ...[0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979],
  ...[0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e],
  ...[0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
]);

/**
 * The first page at or after `fromBlock` whose checksum is not that of its content; null when there
 * is none. `firstBlock` is the number within the relation of the page that `bytes` begin with; a
 * piece of a page at the end is not looked at.
 */
export function findBadPage(
  bytes: Buffer,
  firstBlock: number,
  check: PageCheck,
  fromBlock = 0,
): PageMismatch | null {
  const { blockSizeBytes } = check;
  const startHigh = Number(check.startLsn >> 32n);
  const startLow = Number(check.startLsn & 0xffffffffn);
  const words = wordsOf(bytes);
  const blockCount = Math.floor(bytes.length / blockSizeBytes);
  for (let block = fromBlock; block < blockCount; block++) {
    const at = block * blockSizeBytes;
    if (bytes.readUInt16LE(at + rowsBeginAt) === 0) continue;
    const high = bytes.readUInt32LE(at);
    const low = bytes.readUInt32LE(at + 4);
    if (high > startHigh || (high === startHigh && low >= startLow)) continue;
    const expected = bytes.readUInt16LE(at + checksumAt);
    const found = checksumOf(words, at / 4, blockSizeBytes / 4, firstBlock + block);
    if (found !== expected) return { block, expected, found };
  }
  return null;
}

/** The checksum that a page must have as block `block` of its relation. */
export function pageChecksum(page: Buffer, block: number): number {
  return checksumOf(wordsOf(page), 0, page.length / 4, block);
}

function checksumOf(words: Int32Array, from: number, length: number, block: number): number {
  const end = from + length;
  const checksumWord = from + checksumAt / 4;
  const headerWord = words[checksumWord] ?? 0;
  // The checksum itself counts as zero.
  words[checksumWord] = headerWord & ~0xffff;
  let sum = 0;
  for (let column = 0; column < columns; column += columnsPerPass) {
    sum ^= sumColumns(words, from + column, end, column);
  }
  words[checksumWord] = headerWord;
  return (((sum ^ block) >>> 0) % 65535) + 1;
}

/** Runs down eight neighbouring columns, and two rows of zeros at the end. */
function sumColumns(words: Int32Array, from: number, end: number, column: number): number {
  let a = offsets[column] as number;
  let b = offsets[column + 1] as number;
  let c = offsets[column + 2] as number;
  let d = offsets[column + 3] as number;
  let e = offsets[column + 4] as number;
  let f = offsets[column + 5] as number;
  let g = offsets[column + 6] as number;
  let h = offsets[column + 7] as number;
  for (let at = from; at < end; at += columns) {
    a = mix(a ^ (words[at] as number));
    b = mix(b ^ (words[at + 1] as number));
    c = mix(c ^ (words[at + 2] as number));
    d = mix(d ^ (words[at + 3] as number));
    e = mix(e ^ (words[at + 4] as number));
    f = mix(f ^ (words[at + 5] as number));
    g = mix(g ^ (words[at + 6] as number));
    h = mix(h ^ (words[at + 7] as number));
  }
  let sum = 0;
  for (const value of [a, b, c, d, e, f, g, h]) sum ^= mix(mix(value));
  return sum;
}

function mix(value: number): number {
  return Math.imul(value, prime) ^ (value >>> 17);
}

function wordsOf(bytes: Buffer): Int32Array {
  assert(bytes.byteOffset % 4 === 0, 'pages lie at an odd place in memory');
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}
