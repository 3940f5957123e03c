// The PostgreSQL driver: puts this folder's parts behind the engine door.
import { CairnError } from '../../model/errors.ts';
import type { Connection, ManagedServer } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { normalizeFolder } from '../../platform/server-folder.ts';
import { findServerIdentity } from '../../platform/server-user.ts';
import type {
  EngineDriver,
  FolderRestoreOptions,
  FolderRestoreResult,
  Recovered,
  ServerPrepareOptions,
  ServerStartOptions,
  StartedServer,
} from '../engine.ts';
import { guard } from '../guard.ts';
import { hasServerFacts } from '../server-facts.ts';
import { planArchive } from './archive-layout.ts';
import { parseNotes } from './backup-notes.ts';
import { defaultLimits } from './base-backup.ts';
import { parseConnectionUrl } from './connection-url.ts';
import { takeHostBackup } from './host-backup.ts';
import { describeHosts, lookAtAll } from './host-look.ts';
import { inspectHosts } from './inspect-hosts.ts';
import { defaultLogLimits, followLog, releaseLog } from './log-archive.ts';
import { takeLogicalBackup } from './logical-backup.ts';
import { planImportCommands } from './logical-client.ts';
import { planLogicalFiles } from './logical-contents.ts';
import { copyDatabases, copyTables } from './logical-copy.ts';
import { restoreDatabases } from './logical-restore.ts';
import { findMissingDatabases } from './logical-survey.ts';
import { stopManagedServer } from './managed-server.ts';
import { planPrimary } from './plan-hosts.ts';
import { findPostmaster } from './postmaster-file.ts';
import { fetchLog, prepareFolderRecovery } from './recovery-folder.ts';
import { assertPossible } from './recovery-settings.ts';
import { restoreFiles } from './restore.ts';
import { findServerBinaries, majorOf } from './server-binaries.ts';
import { planStartCommands, startNote } from './start-commands.ts';
import { startManaged } from './start-managed.ts';
import { prepareRestored, startRestored } from './start-restored.ts';

export type PostgresqlDriverOptions = {
  /** Folders with server binaries, looked at before the usual ones. */
  readonly binDirs: readonly string[];
  /** Who runs restored servers when we are root; null for `postgres`, else `nobody`. */
  readonly serverUser: string | null;
  readonly clock: Clock;
  readonly random: Random;
};

export function createPostgresqlDriver(options: PostgresqlDriverOptions): EngineDriver {
  const { clock, random } = options;
  const findBinaries = async (serverVersion: string): Promise<string> => {
    const identity = await findServerIdentity(options.serverUser);
    return await findServerBinaries(serverVersion, { binDirs: options.binDirs, identity });
  };
  return {
    engine: 'postgresql',
    capabilities: {
      ...{ partialByDatabase: true, restoreToFolder: true, logArchive: true },
      ...{ standbys: true, ownServers: true, differential: false },
    },
    parseUrl: parseConnectionUrl,
    inspect: (connection, signal) => guard(signal, () => inspectHosts(connection, signal)),
    lookAtHosts: (connection, signal) =>
      guard(signal, async () => describeHosts(await lookAtAll(connection, { signal }))),
    takeBaseBackup: (connection, backupOptions) =>
      guard(backupOptions.signal, () =>
        takeHostBackup(connection, backupOptions, { clock, random, limits: defaultLimits }),
      ),
    findMissingDatabases: (connection, names, signal) =>
      onPrimary(connection, signal, (primary) => findMissingDatabases(primary, names, signal)),
    takeLogicalBackup: (connection, backupOptions) =>
      onPrimary(connection, backupOptions.signal, (primary) =>
        takeLogicalBackup(primary, backupOptions, options),
      ),
    logicalFiles: planLogicalFiles,
    importCommands: planImportCommands,
    copyDatabases: (connection, copyOptions) =>
      onPrimary(connection, copyOptions.signal, (primary) =>
        copyDatabases(primary, copyOptions, options.binDirs),
      ),
    copyTables: (connection, copyOptions) =>
      onPrimary(connection, copyOptions.signal, (primary) =>
        copyTables(primary, copyOptions, options.binDirs),
      ),
    restoreDatabases: (connection, restoreOptions) =>
      onPrimary(connection, restoreOptions.signal, (primary) =>
        restoreDatabases(primary, restoreOptions, options.binDirs),
      ),
    followLog: (connection, followOptions) =>
      guard(followOptions.signal, () =>
        followLog(connection, followOptions, { clock, limits: defaultLogLimits }),
      ),
    releaseLog: (connection, keeperName, signal) =>
      guard(signal, () => releaseLog(connection, { keeperName, clock, signal })),
    releaseLogByHand: (keeperName) => `run there: select pg_drop_replication_slot('${keeperName}')`,
    restoreFolder: (restoreOptions) =>
      guard(restoreOptions.signal, () => restoreFolder(restoreOptions, options, findBinaries)),
    fetchLog: (fetch) => guard(fetch.signal, () => fetchLog(fetch)),
    archiveLayout: planArchive,
    startRestored: (startOptions) =>
      guard(startOptions.signal, () => startServer(startOptions, options, findBinaries)),
    prepareRestored: (prepareOptions) =>
      guard(prepareOptions.signal, () => prepareServer(prepareOptions, options, findBinaries)),
    startManaged: (server, startOptions) =>
      guard(startOptions.signal, async () => {
        const identity = await findServerIdentity(options.serverUser);
        return await startManaged(server, startOptions, { clock, random, identity });
      }),
    canStartManaged: hasServerFacts,
    findServerBinaries: findBinaries,
    isManagedRunning: async ({ dataDir }) => (await findPostmaster(dataDir)) !== null,
    stopManaged: (server, signal) => guard(signal, () => stopManagedServer(server, clock, signal)),
  };
}

