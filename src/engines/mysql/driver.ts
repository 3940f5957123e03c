// The driver of MySQL and MariaDB: puts this folder's parts behind the engine door.
import { dirname } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { findServerIdentity } from '../../platform/server-user.ts';
import type { BaseBackupOptions, BaseBackupResult, EngineDriver } from '../engine.ts';
import { guard } from '../guard.ts';
import { hasServerFacts } from '../server-facts.ts';
import { planArchive } from './archive-layout.ts';
import { planBackupWay, readWayFacts } from './backup-way.ts';
import { takeBaseBackup } from './base-backup.ts';
import { withQueries } from './connection.ts';
import { parseConnectionUrl } from './connection-url.ts';
import { flavors } from './flavor.ts';
import { lookAtHost } from './host-look.ts';
import { defaultLogLimits, followLog, releaseLog, releaseLogByHand } from './log-archive.ts';
import type { LogicalParts } from './logical-backup.ts';
import { takeLogicalBackup, takeLogicalFull } from './logical-backup.ts';
import { planImportCommands } from './logical-client.ts';
import { planLogicalFiles } from './logical-contents.ts';
import { copyDatabases, copyTables } from './logical-copy.ts';
import { loadDump } from './logical-load.ts';
import { restoreDatabases } from './logical-restore.ts';
import { findMissingDatabases } from './logical-survey.ts';
import { findServer, stopManagedServer } from './managed-server.ts';
import { replayLog } from './replay-log.ts';
import { restoreFolder } from './restore-folder.ts';
import type { MysqlTools } from './server-binaries.ts';
import { findBackupTool, findClients, findTools } from './server-binaries.ts';
import { readFlavor } from './server-identity.ts';
import { inspectServer } from './server-info.ts';
import { startManaged } from './start-managed.ts';
import type { StartParts } from './start-restored.ts';
import { prepareRestored, startRestored } from './start-restored.ts';

export type MysqlDriverOptions = {
  /** Folders with programs of servers, looked at before the usual ones. */
  readonly binDirs: readonly string[];
  /** Who runs restored servers when we are root; null for `mysql`, else `nobody`. */
  readonly serverUser: string | null;
  /** An option file with what only this machine knows, as where keys are; null for none. */
  readonly extraConfigFile: string | null;
  readonly clock: Clock;
  readonly random: Random;
};

export function createMysqlDriver(options: MysqlDriverOptions): EngineDriver {
  const { clock, random } = options;
  const programs = programsOf(options);
  const logical = { clock, findTools: programs.findClients };
  const way = { random, findProgram: programs.findBackup };
  return {
    engine: 'mysql',
    capabilities: {
      ...{ partialByDatabase: true, restoreToFolder: true, logArchive: true },
      ...{ standbys: false, ownServers: true, differential: false },
    },
    parseUrl: parseConnectionUrl,
    inspect: (connection, signal) => guard(signal, () => inspectServer(connection, signal, way)),
    lookAtHosts: (connection, signal) =>
      guard(signal, async () => [await lookAtHost(connection, signal)]),
    takeBaseBackup: (connection, backupOptions) =>
      guard(backupOptions.signal, () =>
        takeFullBackup(connection, backupOptions, { clock, random, programs }),
      ),
    findMissingDatabases: (connection, names, signal) =>
      guard(signal, () => findMissingDatabases(connection, names, signal)),
    takeLogicalBackup: (connection, backupOptions) =>
      guard(backupOptions.signal, () => takeLogicalBackup(connection, backupOptions, logical)),
    logicalFiles: planLogicalFiles,
    importCommands: planImportCommands,
    copyDatabases: (connection, copyOptions) =>
      guard(copyOptions.signal, () => copyDatabases(connection, copyOptions, logical)),
    copyTables: (connection, copyOptions) =>
      guard(copyOptions.signal, () => copyTables(connection, copyOptions, logical)),
    restoreDatabases: (connection, restoreOptions) =>
      guard(restoreOptions.signal, () => restoreDatabases(connection, restoreOptions, logical)),
    followLog: (connection, followOptions) =>
      guard(followOptions.signal, () =>
        followLog(connection, followOptions, { clock, limits: defaultLogLimits }),
      ),
    releaseLog,
    releaseLogByHand,
    restoreFolder: (restoreOptions) =>
      guard(restoreOptions.signal, async () => {
        const parts = await startParts(restoreOptions.source.serverVersion, options);
        const serverUser = options.serverUser ?? defaultUser;
        return await restoreFolder(restoreOptions, { ...parts, serverUser });
      }),
    fetchLog: async () => {
      throw new CairnError('bug', 'a restore to a folder has replayed its log already');
    },
    archiveLayout: planArchive,
    startRestored: (startOptions) =>
      guard(startOptions.signal, async () => {
        const parts = await startParts(startOptions.source.serverVersion, options);
        return await startRestored(startOptions, parts);
      }),
    prepareRestored: (prepareOptions) =>
      guard(prepareOptions.signal, async () => {
        const parts = await startParts(prepareOptions.source.serverVersion, options);
        return await prepareRestored(prepareOptions, parts);
      }),
    startManaged: (server, startOptions) =>
      guard(startOptions.signal, async () => {
        const identity = await findIdentity(options);
        return await startManaged(server, startOptions, { ...options, identity });
      }),
    canStartManaged: hasServerFacts,
    findServerBinaries: async (serverVersion) =>
      dirname((await programs.find(serverVersion)).server),
    isManagedRunning: async ({ dataDir }) => (await findServer(dataDir)) !== null,
    stopManaged: (server, signal) => guard(signal, () => stopManagedServer(server, clock, signal)),
  };
}

