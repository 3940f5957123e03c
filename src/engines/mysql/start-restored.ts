// A backup becomes a running server: restore, prepare, recover, start, prove. The two halves can
// also be had one by one, for who must look at the result of the first before the second.
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ManagedServer } from '../../model/instance.ts';
import { choosePort } from '../../platform/free-port.ts';
import { assertEmpty, giveAll, makePrivate, prepareHome } from '../../platform/server-folder.ts';
import type {
  FileSource,
  FolderRestoreOptions,
  Recovered,
  Recovery,
  RecoveryReport,
  ServerPrepareOptions,
  ServerStartOptions,
  StartedServer,
} from '../engine.ts';
import type { ReplayPlan } from './binlog-plan.ts';
import type { Flavor } from './flavor.ts';
import { flavorOf } from './flavor.ts';
import { initialiseData } from './initialise-server.ts';
import { readOutside } from './outside-snapshot.ts';
import { assertKeysAtHand, prepareBackup } from './prepare.ts';
import { planLog } from './replay-log.ts';
import { readBackupConfig, restoreFiles } from './restore.ts';
import type { RestoreNotes } from './restore-notes.ts';
import { needTool, readRestoreNotes } from './restore-notes.ts';
import type { MysqlTools } from './server-binaries.ts';
import type { Settings } from './server-config.ts';
import type { ServerFacts } from './server-facts.ts';
import { chooseServerId, writeServerFacts } from './server-facts.ts';
import { startManaged } from './start-managed.ts';
import type { IsolatedServer, LaunchParts } from './start-server.ts';
import { withIsolatedServer } from './start-server.ts';

/** What the work on a server that only we reach is given. */
export type IsolatedWork = IsolatedServer & {
  readonly tools: MysqlTools;
  readonly flavor: Flavor;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
} & Pick<LaunchParts, 'identity' | 'clock'> &
  Pick<ServerPrepareOptions, 'signal' | 'log'>;

export type StartParts = LaunchParts & {
  readonly tools: MysqlTools;
  /** Replays archived log on a server that only we reach; null: there is none. */
  readonly replayLog: (
    recovery: Recovery,
    work: IsolatedWork,
    plan: ReplayPlan | null,
  ) => Promise<RecoveryReport | null>;
  /** Loads a logical backup into an empty server that only we reach. */
  readonly loadDump: (source: FileSource, work: IsolatedWork) => Promise<void>;
};

/** @throws invalid, engine-refused with the server's log, log-gap, repository-damaged, cancelled */
export async function startRestored(
  options: ServerStartOptions,
  parts: StartParts,
): Promise<StartedServer & Recovered> {
  const { login, signal, log } = options;
  // Chosen now: a port that cannot be had is known before hours of restoring.
  const port = await choosePort(options.port);
  const { managed, recovered } = await prepareRestored(options, parts);
  const started = await startManaged(managed, { ...login, port, signal, log }, parts);
  return { ...started, recovered };
}

/** @throws invalid, repository-damaged, log-gap, engine-refused, cancelled */
export async function prepareRestored(
  options: ServerPrepareOptions,
  parts: StartParts,
): Promise<{ readonly managed: ManagedServer } & Recovered> {
  const homeDir = await prepareHome(options.homeDir, parts.identity);
  const managed = {
    ...{ homeDir, dataDir: join(homeDir, 'data') },
    binDir: dirname(parts.tools.server),
  };
  const { facts, recovered } = await fillDataFolder(managed, options, parts);
  options.onProgress('starting', 0, 0);
  // Last: with them the folder counts as one that can be started.
  await writeServerFacts(homeDir, facts, parts.random);
  return { managed, recovered };
}

export type FillOptions = Omit<ServerPrepareOptions, 'homeDir'> &
  Pick<FolderRestoreOptions, 'write'>;

