import { randomBytes } from 'node:crypto';

/** Randomness, handed in: tests seed it. */
export interface Random {
  bytes(count: number): Buffer;
  /** Twice as many lower-case hex digits as bytes. */
  hex(byteCount: number): string;
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  hex: (byteCount) => randomBytes(byteCount).toString('hex'),
};

/** The source that the id makers of `model/ids.ts` want. */
export function idSource(random: Random): () => string {
  return () => random.hex(16);
}
