// Cuts the pushed bytes of files into batches for the page threads: up to 1 MiB of whole pages of
// one or several files, side by side. The one copy of the hot path happens here: from the socket's
// buffer into the batch. Pages that are kept from the previous backup take part in the order, and
// have no bytes.
import { assert } from '../model/assert.ts';
import type { BufferShelf } from './flow-gate.ts';
import { frameRawBytesMax, partPagesMax } from './format.ts';
import type { BatchSegment } from './pages.ts';

export type FileSegment<File> = BatchSegment & {
  /** The bytes of what is kept are not in the batch: its offset means nothing. */
  readonly kind: 'written' | 'kept';
  readonly file: File;
  readonly firstPage: number;
  /** No more pages of this file follow. */
  readonly last: boolean;
};

export type Batch<File> = {
  readonly buffer: ArrayBuffer;
  readonly lengthBytes: number;
  readonly segments: readonly FileSegment<File>[];
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
  #file: { readonly file: File; readonly pageBytes: number; readonly sizeBytes: number } | null =
    null;
  #fileBytes = 0;
  #segment: Growing<File> | null = null;
  #segmentLimit = 0;

  constructor(shelf: BufferShelf, emit: (batch: Batch<File>) => void) {
    this.#shelf = shelf;
    this.#emit = emit;
    this.#bytes = new Uint8Array(shelf.take());
  }

  beginFile(file: File, pageBytes: number, sizeBytes: number): void {
    assert(this.#file === null, 'a file begins inside another');
    this.#file = { file, pageBytes, sizeBytes };
    this.#fileBytes = 0;
  }

  write(bytes: Uint8Array): void {
    assert(this.#file, 'bytes belong to no file');
    assert(
      this.#fileBytes + bytes.byteLength <= this.#file.sizeBytes,
      'a file has more bytes than announced',
    );
    let done = 0;
    while (done < bytes.byteLength) {
      const segment = this.#segment ?? this.#beginSegment();
      const count = Math.min(bytes.byteLength - done, this.#segmentLimit - segment.lengthBytes);
      const whole = done === 0 && count === bytes.byteLength;
      this.#bytes.set(whole ? bytes : bytes.subarray(done, done + count), this.#used);
      this.#used += count;
      this.#fileBytes += count;
      segment.lengthBytes += count;
      done += count;
      if (segment.lengthBytes === this.#segmentLimit) this.#endSegment();
    }
  }

  /** Of the file that is open, written and kept. */
  get doneBytes(): number {
    return this.#fileBytes;
  }

  /** Whole pages, or up to the end of the file. */
  keep(sizeBytes: number): void {
    assert(this.#file, 'bytes belong to no file');
    const { file, pageBytes, sizeBytes: fileBytes } = this.#file;
    const end = this.#fileBytes + sizeBytes;
    assert(end <= fileBytes, 'a file has more bytes than announced');
    const isWhole = (at: number): boolean => at % pageBytes === 0 || at === fileBytes;
    assert(isWhole(this.#fileBytes) && isWhole(end), 'a page is kept in part');
    this.#endSegment();
    while (this.#fileBytes < end) {
      const firstPage = this.#fileBytes / pageBytes;
      const pagesToBorder = partPagesMax - (firstPage % partPagesMax);
      const lengthBytes = Math.min(end - this.#fileBytes, pagesToBorder * pageBytes);
      this.#fileBytes += lengthBytes;
      const last = this.#fileBytes === fileBytes;
      const rest = { kind: 'kept', offsetBytes: 0, last } as const;
      this.#segments.push({ file, firstPage, lengthBytes, pageBytes, ...rest });
      this.#keptPages += Math.ceil(lengthBytes / pageBytes);
      if (this.#keptPages >= keptPagesMax) this.flush();
    }
  }

  endFile(): void {
    assert(this.#file, 'no file to end');
    assert(this.#fileBytes === this.#file.sizeBytes, 'a file has fewer bytes than announced');
    this.#file = null;
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
  #beginSegment(): Growing<File> {
    assert(this.#file, 'bytes belong to no file');
    const { file, pageBytes, sizeBytes } = this.#file;
    const leftInFile = sizeBytes - this.#fileBytes;
    const smallest = Math.min(pageBytes, leftInFile);
    if (frameRawBytesMax - this.#used < smallest) this.flush();
    const firstPage = this.#fileBytes / pageBytes;
    const pagesToBorder = partPagesMax - (firstPage % partPagesMax);
    const room = frameRawBytesMax - this.#used;
    const wholePages = Math.floor(room / pageBytes) * pageBytes;
    const fits = leftInFile <= room ? leftInFile : wholePages;
    this.#segmentLimit = Math.min(fits, leftInFile, pagesToBorder * pageBytes);
    const offsetBytes = this.#used;
    const segment: Growing<File> = {
      ...{ kind: 'written', file, firstPage, offsetBytes, lengthBytes: 0, pageBytes, last: false },
    };
    this.#segments.push(segment);
    this.#segment = segment;
    return segment;
  }

  #endSegment(): void {
    if (!this.#segment || !this.#file) return;
    this.#segment.last = this.#fileBytes === this.#file.sizeBytes;
    this.#segment = null;
    if (this.#used === frameRawBytesMax) this.flush();
  }
}
