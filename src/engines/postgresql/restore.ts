// Restores a backup to a folder. A new tablespace location changes `tablespace_map`, from which the
// server makes the links at its first start, so that file and its entry in PostgreSQL's own
// manifest are rewritten together: `pg_verifybackup` must accept the folder (PostgreSQL
// documentation, chapter "pg_verifybackup").
import { chmod, mkdir, open, readdir, readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import type { Extraction, FileSource } from '../engine.ts';
import { replaceInManifest } from './backup-manifest.ts';
import { parseNotes } from './backup-notes.ts';
import { errorCode } from './connection-error.ts';
import type { PlacedTablespace, RestorePlan } from './restore-plan.ts';
import { planRestore } from './restore-plan.ts';

export type RestoreFilesOptions = {
  readonly source: FileSource;
  readonly targetDir: string;
  readonly tablespaceDirs: Readonly<Record<string, string>>;
  readonly tablespaceParentDir: string;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
};

/**
 * No server starts without this file, so it is written when everything else is durable: a restore
 * that was cut short can never be taken for one that was not.
 */
const guardFile = 'global/pg_control';

/** @throws invalid when a target is not empty, repository-damaged */
export async function restoreFiles(options: RestoreFilesOptions): Promise<RestorePlan> {
  const { source, signal } = options;
  const plan = planRestore({
    targetDir: checkTarget(options.targetDir),
    tablespaces: parseNotes(source.notes).tablespaces,
    tablespaceDirs: options.tablespaceDirs,
    tablespaceParentDir: options.tablespaceParentDir,
    directories: source.directories(),
    files: source.files(),
  });
  const targets = [normalizeTarget(options.targetDir), ...plan.tablespaces.map((t) => t.targetDir)];
  for (const target of targets) await assertEmpty(target);
  options.onProgress(0, plan.totalBytes);
  // Folders above the target are not ours to close: the server's user must pass through them.
  for (const target of targets) await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  for (const { path } of plan.directories) await mkdir(path, { recursive: true, mode: 0o700 });
  for (const { path, target } of plan.links) await symlink(target, path);
  const progress = (doneBytes: number): void => options.onProgress(doneBytes, plan.totalBytes);
  const isGuard = ({ path }: Extraction): boolean => path === guardFile;
  const rest = plan.extractions.filter((extraction) => !isGuard(extraction));
  await source.extract(rest, { onProgress: progress, signal });
  await rewriteTablespaceMap(normalizeTarget(options.targetDir), plan.tablespaces);
  for (const { path } of plan.directories) await syncFolder(path);
  const guard = plan.extractions.filter(isGuard);
  await source.extract(guard, { onProgress: () => progress(plan.totalBytes), signal });
  // Modes last: a folder that was read-only on the server must not stop its own restore.
  for (const { path, mode } of plan.directories.toReversed()) await chmod(path, mode);
  const guarded = guard.map(({ targetPath }) => dirname(targetPath));
  const linkFolders = plan.links.map(({ path }) => dirname(path));
  const parents = targets.map((target) => dirname(target));
  for (const folder of new Set([...guarded, ...linkFolders, ...targets, ...parents])) {
    await syncFolder(folder);
  }
  return plan;
}

/** The map has one line per tablespace: OID, a space, the location with backslash escapes. */
export function formatTablespaceMap(tablespaces: readonly PlacedTablespace[]): string {
  return tablespaces
    .map(({ oid, targetDir }) => `${oid} ${targetDir.replace(/[\\\n\r]/g, '\\$&')}\n`)
    .join('');
}

function checkTarget(targetDir: string): string {
  if (isAbsolute(targetDir) && !/[\n\r\0]/.test(targetDir)) return normalizeTarget(targetDir);
  throw new CairnError('invalid', `target folder ${targetDir} is not an absolute path`);
}

export function normalizeTarget(targetDir: string): string {
  return normalize(targetDir).replace(/(.)\/+$/, '$1');
}

async function assertEmpty(folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return;
    throw new CairnError('invalid', `target folder ${folder} cannot be used`, {
      hint: 'name a folder that does not exist yet or is empty',
      cause,
    });
  }
  if (names.length === 0) return;
  throw new CairnError('invalid', `target folder ${folder} is not empty`, {
    hint: 'name a folder that does not exist yet or is empty; nothing was touched',
    details: { entries: names.length },
  });
}

async function rewriteTablespaceMap(
  dataDir: string,
  tablespaces: readonly PlacedTablespace[],
): Promise<void> {
  if (tablespaces.length === 0) return;
  const mapPath = join(dataDir, 'tablespace_map');
  const manifestPath = join(dataDir, 'backup_manifest');
  const oldMap = await readFile(mapPath);
  const newMap = Buffer.from(formatTablespaceMap(tablespaces), 'utf8');
  const manifest = replaceInManifest(await readFile(manifestPath), 'tablespace_map', {
    old: oldMap,
    new: newMap,
  });
  await replaceFile(mapPath, newMap);
  await replaceFile(manifestPath, manifest);
}

async function replaceFile(path: string, content: Buffer): Promise<void> {
  const { mode } = await stat(path);
  const draft = `${path}.new`;
  const file = await open(draft, 'wx', mode & 0o777);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}
