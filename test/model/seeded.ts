// Numbers from a seed: the same seed gives the same numbers on every machine.
/** Marsaglia's xorshift with 32 bits (Journal of Statistical Software 8/14, 2003). */
export class Seeded {
  #state: number;

  constructor(seed: number) {
    // A state of zero would stay zero, and neighbouring seeds would begin alike.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1;
    for (let i = 0; i < 8; i++) this.#next();
  }

  /** From 0 up to and without `end`. */
  below(end: number): number {
    return this.#next() % end;
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  pick<T>(from: readonly T[]): T {
    const found = from[this.below(from.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  #next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }
}
