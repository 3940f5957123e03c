// Tells for positions of the log which moment they stand for. The server is asked for its clock
// first and for the end of its log then; whatever was committed before lies before that position,
// but for one thing: a commit takes its time a moment before its record gets a place in the log.
// That moment has neither disk nor network in it, and is given a second. (PostgreSQL's position up
// to which the log is on disk would not do: a commit waits for the disk after it has taken its
// time, and disks stall for longer.)
import type { LogPosition } from '../model/log-position.ts';
import { compareLogPositions } from '../model/log-position.ts';

const marginMs = 1000;
const pendingMax = 60;

type Moment = { readonly position: LogPosition; readonly at: Date };

export class LogClock {
  readonly #pending: Moment[] = [];
  #provenAt: Date | null = null;

  /** The server's clock stood at `clockAt` before its log was asked for the position. */
  add(position: LogPosition, clockAt: Date): void {
    const at = new Date(clockAt.getTime() - marginMs);
    // While much is caught up with the newest moment takes the place of the one before.
    if (this.#pending.length === pendingMax) this.#pending.pop();
    this.#pending.push({ position, at });
  }

  /** What was committed before it lies before the position; null when nothing is known yet. */
  provenAt(position: LogPosition): Date | null {
    for (;;) {
      const [first] = this.#pending;
      if (!first || compareLogPositions(first.position, position) > 0) return this.#provenAt;
      this.#provenAt = first.at;
      this.#pending.shift();
    }
  }
}
