// The format of a file of which the server sends changed blocks only (PostgreSQL's source,
// `src/backend/backup/basebackup_incremental.c`; what becomes of it: `src/bin/pg_combinebackup/
// reconstruct.c`). Its name has the prefix `INCREMENTAL.`. All numbers are of 32 bits, in the byte
// order of the server:
//
//   magic · block count · truncation length in blocks · the blocks' numbers, ascending
//   zeros up to a multiple of the block size, when there are blocks · the blocks
//
// The file is as long as the truncation length, or up to its last block. A block that was not sent
// is the one of the previous backup when it lies before the truncation length and the previous file
// has it; otherwise nothing was ever written to it, and it is zeros.
import { CairnError } from '../../model/errors.ts';

export type IncrementHeader = {
  /** Of the header itself, with the zeros behind it. */
  readonly lengthBytes: number;
  readonly truncationBlocks: number;
  /** Ascending. */
  readonly blocks: readonly number[];
};

/** What follows in the file, in order. */
export type IncrementStep = {
  readonly kind: 'keep' | 'zero' | 'send';
  readonly sizeBytes: number;
};

export type IncrementPlan = {
  readonly sizeBytes: number;
  readonly steps: readonly IncrementStep[];
};

const magic = 0xd3ae1f0d;
const wordBytes = 4;
/** Magic and the two lengths. */
export const fixedHeaderBytes = 3 * wordBytes;
/** Files of relations lie in these folders. */
const incrementPath = /^((?:global|base\/\d+|pg_tblspc\/\d+\/[^/]+\/\d+)\/)INCREMENTAL\.(\d[^/]*)$/;

/** The path of the file that an increment is of; null for a file that is sent whole. */
export function toWholePath(path: string): string | null {
  const match = incrementPath.exec(path);
  return match ? `${match[1]}${match[2]}` : null;
}

/** `bytes`: at least the first three numbers. @throws engine-refused */
export function headerLength(bytes: Buffer, blockSizeBytes: number, path: string): number {
  const read = wordReader(bytes, path);
  const count = read(1);
  const lengthBytes = fixedHeaderBytes + count * wordBytes;
  return count === 0 ? lengthBytes : Math.ceil(lengthBytes / blockSizeBytes) * blockSizeBytes;
}

/** `bytes`: the whole header. @throws engine-refused */
export function parseIncrementHeader(bytes: Buffer, path: string): IncrementHeader {
  const read = wordReader(bytes, path);
  const count = read(1);
  const blocks = Array.from({ length: count }, (_, index) => read(3 + index));
  for (const [index, block] of blocks.entries()) {
    if (block <= (blocks[index - 1] ?? -1)) throw unusable(path, 'its blocks are out of order');
  }
  return { lengthBytes: bytes.length, truncationBlocks: read(2), blocks };
}

/** `previousBytes`: the size of the file in the previous backup. */
export function planIncrement(
  { blocks, truncationBlocks }: IncrementHeader,
  { blockSizeBytes, previousBytes }: { blockSizeBytes: number; previousBytes: number },
): IncrementPlan {
  const keptEnd = Math.min(truncationBlocks, Math.floor(previousBytes / blockSizeBytes));
  const steps: (IncrementStep & { sizeBytes: number })[] = [];
  const add = (kind: IncrementStep['kind'], blockCount: number): void => {
    if (blockCount <= 0) return;
    const sizeBytes = blockCount * blockSizeBytes;
    const last = steps.at(-1);
    if (last?.kind === kind) last.sizeBytes += sizeBytes;
    else steps.push({ kind, sizeBytes });
  };
  let at = 0;
  const fillTo = (end: number): void => {
    add('keep', Math.min(end, keptEnd) - at);
    add('zero', end - Math.max(at, keptEnd));
    at = Math.max(at, end);
  };
  for (const block of blocks) {
    fillTo(block);
    add('send', 1);
    at = block + 1;
  }
  fillTo(truncationBlocks);
  return { sizeBytes: at * blockSizeBytes, steps };
}

/** Numbers by their place; the magic tells the order of their bytes. */
function wordReader(bytes: Buffer, path: string): (index: number) => number {
  if (bytes.readUInt32LE(0) === magic) return (index) => bytes.readUInt32LE(index * wordBytes);
  if (bytes.readUInt32BE(0) === magic) return (index) => bytes.readUInt32BE(index * wordBytes);
  throw unusable(path, 'it does not begin as one');
}

export function unusable(path: string, why: string): CairnError {
  return new CairnError('engine-refused', `the server's increment of ${path} is unusable: ${why}`, {
    hint: 'the next backup must be a whole one: take it again',
  });
}
