// The page work that runs in threads: digest and compare pages, seal frames, unseal frames and
// write their pages to files. Pure of pools and messages; `page-thread.ts` calls it.
import { hash } from 'node:crypto';
import { readSync, writeSync } from 'node:fs';
import { releaseMemory } from '../platform/release-memory.ts';
import { damaged, digestBytes } from './format.ts';
import { unsealFrame } from './seal.ts';

/** What a page turned out to be. */
export const pageFates = { hole: 0, same: 1, fresh: 2 } as const;
/** What the previous backup has at the place of a page. */
export const priors = { absent: 0, hole: 1, page: 2 } as const;

/** A run of one file's bytes inside a batch; it begins on a page boundary of the file. */
export type BatchSegment = {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly pageBytes: number;
};

export function countPages(segment: { lengthBytes: number; pageBytes: number }): number {
  return Math.ceil(segment.lengthBytes / segment.pageBytes);
}

/** SHA-256 (FIPS 180-4) of a page, cut to 16 bytes. */
export function digestPage(page: Uint8Array): Uint8Array {
  const digest = Buffer.alloc(digestBytes);
  writeDigest(page, digest, 0);
  return digest;
}

/** A text of one character for each byte costs a quarter less than a buffer for each page. */
function writeDigest(page: Uint8Array, into: Buffer, offset: number): void {
  into.write(hash('sha256', page, 'binary'), offset, digestBytes, 'binary');
}

export type Comparison = { readonly fates: Uint8Array; readonly digests: Uint8Array };

/** Pages of all segments are counted through; priors and their digests are in the same order. */
export function comparePages(
  bytes: Uint8Array,
  segments: readonly BatchSegment[],
  known: { readonly priors: Uint8Array; readonly digests: Uint8Array },
): Comparison {
  const fates = new Uint8Array(known.priors.length);
  const digests = Buffer.alloc(known.priors.length * digestBytes);
  let index = 0;
  for (const segment of segments) {
    const end = segment.offsetBytes + segment.lengthBytes;
    for (let at = segment.offsetBytes; at < end; at += segment.pageBytes) {
      const page = bytes.subarray(at, Math.min(at + segment.pageBytes, end));
      if (!isZero(page)) {
        const offset = index * digestBytes;
        writeDigest(page, digests, offset);
        const same =
          known.priors[index] === priors.page && equalDigests(digests, known.digests, offset);
        fates[index] = same ? pageFates.same : pageFates.fresh;
      }
      index++;
    }
  }
  return { fates, digests };
}

/** One run of pages to take from an unsealed frame; it begins on a page boundary of its file. */
export type PageTake = {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly pageBytes: number;
  readonly digests: Uint8Array;
};

/** The same, to be written into a file. */
export type PageWrite = PageTake & {
  readonly descriptor: number;
  readonly positionBytes: number;
};

/** What is written of one frame, and where it lies in the bytes that were read. */
export type FrameWrites = {
  readonly frame: number;
  readonly startBytes: number;
  readonly endBytes: number;
  readonly writes: readonly PageWrite[];
};

type FramePlace = { readonly name: string; readonly key: Uint8Array; readonly frame: number };

/**
 * Unseals a frame, compares the digest of every page that is taken from it, writes them where they
 * belong.
 * @throws repository-damaged naming the object; ENOSPC and its like as they come
 */
export function writePages(
  sealed: Buffer,
  object: Omit<FramePlace, 'frame'>,
  { frame, startBytes, endBytes, writes }: FrameWrites,
): void {
  const place = { ...object, frame };
  const raw = unsealFrame(sealed.subarray(startBytes, endBytes), place);
  for (const write of writes) {
    checkPages(raw, write, place);
    for (let done = 0; done < write.lengthBytes; ) {
      const at = write.offsetBytes + done;
      const left = write.lengthBytes - done;
      done += writeSync(write.descriptor, raw, at, left, write.positionBytes + done);
    }
  }
  releaseMemory(raw);
}

/** A stretch of a file as it should be; it begins on a page boundary. */
export type ExpectedPages = {
  readonly descriptor: number;
  readonly positionBytes: number;
  readonly lengthBytes: number;
  readonly pageBytes: number;
  readonly digests: Uint8Array;
  /** 1 for each page that is all zero. */
  readonly holes: Uint8Array;
};

