// Makes a folder such that a plan can be carried out in it: what the plan does not name goes.
import { lstat, readdir, readlink, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** All paths are absolute. */
export type PlannedEntries = {
  readonly folders: ReadonlySet<string>;
  readonly files: ReadonlySet<string>;
  /** Path to target. */
  readonly links: ReadonlyMap<string, string>;
};

const nothing: PlannedEntries = { folders: new Set(), files: new Set(), links: new Map() };

/** The folder itself stays; it may not exist. */
export async function clearFolder(folder: string, planned: PlannedEntries): Promise<void> {
  for (const name of await listFolder(folder)) {
    const path = join(folder, name);
    const found = await lstat(path);
    if (found.isDirectory()) {
      if (planned.folders.has(path)) await clearFolder(path, planned);
      else {
        await clearFolder(path, nothing);
        await rmdir(path);
      }
    } else if (found.isSymbolicLink()) {
      if (planned.links.get(path) === (await readlink(path))) continue;
      // A folder may lie elsewhere behind a link, as `pg_wal` often does; a file may not.
      const isFolder = await stat(path).then(
        (target) => target.isDirectory(),
        () => false,
      );
      if (isFolder && planned.folders.has(path)) await clearFolder(path, planned);
      else await unlink(path);
    } else if (!planned.files.has(path)) {
      await unlink(path);
    }
  }
}

async function listFolder(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}