/**
 * Everything but the start. The home belongs to the server's user, and may be another folder than
 * the data's parent. @throws invalid, repository-damaged, log-gap, engine-refused, cancelled
 */
export async function fillDataFolder(
  managed: ManagedServer,
  options: FillOptions,
  parts: StartParts,
): Promise<{ readonly facts: ServerFacts } & Recovered> {
  const { source, recovery, signal } = options;
  const { tools } = parts;
  const notes = readRestoreNotes(source.notes);
  const flavor = flavorOf(source.serverVersion);
  // A target that is not in the log is known before hours of restoring.
  const outside = readOutside(source.notes);
  const plan = recovery && (await planLog(recovery, { flavor, tools, signal }, outside));
  const fill = notes.kind === 'physical' ? restorePhysical : initialiseEmpty;
  const facts: ServerFacts = {
    serverVersion: source.serverVersion,
    program: parts.tools.server,
    settings: { ...notes.settings, ...(await fill(managed, notes, options, parts)) },
    serverId: chooseServerId(parts.random),
  };
  const isComplete = notes.kind === 'physical' && recovery === null;
  const filling = { ...options, plan };
  const recovered = isComplete ? null : await fillIsolated(managed, facts, filling, parts);
  return { facts, recovered };
}

/** Answers the settings that its files need. */
async function restorePhysical(
  { homeDir, dataDir }: ManagedServer,
  _notes: RestoreNotes,
  options: FillOptions,
  { tools, identity, extraConfigFile }: StartParts,
): Promise<Settings> {
  const { source, write, signal, log } = options;
  const tool = needTool(tools, 'backup');
  const backupConfig = await readBackupConfig(source, signal);
  await assertKeysAtHand(backupConfig, extraConfigFile);
  const onProgress = (doneBytes: number, totalBytes: number): void =>
    options.onProgress('restoring', doneBytes, totalBytes);
  const { totalBytes } = await restoreFiles({
    ...{ source, backupConfig, targetDir: dataDir, onProgress, signal },
    ...(write === undefined ? {} : { write }),
  });
  if (identity) await giveAll(dataDir, identity);
  options.onProgress('preparing', totalBytes, totalBytes);
  const logPath = join(homeDir, 'prepare.log');
  await prepareBackup({
    ...{ tool, dataDir, backupConfig, logPath, identity, extraConfigFile, signal, log },
  });
  return backupConfig;
}

async function initialiseEmpty(
  { dataDir }: ManagedServer,
  { settings }: RestoreNotes,
  { source, signal }: FillOptions,
  { tools, identity }: StartParts,
): Promise<Settings> {
  await assertEmpty('target', dataDir);
  await mkdir(dataDir, { recursive: true });
  await makePrivate(dataDir, identity);
  await initialiseData({
    ...{ dataDir, identity, signal },
    flavor: flavorOf(source.serverVersion),
    tool: needTool(tools, 'initialise'),
    lowerCaseTableNames: settings['lower_case_table_names'],
  });
  return {};
}

/** What is not in the files is brought in while nobody else reaches the server. */
async function fillIsolated(
  managed: ManagedServer,
  facts: ServerFacts,
  options: FillOptions & { readonly plan: ReplayPlan | null },
  parts: StartParts,
): Promise<RecoveryReport | null> {
  const { source, recovery, plan, signal, log } = options;
  const { tools, identity, clock } = parts;
  return await withIsolatedServer({ managed, facts, signal, log }, parts, async (server) => {
    const work = (phase: string): IsolatedWork => ({
      ...{ ...server, tools, identity, clock, signal, log },
      flavor: flavorOf(source.serverVersion),
      onProgress: (doneBytes, totalBytes) => options.onProgress(phase, doneBytes, totalBytes),
    });
    const { kind } = readRestoreNotes(source.notes);
    if (kind === 'logical') await parts.loadDump(source, work('restoring'));
    return recovery && (await parts.replayLog(recovery, work('replaying'), plan));
  });
}
