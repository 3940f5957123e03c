// The door to the database engines: interfaces only. The list of engines is one record in
// `compose.ts`.
//
// A base backup is *pushed*: the driver parses the server's stream and hands every directory, file
// and piece of content to a `FileSink` in stream order. Pushing views of the socket's own buffers
// keeps the hot path free of copies; `write` answers with a promise only when the sink wants the
// driver to wait.
//
// A restore is *pulled through* a `FileSource`: the driver decides where each file belongs and what
// to do around it, the source (the repository's reader) writes the bytes.
import type { BackupContents } from '../model/backup-contents.ts';
import type { Engine } from '../model/engine-kind.ts';
import type { Connection, HostAddress, ManagedServer } from '../model/instance.ts';
import type { LogPosition } from '../model/log-position.ts';
import type { Logger } from '../platform/logger.ts';
import type { DirectoryMeta, FileMeta, FileSink } from './file-sink.ts';
import type { FollowLogOptions } from './log-follower.ts';
import type { LogSource, Recovery, RecoveryReport } from './log-source.ts';
import type { LogicalDriver } from './logical.ts';

export type {
  DirectoryMeta,
  FileMeta,
  FileSink,
  GrowingFile,
  GrowingFileMeta,
} from './file-sink.ts';
export type {
  FollowLogOptions,
  LogFileMeta,
  LogLag,
  LogMark,
  LogResumePoint,
  LogSink,
  LogStreamFacts,
} from './log-follower.ts';
export type {
  LogSource,
  LogSourceFile,
  Recovery,
  RecoveryReport,
  RecoveryTransaction,
} from './log-source.ts';
export type {
  DatabaseCopyOptions,
  DatabaseName,
  DatabaseRestoreOptions,
  LogicalBackupOptions,
  LogicalFile,
  LogicalSource,
  RestoredDatabase,
  RestoredTable,
  TableCopyOptions,
  TableName,
} from './logical.ts';

export type EngineCapabilities = {
  /** A backup of chosen databases only. */
  readonly partialByDatabase: boolean;
  /** Restore starts a server from a folder of files. */
  readonly restoreToFolder: boolean;
  /** The server's log can be followed. */
  readonly logArchive: boolean;
  /** A connection may name further servers of the same system. */
  readonly standbys: boolean;
  /**
   * Cairn can start a server of it. False: a backup of a whole server, to a moment where the log is
   * archived, is restored by `restoreDatabases` into a server that runs.
   */
  readonly ownServers: boolean;
  /** A backup may ask the server for what has changed since its last full one alone. */
  readonly differential: boolean;
};

export type FindingSeverity = 'blocking' | 'warning' | 'fine';

/** One thing that was looked at when a server was inspected, and what to do about it. */
export type Finding = {
  /** A stable word: `wal_level`, `max_wal_senders`, `replication-right`, `version`, `tls`, … */
  readonly check: string;
  readonly severity: FindingSeverity;
  /** What was found, with the value. */
  readonly message: string;
  /** The next step; null when nothing needs doing. */
  readonly hint: string | null;
};

/** What one of the servers of an instance is now. */
export type HostState = HostAddress &
  (
    | { readonly role: 'primary'; readonly timeline: number | null }
    | {
        readonly role: 'standby';
        readonly timeline: number | null;
        readonly isStreaming: boolean;
        /** Null: nobody knows. */
        readonly lagMs: number | null;
      }
    | { readonly role: 'unknown'; readonly problem: string }
  );

export type ServerInspection = {
  /** As the server says it: `15.18`. */
  readonly serverVersion: string;
  readonly majorVersion: string;
  readonly systemIdentifier: string;
  readonly sizeBytes: number;
  readonly findings: readonly Finding[];
};

/**
 * Engine facts that a restore needs and only the engine understands; kept in the manifest as they
 * are.
 */
export type EngineNotes = Readonly<Record<string, unknown>>;