/** Does the work on the primary; not looked for where the connection leads to one server only. */
async function onPrimary<T>(
  connection: Connection,
  signal: AbortSignal,
  work: (primary: Connection) => Promise<T>,
): Promise<T> {
  return await guard(signal, async () => {
    if (connection.standbys.length === 0) return await work(connection);
    return await work(planPrimary(await lookAtAll(connection, { signal })));
  });
}

type FindBinaries = (serverVersion: string) => Promise<string>;

async function startServer(
  startOptions: ServerStartOptions,
  { clock, random, serverUser }: PostgresqlDriverOptions,
  findBinaries: FindBinaries,
): Promise<StartedServer & Recovered> {
  const identity = await findServerIdentity(serverUser);
  const binDir = await findBinaries(startOptions.source.serverVersion);
  return await startRestored(startOptions, { clock, random, identity, binDir });
}

async function prepareServer(
  prepareOptions: ServerPrepareOptions,
  { clock, random, serverUser }: PostgresqlDriverOptions,
  findBinaries: FindBinaries,
): Promise<{ readonly managed: ManagedServer } & Recovered> {
  const identity = await findServerIdentity(serverUser);
  const binDir = await findBinaries(prepareOptions.source.serverVersion);
  return await prepareRestored(prepareOptions, { clock, random, identity, binDir });
}

async function restoreFolder(
  restoreOptions: FolderRestoreOptions,
  options: PostgresqlDriverOptions,
  findBinaries: FindBinaries,
): Promise<FolderRestoreResult> {
  const { source, targetDir, recovery, signal } = restoreOptions;
  assertPossible(recovery);
  const dataDir = normalizeFolder(targetDir);
  const plan = await restoreFiles({
    ...restoreOptions,
    tablespaceParentDir: `${dataDir}-tablespaces`,
  });
  const paths = new Set(source.files().map((file) => file.path));
  const tablespaceDirs = plan.tablespaces.map((placed) => placed.targetDir);
  const notes = parseNotes(source.notes);
  const logPlan = recovery && (await prepareFolderRecovery(dataDir, recovery, notes, signal));
  const support = recovery ? [recovery.supportDir] : [];
  const isRoot = (await findServerIdentity(options.serverUser)) !== null;
  return {
    dataDir,
    tablespaceDirs,
    logPlan,
    recovered: null,
    startNote: startNote(recovery?.supportDir ?? null),
    startCommands: planStartCommands({
      dataDir,
      otherDirs: [...tablespaceDirs, ...support],
      major: majorOf(source.serverVersion),
      binDir: await findBinaries(source.serverVersion).catch(nullWhenMissing),
      owner: isRoot ? (options.serverUser ?? 'postgres') : null,
      hasOwnConfig: paths.has('postgresql.conf'),
      hasOwnHba: paths.has('pg_hba.conf'),
      signalFiles: recovery
        ? []
        : ['standby.signal', 'recovery.signal'].filter((name) => paths.has(name)),
      notes,
    }),
  };
}

function nullWhenMissing(error: unknown): null {
  if (error instanceof CairnError && error.kind === 'engine-refused') return null;
  throw error;
}
