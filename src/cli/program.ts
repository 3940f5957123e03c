// The command line: every operation, a table for people or `--json` for programs, real exit codes.
// Commands that ask the service go through the HTTP API like every other client; `serve`, `worker`,
// `restore --to`, `doctor`, `storage check` and `key export` and its like work on this machine and
// get their parts from `compose.ts`.
import { Command } from 'commander';
import type { Config, Environment } from '../config/config.ts';
import type { Diagnosis } from '../model/diagnosis.ts';
import type { Secret } from '../model/secret.ts';
import { version } from '../model/version.ts';
import type { CheckOptions, CheckReport } from '../operations/check/check-storage.ts';
import type { ChangedMasterKey } from '../operations/keys/change-master-key.ts';
import type { LockedInstance } from '../operations/lock/lock-storage.ts';
import type { CopyStorageReport, CopyStorageRequest } from '../operations/offsite/copy-storage.ts';
import type { EngineDrivers } from '../operations/parts.ts';
import type { RebuildReport, rebuildCatalog } from '../operations/rebuild/rebuild-catalog.ts';
import type { FetchRequest } from '../operations/restore/fetch-archived-log.ts';
import type {
  FolderRestoreRequest,
  restoreToFolder,
} from '../operations/restore/restore-to-folder.ts';
import type { Clock } from '../platform/clock.ts';
import type { MasterKey } from '../platform/master-key.ts';
import { addBackupCommands } from './backup.ts';
import { addCatalogCommands } from './catalog.ts';
import { addCheckCommand } from './check.ts';
import { addDoctorCommand } from './doctor.ts';
import { addInstanceCommands } from './instance.ts';
import { addJobCommands } from './job.ts';
import { addKeyCommands } from './key.ts';
import type { Output } from './output.ts';
import { addPolicyCommands } from './policy.ts';
import { addProjectCommands } from './project.ts';
import { addPruneCommand } from './prune.ts';
import { reportError } from './report-error.ts';
import { addRestoreCommand } from './restore.ts';
import { addServeCommand } from './serve.ts';
import { addStorageCommands } from './storage.ts';
import { addUserCommands } from './user.ts';
import { addWalGetCommand } from './wal-get.ts';
import { addWorkerCommand } from './worker.ts';

export type ServeReady = {
  readonly endpoint: string;
  readonly credentials: string;
  /** First start: the file was made now. */
  readonly madeCredentials: boolean;
};

export type Program = {
  readonly environment: Environment;
  readonly clock: Clock;
  /** Loaded on demand: commands that only ask the service start three times as fast without it. */
  local(): Promise<LocalActions>;
};