/** The backup that the sink can keep pages of; the server is asked for what has changed since. */
export type PreviousBackup = {
  readonly serverVersion: string;
  readonly systemIdentifier: string;
  readonly startPosition: LogPosition;
  readonly notes: EngineNotes;
  findFile(path: string): FileMeta | null;
  /** Its bytes, checked. @throws not-found, repository-damaged */
  read(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array>;
};

export type BaseBackupOptions = {
  /** Seen in the server's own views and logs. */
  readonly label: string;
  /** `full` where it is left out; `differential` only where the engine is capable of it. */
  readonly kind?: 'full' | 'differential';
  readonly sink: FileSink;
  /** Null: the server must send everything. */
  readonly previous: PreviousBackup | null;
  /** Called often; `totalBytes` is the server's estimate, null until it gave one. */
  readonly onProgress: (doneBytes: number, totalBytes: number | null) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type BaseBackupResult = {
  readonly serverVersion: string;
  readonly systemIdentifier: string;
  readonly startPosition: LogPosition;
  readonly stopPosition: LogPosition;
  /** The file that holds the last of the log; it is read back before the backup is called good. */
  readonly lastLogFile: string;
  readonly notes: EngineNotes;
  /** What it holds; left out where nobody could look, and for backups of chosen databases. */
  readonly contents?: BackupContents | null;
};

export type SourceFile = FileMeta;

/** One file of a backup and the absolute path where its bytes must be written. */
export type Extraction = { readonly path: string; readonly targetPath: string };

/** What a restore reads from; implemented by the repository's reader. */
export interface FileSource {
  readonly serverVersion: string;
  readonly notes: EngineNotes;
  directories(): readonly DirectoryMeta[];
  files(): readonly SourceFile[];
  /**
   * Writes the files (created exclusively, parents exist) with their sizes, modes and times, every
   * page authenticated and its digest compared; durable when it answers. With `differences` files
   * may exist, and only the pages in which they differ are written.
   * @throws repository-damaged naming the object
   */
  extract(
    files: readonly Extraction[],
    options: {
      /** `new-files` unless it says otherwise. */
      readonly write?: 'new-files' | 'differences';
      readonly onProgress: (doneBytes: number) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
}

/** What is in a backup, without its bytes. */
export type SourceListing = Pick<FileSource, 'serverVersion' | 'notes' | 'directories' | 'files'>;

/** Paths are relative, `/` between parts, without `.` and `..`; parents come before children. */
export type ArchiveEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  /** The bytes of a file of the backup. */
  | { readonly kind: 'file'; readonly path: string; readonly source: SourceFile }
  | {
      readonly kind: 'text';
      readonly path: string;
      readonly mode: number;
      readonly content: string;
    };

/** What the archive holds that a backup is downloaded as, in order. */
export type ArchiveLayout = {
  /** The user that unpacking as root gives the files to, where there is one of that name. */
  readonly owner: string;
  readonly entries: readonly ArchiveEntry[];
};

export type FolderRestoreOptions = {
  readonly source: FileSource;
  /** Absolute; must not exist or be empty, unless `write` says otherwise. */
  readonly targetDir: string;
  /**
   * `differences`: the target may be the data folder of a stopped server; only pages that differ
   * are written, and what is not in the backup is removed. By default it may not.
   */
  readonly write?: 'new-files' | 'differences';
  /**
   * Where tablespaces go, by their old absolute location or OID; others go beside the target
   * folder.
   */
  readonly tablespaceDirs: Readonly<Record<string, string>>;
  /**
   * Done at once, or by the server when it is started by hand; null: it comes up as the backup
   * ends.
   */
  readonly recovery: FolderRecovery | null;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type FolderRecovery = Recovery & {
  /** Beside the data folder: what the recovery needs, to be removed when it is over. */
  readonly supportDir: string;
  /**
   * For a shell: given the name of a file of log and the place to put it, answers with 0, with
   * `logAbsentCode` when there is no such file, and anything else when nobody can tell.
   */
  readonly fetchCommand: string;
};

/** None that a shell, or a program that dies, answers with. */
export const logAbsentCode = 44;

export type LogFetch = {
  /** As `restoreFolder` has answered it. */
  readonly plan: EngineNotes;
  readonly log: Pick<LogSource, 'readFile' | 'streamFile'>;
  readonly name: string;
  /** Relative to the folder that the server works in, or absolute. */
  readonly targetPath: string;
  /** What comes next is put there ahead of being asked for. */
  readonly spoolDir: string;
  readonly signal: AbortSignal;
};

export type FolderRestoreResult = {
  /** What the fetch command hands back to `fetchLog`, as JSON; null: nothing is left to recover. */
  readonly logPlan: EngineNotes | null;
  /** What was replayed already; null: nothing, or the server does so when it is started. */
  readonly recovered: RecoveryReport | null;
  readonly dataDir: string;
  /** Every folder that was written besides the data folder. */
  readonly tablespaceDirs: readonly string[];
  /** What to type to start a server on the folder by hand. */
  readonly startCommands: readonly string[];
  /** What people must know who do; lines of text, or null. */
  readonly startNote: string | null;
};

export type ServerPrepareOptions = {
  readonly source: FileSource;
  /** A new or empty folder that will belong to the server: data, sockets and log lie inside. */
  readonly homeDir: string;
  /** A server of ours, running or not, whose files may be shared where they are the same. */
  readonly seed?: ManagedServer;
  /** Null: as the backup ends, and on the branch of the log that it was taken on. */
  readonly recovery: Recovery | null;
  readonly onProgress: (phase: string, doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

/** Whom the restored server will be reached as. */
export type RestoredLogin = {
  /** User, password (null: a random one) and database; where to reach it follows from the port. */
  readonly connection: Connection;
  /**
   * `ensure`: the role is the backup's, and gets the password when it has another. `create`: the
   * same, and a role that the backup does not know is made, which may log in and replicate only.
   */
  readonly rolePassword: 'ensure' | 'create';
};

export type ServerStartOptions = ServerPrepareOptions & {
  readonly login: RestoredLogin;
  /** 0: any free port. */
  readonly port: number;
};

export type ManagedStartOptions = {
  /** Its user, password and database; where the server is reached follows from `port`. */
  readonly connection: Connection;
  /** 0: any free port. */
  readonly port: number;
  /** As after a restore, or `keep`: the roles are the user's, and stay as they are. */
  readonly rolePassword: RestoredLogin['rolePassword'] | 'keep';
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type StartedServer = {
  readonly managed: ManagedServer;
  readonly connection: Connection;
  readonly serverVersion: string;
  readonly systemIdentifier: string;
};

/** What a recovery amounted to; null when there was none. */
export type Recovered = { readonly recovered: RecoveryReport | null };

/** One database engine. Every call honours its signal and throws a `CairnError`. */
export interface EngineDriver extends LogicalDriver {
  readonly engine: Engine;
  readonly capabilities: EngineCapabilities;
  /** `postgres://user:pw@host:5432/db?sslmode=require` → connection. @throws invalid */
  parseUrl(url: string): Connection;
  /**
   * Connects and looks at everything a backup will need. Findings say what is missing; only a
   * server that cannot be spoken to at all throws. @throws engine-unreachable, engine-refused
   * (login)
   */
  inspect(connection: Connection, signal: AbortSignal): Promise<ServerInspection>;
  /** Each server of the connection, within seconds. @throws the signal's reason only */
  lookAtHosts(connection: Connection, signal: AbortSignal): Promise<readonly HostState[]>;
  /**
   * From a standby that keeps up, where there is one. @throws engine-unreachable, engine-refused;
   * whatever the sink throws
   */
  takeBaseBackup(connection: Connection, options: BaseBackupOptions): Promise<BaseBackupResult>;
  /**
   * Follows the log of whichever server is the primary until the signal fires. @throws cancelled
   * then; log-gap when the stream cannot go on; engine-unreachable, engine-refused when it may go
   * on later; whatever the sink throws
   */
  followLog(connection: Connection, options: FollowLogOptions): Promise<never>;
  /**
   * Removes what each server keeps for us, so that it may forget its log. Harmless when there is
   * nothing. @throws engine-unreachable, engine-refused, after all that answer have been told
   */
  releaseLog(connection: Connection, keeperName: string, signal: AbortSignal): Promise<void>;
  /** What a person does on the server in its place, when it cannot be reached. One sentence. */
  releaseLogByHand(keeperName: string): string;
  /** @throws invalid when a target folder is not empty, repository-damaged */
  restoreFolder(options: FolderRestoreOptions): Promise<FolderRestoreResult>;
  /**
   * Puts one file of log where a server that recovers in a folder wants it. @throws log-gap when a
   * planned one is not stored; storage errors, repository-damaged
   */
  fetchLog(fetch: LogFetch): Promise<'found' | 'absent'>;
  /**
   * How a backup is laid out as an archive that unpacks to what a server can be started on. Reads
   * nothing; the same backup always gives the same layout. @throws repository-damaged
   */
  archiveLayout(source: SourceListing): ArchiveLayout;
  /**
   * Restores into `homeDir`, recovers, starts the engine's own server there and answers when it
   * accepts queries. On failure nothing runs and the folder is left for inspection. @throws
   * engine-refused with the server's log; log-gap, invalid when the target is not in the log
   */
  startRestored(options: ServerStartOptions): Promise<StartedServer & Recovered>;
  /**
   * The first half of `startRestored`: everything is restored, recovered and durable, nothing runs.
   * @throws repository-damaged, invalid, log-gap, engine-refused
   */
  prepareRestored(
    options: ServerPrepareOptions,
  ): Promise<{ readonly managed: ManagedServer } & Recovered>;
  /**
   * The second half: starts a prepared or stopped server and answers when it accepts queries; one
   * that runs already is only looked at. On failure nothing runs. @throws conflict when the port is
   * taken, engine-refused with the server's log
   */
  startManaged(server: ManagedServer, options: ManagedStartOptions): Promise<StartedServer>;
  /** Whether `startManaged` knows how to start it. */
  canStartManaged(server: ManagedServer): Promise<boolean>;
  /**
   * The folder of the programs that could start a server of that version on this host. @throws
   * engine-refused naming what to install
   */
  findServerBinaries(serverVersion: string): Promise<string>;
  /** Whether a server of ours runs on the folder now, on this host. */
  isManagedRunning(server: ManagedServer): Promise<boolean>;
  /** Stops a server that one of the above started; harmless when it is not running. */
  stopManaged(server: ManagedServer, signal: AbortSignal): Promise<void>;
}
