// Restores the files of a physical backup to a folder. They are not yet data that a server can
// start on: `prepare.ts` makes them that.
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { clearFolder } from '../../platform/clear-folder.ts';
import { assertEmpty, checkFolder } from '../../platform/server-folder.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import type { FileSource } from '../engine.ts';
import { findServer } from './managed-server.ts';
import type { RestorePlan } from './restore-plan.ts';
import { backupConfigName, firstDataFile, guardNameOf, planRestore } from './restore-plan.ts';
import type { Settings } from './server-config.ts';
import { parseBackupConfig } from './server-config.ts';

export type RestoreFilesOptions = {
  readonly source: FileSource;
  /** `differences`: over the data folder of a stopped server, if there is one. */
  readonly write?: 'new-files' | 'differences';
  readonly targetDir: string;
  /** As `readBackupConfig` has answered it. */
  readonly backupConfig: Settings;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
};

export type RestoredFiles = {
  readonly dataDir: string;
  readonly totalBytes: number;
};

/** @throws invalid when a target is not as it should be, conflict, repository-damaged */
export async function restoreFiles(options: RestoreFilesOptions): Promise<RestoredFiles> {
  const { source, signal } = options;
  const dataDir = checkFolder('target', options.targetDir);
  const isOver = options.write === 'differences' && (await isOldDataFolder(dataDir));
  const write = isOver ? 'differences' : 'new-files';
  if (!isOver) await assertEmpty('target', dataDir);
  const dataFile = firstDataFile(options.backupConfig['innodb_data_file_path']);
  const plan = planRestore({
    ...{ targetDir: dataDir, dataFile },
    directories: source.directories(),
    files: source.files(),
  });
  if (isOver) await clearForPlan(plan, dataDir, dataFile);
  options.onProgress(0, plan.totalBytes);
  // Folders above the target are not ours to close: the server's user must pass through them.
  await mkdir(dirname(dataDir), { recursive: true, mode: 0o755 });
  for (const { path, mode } of plan.directories) await mkdir(path, { recursive: true, mode });
  let beforeBytes = 0;
  for (const files of [plan.logs, plan.rest]) {
    const progress = (doneBytes: number): void =>
      options.onProgress(beforeBytes + doneBytes, plan.totalBytes);
    await source.extract(files, { write, onProgress: progress, signal });
    for (const { path } of plan.directories) await syncFolder(path);
    beforeBytes = sumOf(files, source);
  }
  await syncFolder(dirname(dataDir));
  return { dataDir, totalBytes: plan.totalBytes };
}

/**
 * What the backup tool has noted of the server's settings: without it nobody can prepare the files.
 * @throws repository-damaged
 */
export async function readBackupConfig(source: FileSource, signal: AbortSignal): Promise<Settings> {
  if (!source.files().some(({ path }) => path === backupConfigName)) {
    throw new CairnError('repository-damaged', `the backup has no ${backupConfigName}`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'cairn-config-'));
  try {
    const targetPath = join(folder, backupConfigName);
    const files = [{ path: backupConfigName, targetPath }];
    await source.extract(files, { onProgress: () => undefined, signal });
    return parseBackupConfig(await readFile(targetPath, 'utf8'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function sumOf(files: RestorePlan['logs'], source: FileSource): number {
  const wanted = new Set(files.map(({ path }) => path));
  const found = source.files().filter(({ path }) => wanted.has(path));
  return found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/**
 * Whether the folder is one to restore over: false where it is new or empty.
 * @throws invalid when it holds something else; conflict when a server runs on it
 */
async function isOldDataFolder(dataDir: string): Promise<boolean> {
  const names = await readdir(dataDir).catch((cause: NodeJS.ErrnoException): string[] => {
    if (cause.code === 'ENOENT') return [];
    throw new CairnError('invalid', `${dataDir} cannot be read: ${cause.message}`, { cause });
  });
  if (names.length === 0) return false;
  const isData = names.includes('mysql') && names.some((name) => /^ib(data|_logfile)/.test(name));
  if (!isData) {
    throw new CairnError('invalid', `${dataDir} is no data folder of MariaDB or MySQL`, {
      hint: 'name the data folder of a stopped server; nothing was touched',
    });
  }
  const running = await findServer(dataDir);
  if (running === null) return true;
  throw new CairnError('conflict', `a server runs on ${dataDir} (pid ${running.pid})`, {
    hint: 'stop it first; nothing was touched',
  });
}

/** From here on no server starts on the folder, until it is prepared. */
async function clearForPlan(plan: RestorePlan, dataDir: string, dataFile: string): Promise<void> {
  const dataPath = join(dataDir, dataFile);
  const isThere = await stat(dataPath).then(
    () => true,
    () => false,
  );
  if (isThere) await rename(dataPath, join(dataDir, guardNameOf(dataFile)));
  await syncFolder(dataDir);
  await clearFolder(dataDir, {
    folders: new Set(plan.directories.map(({ path }) => path)),
    files: new Set([...plan.logs, ...plan.rest].map(({ targetPath }) => targetPath)),
    links: new Map(),
  });
}
