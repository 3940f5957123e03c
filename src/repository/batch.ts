// Cuts the pushed bytes of files into batches for the page threads: up to 1 MiB of whole pages of
// one or several files, side by side. The one copy of the hot path happens here: from the socket's
// buffer into the batch. Pages that are kept from the previous backup take part in the order, and
// have no bytes. Where another file comes in between, the page that a file is in the middle of
// leaves the batch and comes again, in front, when the file goes on.
import { assert } from '../model/assert.ts';
import type { BufferShelf } from './flow-gate.ts';
import { frameRawBytesMax, partPagesMax } from './format.ts';
import type { BatchSegment } from './pages.ts';

export type FileSegment<File> = BatchSegment & {
  /**
   * The bytes of what is kept are not in the batch: its offset means nothing. A head is the first
   * page of a file that has ended, instead of what was written there.
   */
  readonly kind: 'written' | 'kept' | 'head';
  readonly file: File;
  readonly firstPage: number;
  /** No more pages of this file follow. Only such a segment may have no page. */
  readonly last: boolean;
};

export type Batch<File> = {
  readonly buffer: ArrayBuffer;
  readonly lengthBytes: number;
  readonly segments: readonly FileSegment<File>[];
};

/** Where a file stands on its way into the batches. */
export type FileCursor<File> = {
  readonly file: File;
  readonly pageBytes: number;
  /** Null as long as nobody knows. */
  sizeBytes: number | null;
  /** Written and kept. */
  doneBytes: number;
  /** The last of them, when they are no whole page and wait for the others. */
  waiting: Uint8Array | null;
};

/** A bound for what kept pages need until they are settled: the maps of some 64 MiB of file. */
const keptPagesMax = partPagesMax;

type Growing<File> = { -readonly [Key in keyof FileSegment<File>]: FileSegment<File>[Key] };

export class Batcher<File> {
  readonly #shelf: BufferShelf;
  readonly #emit: (batch: Batch<File>) => void;
  #bytes: Uint8Array<ArrayBuffer>;
  #used = 0;
  #keptPages = 0;
  #segments: Growing<File>[] = [];
  /** The last one, as long as bytes are added to it, and whose it is. */
  #segment: Growing<File> | null = null;
  #cursor: FileCursor<File> | null = null;
  #segmentLimit = 0;

  constructor(shelf: BufferShelf, emit: (batch: Batch<File>) => void) {
    this.#shelf = shelf;
    this.#emit = emit;
    this.#bytes = new Uint8Array(shelf.take());
  }

  beginFile(file: File, pageBytes: number, sizeBytes: number | null): FileCursor<File> {
    return { file, pageBytes, sizeBytes, doneBytes: 0, waiting: null };
  }

