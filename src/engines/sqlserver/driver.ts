// The driver of SQL Server: puts this folder's parts behind the engine door. The server writes and
// restores its backups itself; Cairn starts no server of it.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { EngineDriver } from '../engine.ts';
import { guard } from '../guard.ts';
import { findMissingDatabases, takeBaseBackup, takeLogicalBackup } from './base-backup.ts';
import { parseConnectionUrl } from './connection-url.ts';
import { ensureCredential } from './credential.ts';
import type { Ground } from './ground.ts';
import { inspectServer, lookAtHost } from './inspect.ts';
import { followLog, releaseLog, releaseLogByHand } from './log-archive.ts';
import { restoreDatabases } from './restore.ts';
import { planArchive, planImportCommands, planLogicalFiles } from './stored-files.ts';

export function createSqlServerDriver(ground: Ground): EngineDriver {
  /** For what lets the server write to the exchange, or read from it. */
  const withExchange = <T>(
    connection: Connection,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> =>
    guard(signal, async () => {
      await ensureCredential(connection, ground.openBucket, signal);
      return await work();
    });
  return {
    engine: 'sqlserver',
    capabilities: {
      ...{ partialByDatabase: true, restoreToFolder: false, logArchive: true },
      ...{ standbys: false, ownServers: false, differential: true },
    },
    parseUrl: parseConnectionUrl,
    inspect: (connection, signal) => guard(signal, () => inspectServer(connection, signal, ground)),
    lookAtHosts: (connection, signal) =>
      guard(signal, async () => [await lookAtHost(connection, signal)]),
    takeBaseBackup: (connection, options) =>
      withExchange(connection, options.signal, () => takeBaseBackup(connection, options, ground)),
    findMissingDatabases: (connection, names, signal) =>
      guard(signal, () => findMissingDatabases(connection, names, signal)),
    takeLogicalBackup: (connection, options) =>
      withExchange(connection, options.signal, () =>
        takeLogicalBackup(connection, options, ground),
      ),
    logicalFiles: planLogicalFiles,
    importCommands: planImportCommands,
    archiveLayout: planArchive,
    restoreDatabases: (connection, options) =>
      withExchange(connection, options.signal, () => restoreDatabases(connection, options, ground)),
    followLog: (connection, options) =>
      withExchange(connection, options.signal, () => followLog(connection, options, ground)),
    releaseLog: (connection, keeperName, signal) =>
      guard(signal, () => releaseLog(connection, keeperName, signal, ground)),
    releaseLogByHand,
    copyDatabases: refuse,
    copyTables: refuse,
    restoreFolder: refuse,
    fetchLog: refuse,
    startRestored: refuse,
    prepareRestored: refuse,
    startManaged: refuse,
    canStartManaged: async () => false,
    findServerBinaries: refuse,
    isManagedRunning: async () => false,
    // None is ever running.
    stopManaged: async () => undefined,
  };
}

async function refuse(): Promise<never> {
  throw new CairnError('invalid', 'Cairn starts no SQL Server of its own', {
    hint: 'restore databases into a server that runs',
  });
}
