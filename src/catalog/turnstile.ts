import { CairnError } from '../model/errors.ts';

export type TurnstileOptions = { readonly waitersMax: number; readonly timeoutMs: number };

/** Lets one caller in at a time, first come first served; the queue and the wait are bounded. */
export class Turnstile {
  readonly #options: TurnstileOptions;
  readonly #waiters: Array<() => void> = [];
  #isTaken = false;

  constructor(options: TurnstileOptions) {
    this.#options = options;
  }

  /** @throws storage-unavailable when the queue is full or the turn did not come in time */
  async enter(): Promise<void> {
    if (!this.#isTaken) {
      this.#isTaken = true;
      return;
    }
    if (this.#waiters.length >= this.#options.waitersMax) {
      throw busyError(`${this.#waiters.length} callers wait already`);
    }
    const turn = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      const place = this.#waiters.indexOf(turn.resolve);
      if (place < 0) return;
      this.#waiters.splice(place, 1);
      turn.reject(busyError(`no turn within ${this.#options.timeoutMs} ms`));
    }, this.#options.timeoutMs);
    this.#waiters.push(turn.resolve);
    try {
      await turn.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  leave(): void {
    const next = this.#waiters.shift();
    if (next) next();
    else this.#isTaken = false;
  }
}

function busyError(text: string): CairnError {
  return new CairnError('storage-unavailable', `catalog database is busy: ${text}`, {
    hint: 'try again; inside a transaction use only the record sets that it was given',
  });
}
