// Where everything of a backup goes, decided before anything is touched. Pure: paths in, paths out.
// A tablespace lies below `pg_tblspc/<oid>` in the backup; on disk that is a link to a folder of
// its own (PostgreSQL documentation, chapter "Database Physical Storage", "Database File Layout").
import { isAbsolute, join, normalize } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { DirectoryMeta, Extraction, SourceFile } from '../engine.ts';
import type { Tablespace } from './backup-notes.ts';

export type RestorePlanInput = {
  readonly targetDir: string;
  readonly tablespaces: readonly Tablespace[];
  /** By old location or OID. */
  readonly tablespaceDirs: Readonly<Record<string, string>>;
  /** Parent of the folders of tablespaces that nobody placed. */
  readonly tablespaceParentDir: string;
  readonly directories: readonly DirectoryMeta[];
  readonly files: readonly SourceFile[];
};

export type PlacedTablespace = { readonly oid: string; readonly targetDir: string };

export type RestorePlan = {
  readonly tablespaces: readonly PlacedTablespace[];
  /** Absolute, parents first. */
  readonly directories: readonly { readonly path: string; readonly mode: number }[];
  readonly links: readonly { readonly path: string; readonly target: string }[];
  readonly extractions: readonly Extraction[];
  readonly totalBytes: number;
};

/**
 * Folders without which a server does not start; a backup has them all, unless it was tampered
 * with.
 */
const neededDirectories = [
  'base',
  'global',
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_logical/mappings',
  'pg_logical/snapshots',
  'pg_multixact/members',
  'pg_multixact/offsets',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_tblspc',
  'pg_twophase',
  'pg_wal/archive_status',
  'pg_xact',
];
const defaultMode = 0o700;

/**
 * @throws invalid when folders overlap or name unknown tablespaces, repository-damaged on a bad
 * path
 */
export function planRestore(input: RestorePlanInput): RestorePlan {
  const tablespaces = placeTablespaces(input);
  assertApart([input.targetDir, ...tablespaces.map((placed) => placed.targetDir)]);
  const locate = createLocator(input.targetDir, tablespaces);
  const modes = new Map<string, number>();
  for (const path of neededDirectories) addWithParents(modes, path, defaultMode);
  for (const { path } of input.files) addWithParents(modes, parentOf(path), defaultMode);
  for (const { path, mode } of input.directories) addWithParents(modes, path, mode);
  const links = tablespaces.map(({ oid, targetDir }) => ({
    path: join(input.targetDir, 'pg_tblspc', oid),
    target: targetDir,
  }));
  const linked = new Set(tablespaces.map(({ oid }) => `pg_tblspc/${oid}`));
  const inside = [...modes]
    .filter(([path]) => !linked.has(path))
    .map(([path, mode]) => ({ path: locate(path), mode }));
  return {
    tablespaces,
    directories: [
      ...[input.targetDir, ...tablespaces.map((placed) => placed.targetDir)].map((path) => ({
        path,
        mode: defaultMode,
      })),
      ...inside.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    ],
    links,
    extractions: input.files.map(({ path }) => ({ path, targetPath: locate(path) })),
    totalBytes: input.files.reduce((sum, file) => sum + file.sizeBytes, 0),
  };
}

function placeTablespaces(input: RestorePlanInput): PlacedTablespace[] {
  const { tablespaceDirs } = input;
  // A relative location is a folder below pg_tblspc itself (allow_in_place_tablespaces): it stays
  // there.
  const outside = input.tablespaces.filter(({ location }) => isAbsolute(location));
  const known = new Set(outside.flatMap(({ oid, location }) => [oid, location]));
  const listed = outside.map(({ oid, location }) => `${oid} (${location})`).join(', ') || 'none';
  for (const [name, folder] of Object.entries(tablespaceDirs)) {
    if (!known.has(name)) {
      throw new CairnError('invalid', `the backup has no tablespace ${name}`, {
        hint: `it has: ${listed}`,
      });
    }
    if (!isAbsolute(folder) || /[\n\r\0]/.test(folder)) {
      throw new CairnError('invalid', `tablespace folder ${folder} is not an absolute path`);
    }
  }
  return outside.map(({ oid, location }) => ({
    oid,
    targetDir: normalize(
      tablespaceDirs[oid] ?? tablespaceDirs[location] ?? join(input.tablespaceParentDir, oid),
    ).replace(/(.)\/+$/, '$1'),
  }));
}

/** No folder may be, or lie within, another. */
function assertApart(folders: readonly string[]): void {
  for (const [index, folder] of folders.entries()) {
    const clash = folders.find((other, at) => at !== index && `${folder}/`.startsWith(`${other}/`));
    if (clash === undefined) continue;
    throw new CairnError('invalid', `target folders ${clash} and ${folder} overlap`, {
      hint: 'give the data folder and every tablespace a folder of their own',
    });
  }
}

function createLocator(
  targetDir: string,
  tablespaces: readonly PlacedTablespace[],
): (path: string) => string {
  const folders = new Map(tablespaces.map((placed) => [placed.oid, placed.targetDir]));
  return (path) => {
    const parts = path.split('/');
    if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw new CairnError('repository-damaged', `path ${JSON.stringify(path)} is not allowed`);
    }
    const folder = parts[0] === 'pg_tblspc' ? folders.get(parts[1] ?? '') : undefined;
    return folder === undefined ? join(targetDir, path) : join(folder, ...parts.slice(2));
  };
}

/** A folder that was announced keeps its mode; those only implied get the default. */
function addWithParents(modes: Map<string, number>, path: string, mode: number): void {
  if (path === '') return;
  for (let parent = parentOf(path); parent !== ''; parent = parentOf(parent)) {
    if (!modes.has(parent)) modes.set(parent, defaultMode);
  }
  modes.set(path, modes.has(path) && mode === defaultMode ? (modes.get(path) ?? mode) : mode);
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
