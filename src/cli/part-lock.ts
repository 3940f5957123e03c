// One command at a time writes `FILE.part`: two would truncate and mix each other's bytes. The lock
// is a file that names its holder, so that what a killed command left behind holds nobody up.
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { CairnError } from '../model/errors.ts';

/** How often a lock that nobody holds is cleared away before we give up against others. */
const attemptsMax = 5;

type Holder = { readonly host: string; readonly pid: number; readonly started: string | null };

/**
 * Holds `PART.lock` until it is disposed of. A lock whose process has ended is taken over.
 * @throws conflict while another process holds it, or may; what the file system says
 */
export async function lockPart(partPath: string): Promise<AsyncDisposable> {
  const path = `${partPath}.lock`;
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    if (await createLock(path)) return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
    await clearStale(path);
  }
  throw heldError(path, 'other commands');
}

async function createLock(path: string): Promise<boolean> {
  const file = await open(path, 'wx', 0o600).catch(unless('EEXIST'));
  if (file === null) return false;
  try {
    await using _closed = file;
    const started = await readStart(process.pid);
    const holder: Holder = { host: hostname(), pid: process.pid, started };
    await file.writeFile(JSON.stringify(holder));
    return true;
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** @throws conflict when the holder lives, or nobody can say */
async function clearStale(path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(unless('ENOENT'));
  if (text === null) return;
  const holder = parseHolder(text);
  if (holder === null) throw heldError(path, 'another command, it does not say which');
  if (holder.host !== hostname()) throw heldError(path, `process ${holder.pid} on ${holder.host}`);
  if (await isAlive(holder)) throw heldError(path, `process ${holder.pid}`);
  await takeAway(path, text);
}

/** Moved, not removed: another command may have found the same, and hold a lock of its own now. */
async function takeAway(path: string, staleText: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  if ((await rename(path, aside).catch(unless('ENOENT'))) === null) return;
  if ((await readFile(aside, 'utf8')) !== staleText)
    await link(aside, path).catch(unless('EEXIST'));
  await rm(aside, { force: true });
}

async function isAlive({ pid, started }: Holder): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return false;
  }
  const now = await readStart(pid);
  return now === null || started === null || now === started;
}

/**
 * When the process began, in ticks since the start of the machine: its number may be another's by
 * now. Null where there is no /proc. Field 22 of proc_pid_stat(5); the second holds any character.
 */
async function readStart(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function parseHolder(text: string): Holder | null {
  try {
    const { host, pid, started }: Partial<Record<keyof Holder, unknown>> = JSON.parse(text);
    if (typeof host !== 'string' || typeof pid !== 'number') return null;
    if (!Number.isSafeInteger(pid) || pid < 1) return null;
    return { host, pid, started: typeof started === 'string' ? started : null };
  } catch {
    return null;
  }
}

function heldError(path: string, who: string): CairnError {
  return new CairnError('conflict', `the same file is being downloaded by ${who}`, {
    hint: `wait for it, or name another file with --to; if none runs, remove ${path}`,
  });
}

/** For `catch`: null for that code. @throws everything else */
function unless(code: string): (error: unknown) => null {
  return (error) => {
    if (hasCode(error, code)) return null;
    throw error;
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
