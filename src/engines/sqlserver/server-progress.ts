import type { SqlInfo } from './session.ts';

/** "n percent processed.", which `STATS` asks for. */
const progressMessage = 3211;

/**
 * How far a backup or a restore is, from 0 to 1; null: the server says something else. The text may
 * be in any language: a number comes first in all of them that have one.
 */
export function readProgress({ number, text }: SqlInfo): number | null {
  if (number !== progressMessage) return null;
  return Math.min(1, Number(/\d{1,3}/.exec(text)?.[0] ?? 0) / 100);
}
