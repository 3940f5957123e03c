import { setTimeout as delay } from 'node:timers/promises';

/** Time, handed in: tests turn it by hand. */
export interface Clock {
  now(): Date;
  /** Milliseconds that only ever grow; for spans, never for dates. */
  monotonicMs(): number;
  /** Rejects with the signal's reason when it fires first. */
  sleep(spanMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(spanMs, signal) {
    try {
      await delay(spanMs, undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
