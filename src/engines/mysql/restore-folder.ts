// A restore to a folder that somebody starts a server on by hand. Whatever must be done before the
// server is anybody's, is done here: the files are prepared, and where a moment was asked for, the
// log is replayed on a server that only we reach. What is left needs nothing of ours.
import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { assertReachable, checkFolder, makePrivate } from '../../platform/server-folder.ts';
import type { FolderRestoreOptions, FolderRestoreResult } from '../engine.ts';
import { planStartCommands } from './start-commands.ts';
import type { StartParts } from './start-restored.ts';
import { fillDataFolder } from './start-restored.ts';

export type FolderParts = StartParts & {
  /** The user that servers run as when we are root. */
  readonly serverUser: string;
};

/** @throws invalid, conflict, repository-damaged, log-gap, engine-refused, cancelled */
export async function restoreFolder(
  options: FolderRestoreOptions,
  parts: FolderParts,
): Promise<FolderRestoreResult> {
  const { targetDir, tablespaceDirs, recovery, source, write } = options;
  const { identity, tools } = parts;
  const [tablespace] = Object.keys(tablespaceDirs);
  if (tablespace !== undefined) {
    throw new CairnError('invalid', `the backup has no tablespace ${tablespace}`, {
      hint: 'tables that lay outside the data folder are restored into it',
    });
  }
  const dataDir = checkFolder('target', targetDir);
  await mkdir(dirname(dataDir), { recursive: true, mode: 0o755 });
  if (identity) await assertReachable(dirname(dataDir), identity);
  // Beside it, since the log that is replayed takes room; it stays when something fails.
  const homeDir = await mkdtemp(`${dataDir}-recovery-`);
  await makePrivate(homeDir, identity);
  const managed = { homeDir, dataDir, binDir: dirname(tools.server) };
  const filling = {
    ...{ source, recovery, signal: options.signal, log: options.log },
    ...(write === undefined ? {} : { write }),
    onProgress: (_phase: string, doneBytes: number, totalBytes: number): void =>
      options.onProgress(doneBytes, totalBytes),
  };
  const { facts, recovered } = await fillDataFolder(managed, filling, parts).catch(
    async (error) => {
      // Where nothing was begun, nothing is left; logs are.
      await rmdir(homeDir).catch(() => undefined);
      throw error;
    },
  );
  await rm(homeDir, { recursive: true, force: true });
  return {
    ...{ dataDir, tablespaceDirs: [], logPlan: null, recovered, startNote: null },
    startCommands: planStartCommands({
      ...{ dataDir, program: tools.server, settings: facts.settings },
      owner: identity ? parts.serverUser : null,
    }),
  };
}
