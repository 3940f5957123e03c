// A bound on what runs at once, over all who share it. First come, first served.
import { untilAborted } from '../platform/deadline.ts';

export class Slots {
  #free: number;
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Answers when there is a slot, with what gives it back. @throws the signal's reason */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return this.#giveBackOnce();
    }
    const turn = Promise.withResolvers<void>();
    this.#waiting.push(turn);
    try {
      await untilAborted(turn.promise, signal);
    } catch (error) {
      const at = this.#waiting.indexOf(turn);
      if (at >= 0) this.#waiting.splice(at, 1);
      // The turn came in the same moment: it is the next one's.
      else this.#giveBack();
      throw error;
    }
    return this.#giveBackOnce();
  }

  #giveBackOnce(): () => void {
    let isGiven = false;
    return () => {
      if (isGiven) return;
      isGiven = true;
      this.#giveBack();
    };
  }

  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next) next.resolve();
    else this.#free++;
  }
}
