// The files of a data folder that belong in a base backup (PostgreSQL source,
// `src/backend/backup/basebackup.c` of 15 to 18: excluded folders, files, temporary and unlogged
// relations). One statement lists everything; what is left out is decided here, purely. Links
// cannot be told from what they lead to: only those to tablespaces and to `pg_wal` are expected.
import { CairnError } from '../../model/errors.ts';

export type ListedEntry = {
  readonly path: string;
  readonly isFolder: boolean;
  readonly sizeBytes: number;
  /** Whole seconds since the epoch. */
  readonly modifiedSeconds: number;
};

/** Part of a table or an index: pages with checksums, and only ever written through the log. */
export type RelationSegment = {
  /** Within the relation's fork; 1 GiB each, unless the server was built otherwise. */
  readonly segment: number;
};

export type ListedFile = Omit<ListedEntry, 'isFolder'> & {
  readonly relation: RelationSegment | null;
};

export type FileList = {
  /** Parents come before children. */
  readonly folders: readonly string[];
  readonly files: readonly ListedFile[];
};

export type ListOptions = {
  readonly major: number;
  /** Tablespaces inside the data folder, relative: they are listed below `pg_tblspc`. */
  readonly innerTablespaces: readonly string[];
};

/** Kept as empty folders, wherever they are. */
const emptyFolders = [
  ...['pg_stat_tmp', 'pg_replslot', 'pg_dynshmem', 'pg_notify', 'pg_serial', 'pg_snapshots'],
  'pg_subtrans',
];
const excludedFiles: ReadonlySet<string> = new Set([
  ...['postgresql.auto.conf.tmp', 'current_logfiles.tmp', 'backup_label', 'tablespace_map'],
  ...['backup_manifest', 'postmaster.pid', 'postmaster.opts'],
]);
const excludedPrefixes = ['pgsql_tmp', 'pg_internal.init'];
/** `pg_control` is read after everything else. */
export const controlFile = 'global/pg_control';
const depthMax = 12;

const relationPattern =
  /^((?:global|base\/\d+|pg_tblspc\/\d+\/[^/]+\/\d+)\/(\d+))(?:_(fsm|vm|init))?(?:\.(\d+))?$/;
const temporaryPattern =
  /^(?:base\/\d+|pg_tblspc\/\d+\/[^/]+\/\d+)\/t\d+_\d+(?:_(?:fsm|vm|init))?(?:\.\d+)?$/;
const tablespaceLink = /^pg_tblspc\/\d+$/;
const socketPattern = /^\.s\.PGSQL\.\d+$/;

/**
 * One row for each entry below the data folder; `pg_wal` and the empty folders are not entered, and
 * of a tablespace only the server's own folder (`PG_15_202209061`) is.
 */
export function listStatement(tablespaceFolder: string): string {
  const closed = emptyFolders.map((name) => `'${name}'`).join(', ');
  // What is no folder to enter has no `inside`, and a strict function of null has no rows.
  const inside = (path: string, name: string): string =>
    `case when s.isdir and ${name} not in (${closed}) and ${path} <> 'pg_wal'
       then ${path} end`;
  return `
    with recursive entry (path, inside, isdir, size, modified, depth) as (
      select name, ${inside('name', 'name')}, s.isdir, s.size, s.modification, 1
      from pg_ls_dir('.', true, false) as name, pg_stat_file(name, true) as s
      where s.size is not null and name not like 'pgsql\\_tmp%'
      union all
      select inside || '/' || name, ${inside(`(inside || '/' || name)`, 'name')},
        s.isdir, s.size, s.modification, depth + 1
      from entry, pg_ls_dir(inside, true, false) as name,
        pg_stat_file(inside || '/' || name, true) as s
      where s.size is not null and name not like 'pgsql\\_tmp%' and depth < ${depthMax}
        and (inside !~ '^pg_tblspc/[0-9]+$' or name = '${tablespaceFolder}')
    )
    select path, isdir::int, size, extract(epoch from modified)::bigint from entry`;
}

/** @throws engine-refused on a row that is none */
export function parseListRow(row: readonly (string | null)[]): ListedEntry {
  const [path, isFolder, size, modified] = row;
  const sizeBytes = Number(size ?? Number.NaN);
  const modifiedSeconds = Number(modified ?? Number.NaN);
  if (path && Number.isSafeInteger(sizeBytes) && Number.isSafeInteger(modifiedSeconds)) {
    return { path, isFolder: isFolder === '1', sizeBytes, modifiedSeconds };
  }
  throw new CairnError('engine-refused', `the server lists a file as ${JSON.stringify(row)}`);
}

/** What of the listing is backed up, without `pg_control` and the log. */
export function planList(entries: readonly ListedEntry[], options: ListOptions): FileList {
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const unlogged = new Set(sorted.flatMap(({ path }) => initForkOf(path)));
  const inner = options.innerTablespaces.map((path) => `${path}/`);
  const kept = sorted.filter(
    ({ path }) =>
      !isExcludedName(baseName(path)) && !inner.some((prefix) => path.startsWith(prefix)),
  );
  const folders = kept.filter(({ path, isFolder }) => isFolder && !tablespaceLink.test(path));
  const files = kept.filter(({ path, isFolder }) => !isFolder && !isLeftOut(path, unlogged));
  return {
    folders: folders.flatMap(({ path }) =>
      path === 'pg_wal' ? logFolders(options.major) : [path],
    ),
    files: files.map(({ path, sizeBytes, modifiedSeconds }) => {
      return { path, sizeBytes, modifiedSeconds, relation: parseRelation(path) };
    }),
  };
}

export function parseRelation(path: string): RelationSegment | null {
  const match = relationPattern.exec(path);
  return match ? { segment: Number(match[4] ?? 0) } : null;
}

/** An unlogged relation begins empty after a restore: only its init fork counts. */
function initForkOf(path: string): string[] {
  const match = relationPattern.exec(path);
  return match?.[1] && match[3] === 'init' && !path.startsWith('global/') ? [match[1]] : [];
}

function isLeftOut(path: string, unlogged: ReadonlySet<string>): boolean {
  const match = relationPattern.exec(path);
  if (match?.[1] && match[3] !== 'init' && unlogged.has(match[1])) return true;
  return path === controlFile || temporaryPattern.test(path);
}

function isExcludedName(name: string): boolean {
  return (
    excludedFiles.has(name) ||
    excludedPrefixes.some((prefix) => name.startsWith(prefix)) ||
    socketPattern.test(name)
  );
}

function logFolders(major: number): string[] {
  const folders = ['pg_wal', 'pg_wal/archive_status'];
  return major >= 17 ? [...folders, 'pg_wal/summaries'] : folders;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
