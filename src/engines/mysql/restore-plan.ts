// Where everything of a physical backup goes, decided before anything is touched. Pure: paths in,
// paths out.
//
// Two files are dangerous. Until the backup is prepared, its first data file has another name, so
// that no server starts on the folder: it would find a log and no data, and refuse; started on an
// unprepared backup it would run, without the tables that only the preparation puts in their place.
// And an `.isl` file names where a table lay on the old server (`DATA DIRECTORY`): a server that
// finds a file there, too, on the old server's host, takes neither (10.11), or that one. Without
// it, the file beside it is the table.
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { DirectoryMeta, Extraction, SourceFile } from '../engine.ts';

export type RestorePlanInput = {
  readonly targetDir: string;
  readonly dataFile: string;
  readonly directories: readonly DirectoryMeta[];
  readonly files: readonly SourceFile[];
};

export type RestorePlan = {
  /** Absolute, parents first. */
  readonly directories: readonly { readonly path: string; readonly mode: number }[];
  /** What keeps a server from starting while data are missing: extracted first. */
  readonly logs: readonly Extraction[];
  readonly rest: readonly Extraction[];
  readonly totalBytes: number;
};

const folderMode = 0o700;

export const defaultDataFilePath = 'ibdata1:12M:autoextend';

/** Written by the backup tool; what it needs to prepare the folder, and the server to start. */
export const backupConfigName = 'backup-my.cnf';

/** The first of `ibdata1:12M;ibdata2:50M:autoextend`. */
export function firstDataFile(dataFilePath: string = defaultDataFilePath): string {
  return dataFilePath.split(/[:;]/)[0] ?? '';
}

/** What the first data file is called until the backup is prepared. */
export function guardNameOf(dataFile: string): string {
  return `${dataFile}.unprepared`;
}

/** The names of the first data file, and the setting that leads to it while it has the other. */
export function guardDataFile(dataFilePath: string): {
  readonly dataFile: string;
  readonly guardName: string;
  readonly guardedPath: string;
} {
  const dataFile = firstDataFile(dataFilePath);
  const guardName = guardNameOf(dataFile);
  const [first = '', ...others] = dataFilePath.split(';');
  const [, ...sizes] = first.split(':');
  return {
    dataFile,
    guardName,
    guardedPath: [[guardName, ...sizes].join(':'), ...others].join(';'),
  };
}

/** Not for a server on another place, or machine. */
export function isLeftOut(path: string): boolean {
  return path.endsWith('.isl');
}

/** @throws repository-damaged on a path that no backup has */
export function planRestore(input: RestorePlanInput): RestorePlan {
  const files = input.files.filter(({ path }) => !isLeftOut(path));
  const modes = new Map<string, number>([['', folderMode]]);
  for (const { path } of files) addFolder(modes, parentOf(path), folderMode);
  for (const { path, mode } of input.directories) addFolder(modes, path, mode);
  const place = ({ path }: SourceFile): Extraction => {
    const name = path === input.dataFile ? guardNameOf(path) : path;
    return { path, targetPath: join(input.targetDir, checkPath(name)) };
  };
  const isLog = ({ path }: SourceFile): boolean => /^(ib_|xtrabackup_)logfile/.test(path);
  return {
    directories: [...modes]
      .map(([path, mode]) => ({ path: join(input.targetDir, path), mode }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    logs: files.filter(isLog).map(place),
    rest: files.filter((file) => !isLog(file)).map(place),
    totalBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  };
}

/** A folder that was announced keeps its mode; those only implied get the default. */
function addFolder(modes: Map<string, number>, path: string, mode: number): void {
  if (path === '') return;
  addFolder(modes, parentOf(checkPath(path)), folderMode);
  // Whoever restores must be able to write into it.
  if (!modes.has(path) || mode !== folderMode) modes.set(path, mode | folderMode);
}

function checkPath(path: string): string {
  if (path.includes('\0') || path.split('/').some((part) => ['', '.', '..'].includes(part))) {
    throw new CairnError('repository-damaged', `path ${JSON.stringify(path)} is not allowed`);
  }
  return path;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