const defaultUser = 'mysql';

/** The files where they can be had, else the rows. The notes say which it was, and why. */
async function takeFullBackup(
  connection: Connection,
  options: BaseBackupOptions,
  {
    clock,
    random,
    programs,
  }: Pick<MysqlDriverOptions, 'clock' | 'random'> & { readonly programs: Programs },
): Promise<BaseBackupResult> {
  const { signal, log } = options;
  const facts = await withQueries(connection, { signal }, async (query) => {
    const version = await readFlavor(query);
    const parts = { random, findProgram: programs.findBackup, signal };
    return await readWayFacts(query, connection, version, parts);
  });
  const way = planBackupWay(facts);
  if (way.kind === 'physical') {
    const findProgram = async (): Promise<string> => way.program;
    const result = await takeBaseBackup(connection, options, { clock, random, findProgram });
    const [source] = flavors[facts.flavor].programs.backup;
    return { ...result, notes: { ...result.notes, source, sourceReasons: [], keptBytes: 0 } };
  }
  log.info({ reason: way.reason, hint: way.hint }, 'the rows are dumped, the files cannot be had');
  const parts = { clock, findTools: programs.findClients };
  const result = await takeLogicalFull(connection, options, parts);
  const [source] = flavors[facts.flavor].programs.dump;
  return {
    ...result,
    notes: { ...result.notes, source, sourceReasons: [way.reason], keptBytes: 0 },
  };
}

type Programs = {
  readonly find: (serverVersion: string) => Promise<MysqlTools>;
  readonly findBackup: (serverVersion: string) => Promise<string | null>;
  readonly findClients: LogicalParts['findTools'];
};

/** Those on this machine. Servers are asked as their user, the others as we are. */
function programsOf(options: MysqlDriverOptions): Programs {
  const { binDirs } = options;
  const asWeAre = { binDirs, identity: null };
  return {
    find: async (serverVersion) =>
      await findTools(serverVersion, { binDirs, identity: await findIdentity(options) }),
    findBackup: (serverVersion) => findBackupTool(serverVersion, asWeAre),
    findClients: (serverVersion) => findClients(serverVersion, asWeAre),
  };
}

async function startParts(serverVersion: string, options: MysqlDriverOptions): Promise<StartParts> {
  const { clock, random, extraConfigFile } = options;
  const identity = await findIdentity(options);
  const tools = await programsOf(options).find(serverVersion);
  return { clock, random, identity, extraConfigFile, tools, replayLog, loadDump };
}

async function findIdentity({ serverUser }: MysqlDriverOptions): Promise<Identity | null> {
  return await findServerIdentity(serverUser, defaultUser);
}
