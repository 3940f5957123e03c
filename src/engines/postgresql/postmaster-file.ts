// `postmaster.pid` tells who runs on a data folder (PostgreSQL documentation, chapter "Database
// Physical Storage", "Database File Layout"). It outlives a crash, so a pid counts only when that
// process works in the data folder.
import { readFile, readlink, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../platform/child-process.ts';
import { isAlive } from '../../platform/server-process.ts';

export type Postmaster = {
  readonly pid: number;
  readonly socketDir: string;
};

/** The eighth: the others say where it is reached and what memory it shares. */
const statusLine = 7;

/** The server that runs on the folder now; null when there is none. */
export async function findPostmaster(dataDir: string): Promise<Postmaster | null> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pidText = '', folder = '', , , socketDir = ''] = text.split('\n');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 1 || !isAlive(pid)) return null;
  if (!(await isSameFolder(folder, dataDir))) return null;
  return (await worksIn(pid, dataDir)) ? { pid, socketDir } : null;
}

/**
 * What the server says of itself: `starting` also while it recovers, `ready` when it takes queries;
 * null when it has said nothing yet.
 */
export async function readStatus(dataDir: string): Promise<string | null> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  return text.split('\n')[statusLine]?.trim() || null;
}

async function isSameFolder(one: string, other: string): Promise<boolean> {
  const resolve = (path: string): Promise<string> => realpath(path).catch(() => path);
  return (await resolve(one)) === (await resolve(other));
}

async function names(pid: number, dataDir: string): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.split('\0').includes(dataDir);
}

/** A postmaster's working directory is its data folder. */
async function worksIn(pid: number, dataDir: string): Promise<boolean> {
  try {
    return await isSameFolder(await readlink(`/proc/${pid}/cwd`), dataDir);
  } catch (error) {
    // Root in a container may not look at where others' processes work, but at their arguments.
    if (process.platform === 'linux') return await names(pid, dataDir);
    const args = ['-o', 'command=', '-p', String(pid)];
    const result = await runCommand('ps', args, { timeoutMs: 5000 }).catch(() => null);
    return result?.stdout.includes(dataDir) ?? Promise.reject(error);
  }
}
