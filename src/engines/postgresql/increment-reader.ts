// Reads one increment as it comes, in pieces cut anywhere, and says what the whole file is made of,
// in order.
import type { IncrementPlan, IncrementStep } from './increment-file.ts';
import {
  fixedHeaderBytes,
  headerLength,
  parseIncrementHeader,
  planIncrement,
  unusable,
} from './increment-file.ts';

export interface IncrementHandler {
  /** The size of the whole file, and whether it is the previous one as it stands. */
  begin(sizeBytes: number, isUnchanged: boolean): void;
  keep(sizeBytes: number): undefined | Promise<void>;
  write(bytes: Buffer): undefined | Promise<void>;
}

type Options = {
  /** Of the whole file. */
  readonly path: string;
  /** Of the increment as it was announced. */
  readonly sentBytes: number;
  /** Of the file in the previous backup. */
  readonly previousBytes: number;
  readonly blockSizeBytes: number;
};

const zeros = Buffer.alloc(1024 * 1024);

export class IncrementReader {
  readonly #options: Options;
  readonly #handler: IncrementHandler;
  #header = Buffer.alloc(0);
  #headerBytes = fixedHeaderBytes;
  /** Null until the header is whole. */
  #steps: readonly IncrementStep[] | null = null;
  #step = 0;
  /** Of the current step. */
  #doneBytes = 0;

  constructor(options: Options, handler: IncrementHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** Call again only after a returned promise has resolved. @throws engine-refused */
  push(bytes: Buffer, from = 0): undefined | Promise<void> {
    let at = this.#steps === null ? from + this.#takeHeader(bytes.subarray(from)) : from;
    for (let step = this.#current; step !== null; step = this.#current) {
      const isSent = step.kind === 'send';
      if (isSent && at === bytes.length) return undefined;
      const left = step.sizeBytes - this.#doneBytes;
      const piece = (isSent ? bytes.subarray(at) : zeros).subarray(0, left);
      const count = step.kind === 'keep' ? left : piece.length;
      this.#doneBytes += count;
      if (isSent) at += count;
      const wait = step.kind === 'keep' ? this.#handler.keep(left) : this.#handler.write(piece);
      const next = at;
      if (wait) return wait.then(() => this.push(bytes, next));
    }
    if (this.#steps !== null && at < bytes.length) throw this.#unusable('it has too many bytes');
    return undefined;
  }

  /** @throws engine-refused when the increment is cut off */
  end(): void {
    if (this.#steps === null || this.#current !== null) throw this.#unusable('it is cut off');
  }

  /** What is not yet done; null when nothing is left, or nothing is known. */
  get #current(): IncrementStep | null {
    const step = this.#steps?.[this.#step] ?? null;
    if (step === null || this.#doneBytes < step.sizeBytes) return step;
    this.#step++;
    this.#doneBytes = 0;
    return this.#steps?.[this.#step] ?? null;
  }

  /** Answers how many bytes belong to the header. */
  #takeHeader(bytes: Buffer): number {
    const { blockSizeBytes, path } = this.#options;
    let taken = 0;
    while (this.#header.length < this.#headerBytes) {
      if (taken === bytes.length) return taken;
      const piece = bytes.subarray(taken, taken + this.#headerBytes - this.#header.length);
      this.#header = Buffer.concat([this.#header, piece]);
      taken += piece.length;
      if (this.#header.length < fixedHeaderBytes) return taken;
      this.#headerBytes = headerLength(this.#header, blockSizeBytes, path);
      if (this.#headerBytes > this.#options.sentBytes) throw this.#unusable('it is too short');
    }
    this.#begin(parseIncrementHeader(this.#header, path));
    return taken;
  }

  #begin(header: ReturnType<typeof parseIncrementHeader>): void {
    const { sentBytes, previousBytes, blockSizeBytes } = this.#options;
    const blockCount = header.blocks.length;
    if (header.lengthBytes + blockCount * blockSizeBytes !== sentBytes) {
      throw this.#unusable('its size is not that of its blocks');
    }
    const plan: IncrementPlan = planIncrement(header, { blockSizeBytes, previousBytes });
    this.#steps = plan.steps;
    this.#handler.begin(plan.sizeBytes, blockCount === 0 && plan.sizeBytes === previousBytes);
  }

  #unusable(why: string): Error {
    return unusable(this.#options.path, why);
  }
}
