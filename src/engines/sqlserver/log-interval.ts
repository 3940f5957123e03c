// How often the log of a server is backed up: `logBackupSeconds` of its connection.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';

const usualSeconds = 60;
const limits = { min: 10, max: 3600 } as const;

/** For the options of a connection: nothing where it is not given. @throws invalid */
export function parseLogInterval(text: string | undefined): Readonly<Record<string, string>> {
  if (text === undefined) return {};
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (seconds >= limits.min && seconds <= limits.max) return { logBackupSeconds: `${seconds}` };
  throw new CairnError('invalid', `logBackupSeconds=${text} is out of range`, {
    hint: `from ${limits.min} to ${limits.max}; ${usualSeconds} where it is left out`,
  });
}

export function logIntervalMs({ options = {} }: Connection): number {
  return Number(options['logBackupSeconds'] ?? usualSeconds) * 1000;
}
