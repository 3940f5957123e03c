// A bound on work that takes much memory: so many run, so many wait, all others are refused.

export type GateLimits = {
  readonly runningMax: number;
  readonly waitingMax: number;
  /** What is thrown to those who find the queue full, or wait in vain. */
  readonly refusal: () => Error;
};

export class Gate {
  readonly #limits: GateLimits;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /**
   * Runs the work when its turn comes, in the order of the calls. `waitSignal` ends the waiting,
   * not the work. @throws the refusal, what the work throws
   */
  async run<T>(work: () => Promise<T>, waitSignal?: AbortSignal): Promise<T> {
    if (this.#running >= this.#limits.runningMax) await this.#wait(waitSignal);
    else this.#running++;
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody gets in between.
      const [next] = this.#waiting;
      if (next) next();
      else this.#running--;
    }
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const { waitingMax, refusal } = this.#limits;
    if (this.#waiting.size >= waitingMax || signal?.aborted) throw refusal();
    const turn = Promise.withResolvers<void>();
    const enter = (): void => {
      this.#waiting.delete(enter);
      turn.resolve();
    };
    const leave = (): void => {
      if (this.#waiting.delete(enter)) turn.reject(refusal());
    };
    this.#waiting.add(enter);
    signal?.addEventListener('abort', leave, { once: true });
    await turn.promise.finally(() => signal?.removeEventListener('abort', leave));
  }
}