  write(cursor: FileCursor<File>, bytes: Uint8Array): void {
    const { sizeBytes } = cursor;
    const isAnnounced = sizeBytes === null || cursor.doneBytes + bytes.byteLength <= sizeBytes;
    assert(isAnnounced, 'a file has more bytes than announced');
    if (this.#cursor !== cursor) this.#interrupt();
    let done = 0;
    while (done < bytes.byteLength) {
      const segment = this.#segment ?? this.#beginSegment(cursor);
      const count = Math.min(bytes.byteLength - done, this.#segmentLimit - segment.lengthBytes);
      const whole = done === 0 && count === bytes.byteLength;
      this.#bytes.set(whole ? bytes : bytes.subarray(done, done + count), this.#used);
      this.#used += count;
      cursor.doneBytes += count;
      segment.lengthBytes += count;
      done += count;
      if (segment.lengthBytes === this.#segmentLimit) this.#endSegment();
    }
  }

  /** Whole pages, or up to the end of the file. */
  keep(cursor: FileCursor<File>, sizeBytes: number): void {
    const { file, pageBytes, sizeBytes: fileBytes } = cursor;
    const end = cursor.doneBytes + sizeBytes;
    assert(fileBytes !== null && end <= fileBytes, 'a file has more bytes than announced');
    const isWhole = (at: number): boolean => at % pageBytes === 0 || at === fileBytes;
    assert(isWhole(cursor.doneBytes) && isWhole(end), 'a page is kept in part');
    this.#interrupt();
    while (cursor.doneBytes < end) {
      const firstPage = cursor.doneBytes / pageBytes;
      const pagesToBorder = partPagesMax - (firstPage % partPagesMax);
      const lengthBytes = Math.min(end - cursor.doneBytes, pagesToBorder * pageBytes);
      cursor.doneBytes += lengthBytes;
      const last = cursor.doneBytes === fileBytes;
      const rest = { kind: 'kept', offsetBytes: 0, last } as const;
      this.#segments.push({ file, firstPage, lengthBytes, pageBytes, ...rest });
      this.#keptPages += Math.ceil(lengthBytes / pageBytes);
      if (this.#keptPages >= keptPagesMax) this.flush();
    }
  }

  endFile(cursor: FileCursor<File>): void {
    const { sizeBytes, doneBytes } = cursor;
    const isWhole = sizeBytes === null || doneBytes === sizeBytes;
    assert(isWhole, 'a file has fewer bytes than announced');
    if (sizeBytes !== null) return;
    cursor.sizeBytes = doneBytes;
    if (this.#cursor !== cursor) this.#interrupt();
    if (cursor.waiting) this.#beginSegment(cursor);
    if (this.#segment) this.#endSegment();
    else if (doneBytes > 0) this.#segments.push({ ...this.#nextSegment(cursor), last: true });
  }

  /** Of a file that has ended: its first page, or all of it, is that after all. */
  rewriteHead(cursor: FileCursor<File>, bytes: Uint8Array): void {
    this.#interrupt();
    if (frameRawBytesMax - this.#used < bytes.byteLength) this.flush();
    const segment = { ...this.#nextSegment(cursor), kind: 'head', firstPage: 0 } as const;
    this.#segments.push({ ...segment, lengthBytes: bytes.byteLength });
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.byteLength;
    if (this.#used === frameRawBytesMax) this.flush();
  }

  /** Hands out what is left. */
  flush(): void {
    if (this.#segments.length === 0) return;
    const buffer = this.#bytes.buffer;
    this.#emit({ buffer, lengthBytes: this.#used, segments: this.#segments });
    this.#bytes = new Uint8Array(this.#shelf.take());
    this.#used = 0;
    this.#keptPages = 0;
    this.#segments = [];
  }

  /** A segment ends at the batch's last whole page, at a part's border or with the file. */
  #beginSegment(cursor: FileCursor<File>): Growing<File> {
    const { pageBytes, sizeBytes, waiting } = cursor;
    const startBytes = cursor.doneBytes - (waiting?.byteLength ?? 0);
    const leftInFile = sizeBytes === null ? Infinity : sizeBytes - startBytes;
    if (frameRawBytesMax - this.#used < Math.min(pageBytes, leftInFile)) this.flush();
    const segment = this.#nextSegment(cursor);
    const pagesToBorder = partPagesMax - (segment.firstPage % partPagesMax);
    const room = frameRawBytesMax - this.#used;
    const wholePages = Math.floor(room / pageBytes) * pageBytes;
    const fits = leftInFile <= room ? leftInFile : wholePages;
    this.#segmentLimit = Math.min(fits, leftInFile, pagesToBorder * pageBytes);
    this.#segments.push(segment);
    this.#segment = segment;
    this.#cursor = cursor;
    if (waiting) this.#resume(cursor, segment, waiting);
    return segment;
  }

  #nextSegment({ file, pageBytes, doneBytes, waiting }: FileCursor<File>): Growing<File> {
    const firstPage = (doneBytes - (waiting?.byteLength ?? 0)) / pageBytes;
    const rest = { kind: 'written', lengthBytes: 0, last: false } as const;
    return { file, pageBytes, firstPage, offsetBytes: this.#used, ...rest };
  }

  #resume(cursor: FileCursor<File>, segment: Growing<File>, waiting: Uint8Array): void {
    this.#bytes.set(waiting, this.#used);
    this.#used += waiting.byteLength;
    segment.lengthBytes = waiting.byteLength;
    cursor.waiting = null;
  }

  /** The segment ends at the last whole page that its file has got so far. */
  #interrupt(): void {
    const segment = this.#segment;
    const cursor = this.#cursor;
    if (!segment || !cursor) return;
    const waitingBytes = segment.lengthBytes % cursor.pageBytes;
    if (waitingBytes > 0) {
      this.#used -= waitingBytes;
      segment.lengthBytes -= waitingBytes;
      cursor.waiting = this.#bytes.slice(this.#used, this.#used + waitingBytes);
    }
    if (segment.lengthBytes === 0) this.#segments.pop();
    this.#segment = null;
    this.#cursor = null;
  }

  #endSegment(): void {
    if (!this.#segment || !this.#cursor) return;
    this.#segment.last = this.#cursor.doneBytes === this.#cursor.sizeBytes;
    this.#segment = null;
    this.#cursor = null;
    if (this.#used === frameRawBytesMax) this.flush();
  }
}
