// Restores a backup to a folder. A new tablespace location changes `tablespace_map`, from which the
// server makes the links at its first start, so that file and its entry in PostgreSQL's own
// manifest are rewritten together: `pg_verifybackup` must accept the folder (PostgreSQL
// documentation, chapter "pg_verifybackup").
import { chmod, mkdir, open, readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cloneFiles } from '../../platform/clone-files.ts';
import { assertEmpty, checkFolder } from '../../platform/server-folder.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import type { Extraction, FileSource } from '../engine.ts';
import { replaceInManifest } from './backup-manifest.ts';
import type { Tablespace } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';
import { clearForPlan, isOldDataFolder, readTablespaceLinks } from './restore-over.ts';
import type { PlacedTablespace, RestorePlan } from './restore-plan.ts';
import { planRestore } from './restore-plan.ts';
import { planClones } from './restore-seed.ts';
import { majorOf } from './server-binaries.ts';

export type RestoreFilesOptions = {
  readonly source: FileSource;
  /** `differences`: over the data folder of a stopped server, if there is one. */
  readonly write?: 'new-files' | 'differences';
  /** The data folder of a server, running or not, that pages may be shared with. */
  readonly seedDir?: string | undefined;
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

/** @throws invalid when a target is not as it should be, conflict, repository-damaged */
export async function restoreFiles(options: RestoreFilesOptions): Promise<RestorePlan> {
  const { source, signal } = options;
  const dataDir = checkFolder('target', options.targetDir);
  const write = (await isWrittenOver(dataDir, options)) ? 'differences' : 'new-files';
  const links = write === 'differences' ? await readTablespaceLinks(dataDir) : {};
  const { tablespaces } = parseNotes(source.notes);
  const plan = planRestore({
    ...{ targetDir: dataDir, tablespaces },
    tablespaceDirs: placeAsBefore(tablespaces, links, options.tablespaceDirs),
    tablespaceParentDir: options.tablespaceParentDir,
    directories: source.directories(),
    files: source.files(),
  });
  const others = plan.tablespaces.filter(({ oid, targetDir }) => links[oid] !== targetDir);
  for (const { targetDir } of others) await assertEmpty('target', targetDir);
  if (write === 'new-files') await assertEmpty('target', dataDir);
  else await clearForPlan(plan, dataDir, join(dataDir, guardFile));
  const targets = [dataDir, ...plan.tablespaces.map((t) => t.targetDir)];
  options.onProgress(0, plan.totalBytes);
  // Folders above the target are not ours to close: the server's user must pass through them.
  for (const target of targets) await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  for (const { path } of plan.directories) await mkdir(path, { recursive: true, mode: 0o700 });
  for (const { oid, targetDir } of others)
    await symlink(targetDir, join(dataDir, 'pg_tblspc', oid));
  const progress = (doneBytes: number): void => options.onProgress(doneBytes, plan.totalBytes);
  const isGuard = ({ path }: Extraction): boolean => path === guardFile;
  const rest = plan.extractions.filter((extraction) => !isGuard(extraction));
  const isSeeded = options.seedDir !== undefined && (await cloneSeed(plan, dataDir, options));
  const how = isSeeded ? 'differences' : write;
  await source.extract(rest, { write: how, onProgress: progress, signal });
  await rewriteTablespaceMap(dataDir, plan.tablespaces);
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

/** Whether anything is there now to compare with. */
async function cloneSeed(
  plan: RestorePlan,
  dataDir: string,
  { seedDir = '', source, signal }: RestoreFilesOptions,
): Promise<boolean> {
  const sizes = new Map(source.files().map(({ path, sizeBytes }) => [path, sizeBytes]));
  const seed = { dataDir: seedDir, tablespaces: await readTablespaceLinks(seedDir) };
  return (await cloneFiles(planClones(plan, { dataDir, sizes }, seed), signal)) > 0;
}

async function isWrittenOver(
  dataDir: string,
  { source, write }: RestoreFilesOptions,
): Promise<boolean> {
  if (write !== 'differences') return false;
  return await isOldDataFolder(dataDir, majorOf(source.serverVersion));
}

/** A tablespace stays where it is unless somebody says where it goes. */
function placeAsBefore(
  tablespaces: readonly Tablespace[],
  links: Readonly<Record<string, string>>,
  asked: Readonly<Record<string, string>>,
): Record<string, string> {
  const placed: Record<string, string> = { ...asked };
  for (const { oid, location } of tablespaces) {
    const link = links[oid];
    if (link !== undefined && asked[oid] === undefined && asked[location] === undefined) {
      placed[oid] = link;
    }
  }
  return placed;
}

/** The map has one line per tablespace: OID, a space, the location with backslash escapes. */
export function formatTablespaceMap(tablespaces: readonly PlacedTablespace[]): string {
  return tablespaces
    .map(({ oid, targetDir }) => `${oid} ${targetDir.replace(/[\\\n\r]/g, '\\$&')}\n`)
    .join('');
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