const compareBytes = 1024 * 1024;

/**
 * Reads what a file has and answers 1 for each page that must be written to make it as expected.
 * Pages that should be zero and are not are written at once.
 */
export function findDifferences(expected: ExpectedPages): Uint8Array {
  const { descriptor, positionBytes, lengthBytes, pageBytes, digests, holes } = expected;
  const differs = new Uint8Array(holes.length);
  const digest = Buffer.alloc(digestBytes);
  const buffer = Buffer.alloc(Math.ceil(compareBytes / pageBytes) * pageBytes);
  for (let done = 0; done < lengthBytes; done += buffer.byteLength) {
    const wanted = Math.min(buffer.byteLength, lengthBytes - done);
    const found = readFully(descriptor, buffer.subarray(0, wanted), positionBytes + done);
    for (let at = 0; at < wanted; at += pageBytes) {
      const index = (done + at) / pageBytes;
      const page = buffer.subarray(at, Math.min(at + pageBytes, wanted));
      const isThere = at + page.byteLength <= found;
      if (holes[index] === 1) {
        if (isThere && isZero(page)) continue;
        writeSync(descriptor, zeros, 0, page.byteLength, positionBytes + done + at);
      } else {
        writeDigest(page, digest, 0);
        const isSame = isThere && equalDigests(digest, digests, 0, index * digestBytes);
        differs[index] = isSame ? 0 : 1;
      }
    }
  }
  return differs;
}

/** As many bytes as there are, up to the length of the buffer. */
function readFully(descriptor: number, into: Buffer, positionBytes: number): number {
  let done = 0;
  while (done < into.byteLength) {
    const read = readSync(descriptor, into, done, into.byteLength - done, positionBytes + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** Bytes of a frame: all of them, or only what was asked for, one take after another. */
export type TakenPages = { readonly buffer: ArrayBuffer; readonly isWhole: boolean };

/**
 * Unseals a frame and compares the digest of every page that is taken from it. Where the takes are
 * most of the frame they come without another copy. @throws repository-damaged naming the object
 */
export function takePages(
  sealed: Buffer,
  object: FramePlace,
  takes: readonly PageTake[],
): TakenPages {
  const raw = unsealFrame(sealed, object);
  for (const take of takes) checkPages(raw, take, object);
  const takenBytes = takes.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  const { buffer } = raw;
  const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength === raw.byteLength;
  if (isOwn && takenBytes * 2 >= raw.byteLength) return { buffer, isWhole: true };
  const taken = new Uint8Array(takenBytes);
  let done = 0;
  for (const { offsetBytes, lengthBytes } of takes) {
    taken.set(raw.subarray(offsetBytes, offsetBytes + lengthBytes), done);
    done += lengthBytes;
  }
  releaseMemory(raw);
  return { buffer: taken.buffer, isWhole: false };
}

function checkPages(raw: Buffer, take: PageTake, { name, frame }: FramePlace): void {
  const end = take.offsetBytes + take.lengthBytes;
  if (end > raw.byteLength) throw damaged(name, `frame ${frame} is too short`);
  const digest = Buffer.alloc(digestBytes);
  let digestOffset = 0;
  for (let at = take.offsetBytes; at < end; at += take.pageBytes) {
    writeDigest(raw.subarray(at, Math.min(at + take.pageBytes, end)), digest, 0);
    if (!equalDigests(digest, take.digests, 0, digestOffset)) {
      throw damaged(name, `a page of frame ${frame} is not the one in the file map`);
    }
    digestOffset += digestBytes;
  }
}

function equalDigests(a: Uint8Array, b: Uint8Array, offsetA: number, offsetB = offsetA): boolean {
  for (let i = 0; i < digestBytes; i++) if (a[offsetA + i] !== b[offsetB + i]) return false;
  return true;
}

const zeros = Buffer.alloc(64 * 1024);

function isZero(page: Uint8Array): boolean {
  if (page[0] !== 0 || page[page.length - 1] !== 0) return false;
  return zeros.subarray(0, page.byteLength).equals(page);
}
