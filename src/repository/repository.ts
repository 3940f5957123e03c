// The door to the backup store: open it, write a backup, read one, delete one.
// `docs/repository-format.md` says what lies in storage. Everything is written once; the manifest
// is the commit point; only `deleteBackup` and `removeUnneeded` remove anything, under an exclusive
// lease of the instance that the caller holds.
import type { BackupTotals, BackupType } from '../model/backup.ts';
import type { BackupContents } from '../model/backup-contents.ts';
import type { Engine } from '../model/engine-kind.ts';
import type { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import type { Logger } from '../platform/logger.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { ObjectInfo, ObjectLock } from '../storage/storage.ts';
import type { CheckOptions } from './check.ts';
import type { CheckReport } from './check-report.ts';
import type { LockReport } from './extend-locks.ts';
import type { RepositoryLog } from './log-door.ts';
import type { PruneKnowledge, PruneSurvey } from './prune.ts';

export type { CheckOptions, CheckProgress, ReadData } from './check.ts';
export type { CheckFinding, CheckReport } from './check-report.ts';
export type {
  CopyComparison,
  CopyOptions,
  CopyReport,
  FailedCopy,
  FailedLogCopy,
  RepositoryCopy,
} from './copy-door.ts';
export type { LockFinding, LockReport, LockTerms } from './extend-locks.ts';
export type {
  LogDeletion,
  LogFile,
  LogInterval,
  LogPiece,
  LogStreamRecord,
  LogStreamSurvey,
  LogStreamWriter,
  RepositoryLog,
  StoredLogPiece,
} from './log-door.ts';
export type { PruneKnowledge, PruneSurvey } from './prune.ts';

/**
 * What the manifest says of a backup besides its files; the caller knows it when the stream has
 * ended.
 */
export type BackupFacts = {
  readonly instance: { readonly name: string; readonly engine: Engine };
  readonly backup: {
    readonly projectId: ProjectId;
    readonly name: string;
    readonly description: string;
    readonly type: BackupType;
    readonly databases: readonly string[];
    readonly startedAt: Date;
    readonly endedAt: Date;
  };
  readonly base: {
    readonly serverVersion: string;
    readonly systemIdentifier: string;
    readonly startPosition: LogPosition;
    readonly stopPosition: LogPosition;
    /** The file that holds the last of the log. */
    readonly lastLogFile: string;
    /** Kept as they are. */
    readonly notes: Readonly<Record<string, unknown>>;
    /** For people; read back with `readContents` only. */
    readonly contents?: BackupContents | null;
  };
  /**
   * Runs right before the manifest is created: the place to check a lease. Throwing prevents the
   * commit.
   */
  readonly beforeCommit: () => Promise<void>;
};

export type CommittedBackup = { readonly totals: BackupTotals; readonly manifestBytes: number };

export type StoredFile = {
  readonly path: string;
  readonly mode: number;
  readonly modifiedAt: Date;
  readonly sizeBytes: number;
  readonly pageSizeBytes: number;
};
/** A file whose size nobody knows before its end. */
export type StoredGrowingFile = Omit<StoredFile, 'sizeBytes'> & {
  /** Where the previous backup has such a file, if not at `path`: its pages are compared too. */
  readonly comparedWith?: string;
};
export type StoredDirectory = { readonly path: string; readonly mode: number };

/** One that has begun and not ended. */
export interface GrowingFile {
  /** As `write` of the writer: appends. */
  write(bytes: Uint8Array): undefined | Promise<void>;
  /** Bytes that were written are others after all. @throws bug behind the first page */
  rewriteHead(offsetBytes: number, bytes: Uint8Array): void;
  /** Its size is what was written. */
  end(): void;
  /** Instead of `end`: as if it had never begun; its path is free again. */
  abandon(): void;
}

/**
 * Takes one backup; calls come in order. Files of known size do not interleave; growing ones do,
 * with each other and with the others. A path is that of one file or directory. Dispose it in any
 * case.
 */
export interface RepositoryWriter extends AsyncDisposable {
  /**
   * The backup whose pages `keep` keeps; null when there is none, or none that can be used: then
   * everything must be written.
   */
  readonly previous: RepositoryReader | null;
  /** Whether any file was begun as an increment: then a failure may be the previous backup's. */
  readonly hasIncrements: boolean;
  directory(meta: StoredDirectory): void;
  beginFile(meta: StoredFile): void;
  /**
   * Copies what it keeps. Answers with a promise when the caller should wait. @throws what failed
   * meanwhile
   */
  write(bytes: Uint8Array): undefined | Promise<void>;
  /**
   * As `beginFile`, for a file whose pages may be taken over with `keep`: they are not compared
   * but those of the previous backup on trust. Nothing of earlier attempts is used.
   */
  beginIncrement(meta: StoredFile): void;
  /**
   * The next bytes are those that the previous backup has at the same place of the file, zero where
   * it has none. Whole pages, or up to the end of the file. What must be stored again
   * (copy-forward) is read from the storage: nothing else may be called before a promise has
   * answered. @throws bug without a previous backup; repository-damaged, here or later, when what
   * the previous backup has cannot be read
   */
  keep(sizeBytes: number): undefined | Promise<void>;
  endFile(): void;
  /** At most 16 are open at once. Pages are compared as those of `beginFile`. */
  beginGrowing(meta: StoredGrowingFile): GrowingFile;
  /**
   * Of a growing file that has ended; one that has the new path already is replaced. False when
   * there is none of that path, and nothing happens. @throws bug when what either path names is not
   * such a file
   */
  renameFile(path: string, newPath: string): boolean;
  /** Of the same; false when there is none of that path. @throws bug as `renameFile` */
  removeFile(path: string): boolean;
  /**
   * Makes everything durable and writes the manifest. Once it has answered, the backup exists.
   * @throws conflict when the backup exists already; storage errors; repository-damaged
   */
  commit(facts: BackupFacts): Promise<CommittedBackup>;
  /**
   * Instead of a commit, when no attempt will follow: deletes all that this attempt and earlier
   * ones have stored, as far as it can be done. Without it, what checkpoints name stays for the
   * next attempt. `assertLease` runs before each batch. Throws nothing.
   */
  discard(options: { readonly assertLease: () => Promise<void> }): Promise<void>;
}

export type WriterOptions = {
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  /** The instance's latest backup: equal pages are referred to, not stored again. */
  readonly previousBackupId: BackupId | null;
  /** Begin of this attempt. */
  readonly now: Date;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

/** What a manifest says, read back. */
export type StoredBackup = {
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  readonly facts: Omit<BackupFacts, 'beforeCommit'>;
  readonly totals: BackupTotals;
};

/** One backup of a listing; `stored` null: its manifest cannot be read. */
export type ListedBackup =
  | { readonly backupId: BackupId; readonly stored: StoredBackup; readonly error: null }
  | { readonly backupId: BackupId; readonly stored: null; readonly error: CairnError };

/** Bytes of one file, from `startBytes` up to and without `endBytes`. */
export type FilePiece = {
  readonly path: string;
  readonly startBytes: number;
  readonly endBytes: number;
};

/** One backup opened for reading. */
export interface RepositoryReader {
  readonly stored: StoredBackup;
  readonly serverVersion: string;
  readonly notes: Readonly<Record<string, unknown>>;
  directories(): readonly StoredDirectory[];
  files(): readonly StoredFile[];
  findFile(path: string): StoredFile | null;
  /** The whole content of one file of at most 64 MiB. @throws not-found, repository-damaged */
  read(path: string, signal: AbortSignal): Promise<Buffer>;
  /** The same for a file of any size, without keeping it. @throws not-found, repository-damaged */
  verify(path: string, signal: AbortSignal): Promise<void>;
  /**
   * The bytes of many pieces, one piece after another in the order given, without what lies before
   * them in their files; every page authenticated and compared with its digest before a byte of it
   * is handed out. No chunk holds bytes of two pieces. Reads ahead by one window of about 8 MiB;
   * who stops asking stops the reading. @throws not-found, repository-damaged naming the object
   */
  stream(pieces: Iterable<FilePiece>, signal: AbortSignal): AsyncGenerator<Uint8Array>;
  /**
   * Writes files to absolute paths that do not exist yet; every page authenticated and compared
   * with its digest; durable when it answers. With `differences` a file may exist: its pages are
   * compared with the digests, and only those that differ are read from the storage and written.
   * @throws repository-damaged naming the object, storage-full
   */
  extract(
    files: readonly { readonly path: string; readonly targetPath: string }[],
    options: {
      /** `new-files` unless it says otherwise. */
      readonly write?: 'new-files' | 'differences';
      readonly onProgress: (doneBytes: number) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<void>;
}

export interface Repository extends AsyncDisposable {
  readonly id: string;
  readonly location: string;
  /** Archived log. */
  readonly log: RepositoryLog;
  openWriter(options: WriterOptions): Promise<RepositoryWriter>;
  /** @throws not-found when there is no such backup, repository-damaged naming the object */
  openReader(
    instanceId: InstanceId,
    backupId: BackupId,
    signal: AbortSignal,
  ): Promise<RepositoryReader>;
  /**
   * Null when the backup has no manifest, which means that it does not exist. @throws
   * repository-damaged
   */
  findBackup(
    instanceId: InstanceId,
    backupId: BackupId,
    signal: AbortSignal,
  ): Promise<StoredBackup | null>;
  /**
   * Which databases and tables a backup holds; null when nobody has noted it. @throws not-found,
   * repository-damaged
   */
  readContents(
    instanceId: InstanceId,
    backupId: BackupId,
    signal: AbortSignal,
  ): Promise<BackupContents | null>;
  /** Which instance a backup belongs to, from the storage alone. @throws not-found */
  locateBackup(backupId: BackupId, signal: AbortSignal): Promise<InstanceId>;
  /**
   * Removes the manifest, then the objects of the backup that no other backup of the instance
   * needs. Safe to repeat. `assertLease` runs before each batch of deletions.
   */
  deleteBackup(
    instanceId: InstanceId,
    backupId: BackupId,
    options: { readonly assertLease: () => Promise<void>; readonly signal: AbortSignal },
  ): Promise<{ readonly freedBytes: number }>;
  /**
   * What an instance has in the storage, and what of it may go. Changes nothing.
   * @throws repository-damaged naming a manifest that cannot be read; storage-unavailable
   */
  surveyInstance(
    instanceId: InstanceId,
    knowledge: PruneKnowledge,
    signal: AbortSignal,
  ): Promise<PruneSurvey>;
  /**
   * Deletes what a survey found unneeded, unless a manifest names it by now. `assertLease` runs
   * before each batch. Safe to repeat. @throws as `surveyInstance`
   */
  removeUnneeded(
    instanceId: InstanceId,
    objects: readonly ObjectInfo[],
    options: { readonly assertLease: () => Promise<void>; readonly signal: AbortSignal },
  ): Promise<{ readonly removed: readonly ObjectInfo[] }>;
  /**
   * Looks whether everything that backups need is there and whole. Changes nothing.
   * @throws storage-unavailable when it cannot look
   */
  check(options: CheckOptions): Promise<CheckReport>;
  /**
   * Adds a data key that new objects of the instance will be sealed with; the old ones stay, and
   * what they sealed stays readable.
   * @throws repository-damaged when a manifest, or a key that one needs, cannot be read
   */
  rotateKey(
    instanceId: InstanceId,
    now: Date,
    signal: AbortSignal,
  ): Promise<{ readonly keyId: string }>;
  /** Master keys that open the repository, oldest first. @throws storage-unavailable */
  listMasterKeyIds(signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Makes `to` open everything that `from` opens, beside it, each data key read back. Safe to
   * repeat. Answers how many data keys there are.
   * @throws repository-damaged naming a data key that neither opens
   */
  addMasterKey(
    change: { readonly from: MasterKey; readonly to: MasterKey },
    when: { readonly now: Date; readonly signal: AbortSignal },
  ): Promise<{ readonly dataKeys: number }>;
  /**
   * From now on that key opens nothing: what it wrapped goes, once the key that the repository was
   * opened with has opened every data key. Safe to repeat. Answers how many wraps went.
   * @throws repository-damaged naming a data key that does not open: then all stays
   */
  retireMasterKey(
    retiredId: string,
    when: { readonly now: Date; readonly signal: AbortSignal },
  ): Promise<{ readonly removed: number }>;
  /** Null: the storage locks nothing. */
  readonly locks: Pick<ObjectLock, 'terms' | 'longestMs'> | null;
  /**
   * Makes sure that nothing that backups of the instance need can be deleted for the days of
   * `locks`. `expected`: backups that must be there; none may be deleted meanwhile. What somebody
   * else has touched is told of, and then nothing that was locked runs out. Null: the storage locks
   * nothing. Safe to repeat. @throws storage errors
   */
  extendLocks(
    instanceId: InstanceId,
    options: { readonly expected: readonly BackupId[]; readonly signal: AbortSignal },
  ): Promise<LockReport | null>;
  /** Whether the backup has a manifest, without reading it. @throws storage-unavailable */
  hasBackup(instanceId: InstanceId, backupId: BackupId, signal: AbortSignal): Promise<boolean>;
  /**
   * Every backup that an instance has in the storage, in the order of their ids. One whose manifest
   * cannot be read comes with the error; one that is deleted meanwhile does not come.
   * @throws storage-unavailable when the listing fails
   */
  readBackups(instanceId: InstanceId, signal: AbortSignal): AsyncGenerator<ListedBackup>;
  /**
   * Makes a catalog the owner of the repository; whoever owned it can write no more. Nothing
   * happens when it is the owner already.
   * @throws conflict when another catalog owns it and `isAllowed` is false
   */
  takeOver(
    ownerId: string,
    options: { readonly isAllowed: boolean; readonly now: Date; readonly signal: AbortSignal },
  ): Promise<void>;
  /** Instances that have anything in the storage; lists all of it. @throws storage-unavailable */
  listInstances(signal: AbortSignal): Promise<readonly InstanceId[]>;
}
