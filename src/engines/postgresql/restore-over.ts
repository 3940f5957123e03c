// A restore over a data folder that is there: what is not in the backup is removed, the rest is
// compared by the caller. A mode of its own, asked for by name: a plain restore takes new and empty
// folders only.
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { PlannedEntries } from '../../platform/clear-folder.ts';
import { clearFolder } from '../../platform/clear-folder.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import { findPostmaster } from './postmaster-file.ts';
import type { RestorePlan } from './restore-plan.ts';

/** What every data folder has, also one in which a restore was cut short. */
const signs = ['PG_VERSION', 'base', 'global'];

/**
 * Whether the folder is one to restore over: false where it is new or empty.
 * @throws invalid when it holds something else; conflict when a server runs on it
 */
export async function isOldDataFolder(dataDir: string, major: string): Promise<boolean> {
  const names = await readdir(dataDir).catch((cause: NodeJS.ErrnoException): string[] => {
    if (cause.code === 'ENOENT') return [];
    throw new CairnError('invalid', `${dataDir} cannot be read: ${cause.message}`, { cause });
  });
  if (names.length === 0) return false;
  if (!signs.every((name) => names.includes(name))) {
    throw new CairnError('invalid', `${dataDir} is no data folder of PostgreSQL`, {
      hint: 'name the data folder of a stopped server; nothing was touched',
    });
  }
  const found = (await readFile(join(dataDir, 'PG_VERSION'), 'utf8')).trim();
  if (found !== major) {
    const text = `${dataDir} is of PostgreSQL ${found}, the backup is of ${major}`;
    throw new CairnError('invalid', text, { hint: 'restore to a new folder instead' });
  }
  const postmaster = await findPostmaster(dataDir);
  if (postmaster === null) return true;
  throw new CairnError('conflict', `a server runs on ${dataDir} (pid ${postmaster.pid})`, {
    hint: 'stop it first; nothing was touched',
  });
}

/** Where the tablespaces of a data folder are now, by OID. */
export async function readTablespaceLinks(dataDir: string): Promise<Record<string, string>> {
  const folder = join(dataDir, 'pg_tblspc');
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isSymbolicLink()) continue;
    const target = await readlink(join(folder, entry.name));
    if (isAbsolute(target)) found[entry.name] = target;
  }
  return found;
}

/**
 * Makes the folders such that the plan can be carried out in them: what it does not name goes.
 * `guardPath` goes first, for good: until it is written again no server starts.
 */
export async function clearForPlan(
  plan: RestorePlan,
  dataDir: string,
  guardPath: string,
): Promise<void> {
  await rm(guardPath, { force: true });
  await syncFolder(dirname(guardPath));
  const planned: PlannedEntries = {
    folders: new Set(plan.directories.map(({ path }) => path)),
    files: new Set(plan.extractions.map(({ targetPath }) => targetPath)),
    links: new Map(plan.links.map(({ path, target }) => [path, target])),
  };
  for (const folder of [dataDir, ...plan.tablespaces.map(({ targetDir }) => targetDir)]) {
    await clearFolder(folder, planned);
  }
}
