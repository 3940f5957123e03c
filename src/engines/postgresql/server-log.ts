// What a server's log says about why it did not start. The restored server logs in English,
// whatever its files say.
import { readTextTail } from '../../platform/text-tail.ts';

const linesMax = 6;

export type StartFailure = { readonly reason: string; readonly hint: string };

const hints: readonly [RegExp, (major: string) => string][] = [
  [
    /could not access file|could not load library/,
    (major) => `install the extension's package for PostgreSQL ${major} on this host`,
  ],
  [
    /lc_messages|lc_monetary|lc_time|locale/,
    () => 'generate the locale of the old server on this host',
  ],
  [
    /shared memory|Cannot allocate memory/,
    () => 'this host has less memory than the old server: lower shared_buffers in the folder',
  ],
  [/could not bind|Address already in use/, () => 'choose another port'],
  [
    /unrecognized configuration parameter/,
    () => 'remove the setting from postgresql.conf in the folder, or install what defines it',
  ],
];

/** The last lines that say FATAL, PANIC or ERROR; without any, the last lines. */
export async function explainStartFailure(path: string, major: string): Promise<StartFailure> {
  const lines = (await readTextTail(path)).split('\n').filter((line) => line.trim() !== '');
  const serious = lines.filter((line) => /\b(FATAL|PANIC|ERROR):/.test(line));
  const shown = (serious.length > 0 ? serious : lines).slice(-linesMax);
  const reason = shown.map(stripPrefix).join('; ') || 'its log is empty';
  const found = hints.find(([pattern]) => pattern.test(lines.slice(-20).join('\n')));
  return { reason, hint: `${found ? `${found[1](major)}; ` : ''}the whole log is ${path}` };
}

function stripPrefix(line: string): string {
  return line.replace(/^.*?\b(FATAL|PANIC|ERROR|LOG|HINT|DETAIL):\s+/, '$1: ').trim();
}
