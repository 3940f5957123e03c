// A password hash takes 32 MiB and a core for a tenth of a second: a flood of logins must neither
// eat the memory nor keep backups and the catalog from the thread pool.
import { CairnError } from '../../model/errors.ts';

const runningMax = 2;
const waitingMax = 40;

export class HashQueue {
  readonly #waiting: Array<() => void> = [];
  #running = 0;

  /** @throws conflict when too many wait already */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= runningMax) await this.#wait();
    else this.#running++;
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody gets in between.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  async #wait(): Promise<void> {
    if (this.#waiting.length >= waitingMax) {
      throw new CairnError('conflict', 'too many logins are being checked', {
        reason: 'logins-saturated',
        hint: 'try again in a few seconds, and keep the token: it lives for 24 hours',
      });
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
