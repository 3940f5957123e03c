const firstMs = 1_000;
const longestMs = 60_000;

/** How long to rest after so many failures in a row; `spread` from 0 to 1 keeps many apart. */
export function planBackOffMs(failuresInRow: number, spread: number): number {
  const doubled = firstMs * 2 ** Math.min(failuresInRow - 1, 16);
  return Math.min(doubled, longestMs) * (0.75 + spread / 2);
}
