// The bound of the writer's queues: what entered and has not left may not exceed a number. Who
// would go over it is given a promise to wait for; a failure anywhere reaches everyone who waits or
// asks.
export class FlowGate {
  readonly #limit: number;
  #inside = 0;
  #failure: Error | null = null;
  #waiting: Array<PromiseWithResolvers<void>> = [];
  #empty: PromiseWithResolvers<void> | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  enter(): void {
    this.#inside++;
  }

  leave(): void {
    this.#inside--;
    if (this.#inside <= this.#limit) this.#release();
    if (this.#inside === 0) this.#empty?.resolve();
  }

  /** The first failure counts. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#release();
    this.#empty?.resolve();
  }

  throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Undefined when there is room. */
  room(): undefined | Promise<void> {
    this.throwIfFailed();
    if (this.#inside <= this.#limit) return undefined;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    // Whoever asked may be gone when the failure comes, and that must not end the process.
    waiting.promise.catch(() => undefined);
    return waiting.promise;
  }

  /** Answers when everything has left. @throws the first failure */
  async drained(): Promise<void> {
    if (this.#inside > 0 && !this.#failure) {
      this.#empty = Promise.withResolvers<void>();
      await this.#empty.promise;
    }
    this.throwIfFailed();
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve, reject } of waiting) {
      if (this.#failure) reject(this.#failure);
      else resolve();
    }
  }
}

/**
 * Page-sized buffers go round between the main thread and the page threads instead of being made
 * anew.
 */
export class BufferShelf {
  readonly #sizeBytes: number;
  readonly #free: ArrayBuffer[] = [];

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  take(): ArrayBuffer {
    return this.#free.pop() ?? new ArrayBuffer(this.#sizeBytes);
  }

  giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength === this.#sizeBytes) this.#free.push(buffer);
  }
}