/** What works on this machine; `compose.ts` hands it in. */
export type LocalActions = {
  serve(
    config: Config,
    options: {
      readonly workers: number;
      readonly signal: AbortSignal;
      readonly onReady: (ready: ServeReady) => void;
    },
  ): Promise<void>;
  worker(
    config: Config,
    options: {
      readonly pools: readonly string[];
      readonly owner: string | null;
      readonly signal: AbortSignal;
      readonly onReady: () => void;
    },
  ): Promise<void>;
  restoreToFolder(
    config: Config,
    request: Omit<FolderRestoreRequest, 'log'>,
  ): ReturnType<typeof restoreToFolder>;
  /** For a server that recovers in a folder. @throws as `operations/restore` says */
  fetchArchivedLog(
    request: FetchRequest,
  ): Promise<{ readonly found: boolean; readonly absentCode: number }>;
  readMasterKey(config: Config): Promise<MasterKey>;
  /**
   * The repository that the master key opens. @throws not-found, storage-unavailable, invalid for
   * another key
   */
  findRepository(config: Config): Promise<{ readonly id: string; readonly location: string }>;
  /**
   * Writes the file of the master key, once it has opened the repository.
   * @throws invalid when it does not; conflict when another key is there
   */
  importMasterKey(config: Config, key: Secret): Promise<ImportedKey>;
  /**
   * Wraps everything with a new master key and puts it in the place of the old one, which stays
   * valid. @throws conflict, repository-damaged, storage errors: then the old one stays in use
   */
  changeMasterKey(config: Config): Promise<ChangedMasterKey>;
  /** Takes an old master key out of use. @throws as `operations/keys/change-master-key.ts` says */
  retireMasterKey(config: Config, id: string): Promise<{ readonly removed: number }>;
  /** Answers when the catalog does. @throws storage-unavailable */
  checkCatalog(config: Config): Promise<void>;
  /** Tries what a storage can do. @throws invalid when the address is none */
  examineStorage(url: string): Promise<readonly Diagnosis[]>;
  /**
   * Locks what the backups need, as the storage location says. @throws invalid when it asks for no
   * locks, or the bucket cannot lock; storage errors
   */
  lockBackups(config: Config, signal: AbortSignal): Promise<readonly LockedInstance[]>;
  /** A link to one object. @throws not-found; invalid when the storage makes none */
  presignObject(
    url: string,
    object: { readonly name: string; readonly lifetimeMs: number },
  ): Promise<string>;
  /** Reads the repository with the key alone. @throws not-found, storage-unavailable */
  checkBackups(config: Config, request: CheckRequest): Promise<CheckReport>;
  /**
   * Fills the catalog from the storage. @throws conflict when another Cairn owns the repository and
   * `takeOver` is false
   */
  rebuildCatalog(config: Config, request: RebuildRequest): Promise<RebuildResult>;
  /**
   * Copies the repository, or compares a copy with it. @throws not-found, conflict, storage errors
   */
  copyBackups(config: Config, request: CopyRequest): Promise<CopyResult>;
  /**
   * Makes this catalog the owner of the copy in the configured storage. @throws conflict when it is
   * no copy
   */
  promoteCopy(config: Config): Promise<{ readonly location: string }>;
  /** Null: no second storage is configured. @throws not-found, storage-unavailable */
  findOffsite(
    config: Config,
  ): Promise<{ readonly location: string; readonly newest: Date | null } | null>;
  engines(config: Config): EngineDrivers;
};

export type { LockedInstance } from '../operations/lock/lock-storage.ts';

export type CopyRequest = CopyStorageRequest & {
  readonly to: string;
  /** Null: the storage of the configuration. */
  readonly from: string | null;
};
export type CopyResult = CopyStorageReport;

export type RebuildRequest = Parameters<typeof rebuildCatalog>[1] & { readonly takeOver: boolean };
export type RebuildResult = RebuildReport & {
  readonly location: string;
  /** The file with the administrator's login. */
  readonly credentials: string;
};

export type ImportedKey = {
  readonly path: string;
  readonly keyId: string;
  readonly repositoryId: string;
  /** False: the same key was there already. */
  readonly isNew: boolean;
};

export type CheckRequest = Omit<CheckOptions, 'instanceIds'> & {
  /** Id or name; null: everything. */
  readonly instance: string | null;
};

/** Runs one command. Answers the exit code; never throws, never ends the process. */
export async function runCommandLine(
  args: readonly string[],
  program: Program,
  output: Output,
): Promise<number> {
  const root = new Command('cairn')
    .description('Self-hosted, proven, deduplicated database backups behind the RDS v3 API.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: output.print, writeErr: output.complain })
    .showHelpAfterError('(cairn COMMAND --help says more)');
  addServeCommand(root, program, output);
  addWorkerCommand(root, program, output);
  addInstanceCommands(root, program, output);
  addBackupCommands(root, program, output);
  addPolicyCommands(root, program, output);
  addRestoreCommand(root, program, output);
  addWalGetCommand(root, program, output);
  addJobCommands(root, program, output);
  addPruneCommand(root, program, output);
  addCheckCommand(root, program, output);
  addCatalogCommands(root, program, output);
  addDoctorCommand(root, program, output);
  addStorageCommands(root, program, output);
  addUserCommands(root, program, output);
  addProjectCommands(root, program, output);
  addKeyCommands(root, program, output);
  for (const command of everyCommand(root)) {
    command.exitOverride().configureOutput({ writeOut: output.print, writeErr: output.complain });
  }
  try {
    await root.parseAsync(args, { from: 'user' });
    return output.exitCode;
  } catch (error) {
    return reportError(error, { json: args.includes('--json') }, output);
  }
}

function* everyCommand(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* everyCommand(child);
}
