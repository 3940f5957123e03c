// The part of the repository's door that holds archived log.
//
// A stream is a gap-free run of one server's log: files, each stored whole or in pieces. What is
// stored is durable and readable at once, without any commit of its own. Intervals are records of
// closed stretches of a stream (`incremental` backups): they say which positions lie at which time.
import type { Engine } from '../model/engine-kind.ts';
import type { BackupId, InstanceId, LogStreamId, ProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';

export type LogStreamRecord = {
  readonly streamId: LogStreamId;
  readonly instanceId: InstanceId;
  readonly projectId: ProjectId;
  readonly instanceName: string;
  readonly engine: Engine;
  readonly beganAt: Date;
  /** As the engine gave them. */
  readonly facts: {
    readonly serverVersion: string;
    readonly systemIdentifier: string;
    readonly startPosition: LogPosition;
    readonly notes: Readonly<Record<string, unknown>>;
  };
};

export type LogFile = {
  readonly name: string;
  readonly kind: 'log' | 'side';
  /** Of its first byte. */
  readonly startPosition: LogPosition;
};

/** Bytes of one log file that are to be stored, or were. */
export type LogPiece = {
  readonly file: LogFile;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** The file ends with it. */
  readonly isLast: boolean;
  /** Where the log stands behind the piece, and when, by the server's clock, it stood there. */
  readonly endPosition: LogPosition;
  readonly endAt: Date;
};

/** A piece that is in the storage. */
export type StoredLogPiece = LogPiece & {
  readonly objectName: string;
  readonly storedBytes: number;
};

export type StoredLogFile = {
  readonly name: string;
  readonly startPosition: LogPosition;
  readonly sizeBytes: number;
  readonly isComplete: boolean;
};

/** A closed stretch of a stream: an `incremental` backup. */
export type LogInterval = {
  readonly backupId: BackupId;
  /** Counted from 0 in the stream, without holes while none was deleted. */
  readonly sequence: number;
  readonly name: string;
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  /** By the server's clock. What was committed from the one to the other lies in the interval. */
  readonly startAt: Date;
  readonly endAt: Date;
  /** Names of the log files that the interval has bytes of, in order. */
  readonly files: readonly string[];
  readonly logicalBytes: number;
  readonly storedBytes: number;
};

export type LogDeletion = {
  /** Before each batch of deletions. */
  readonly assertLease: () => Promise<void>;
  readonly signal: AbortSignal;
};

/** One stream opened for appending; the caller holds the lease of its archiver. */
export interface LogStreamWriter {
  readonly record: LogStreamRecord;
  /**
   * Durable when it answers. Storing the same bytes again is harmless. A piece that begins at the
   * file's beginning replaces the shorter ones that the file was stored in: the whole file in the
   * end, and sooner where it came in very many pieces. Bytes are taken over.
   * @throws conflict when other bytes are stored there: the log has two histories; storage errors;
   *   repository-damaged when what it would be compared with cannot be read
   */
  store(piece: LogPiece, bytes: Uint8Array, signal: AbortSignal): Promise<StoredLogPiece>;
  /** Durable when it answers. @throws conflict when its sequence is taken by another */
  closeInterval(interval: LogInterval, signal: AbortSignal): Promise<void>;
  /**
   * Locks a closed interval and all that is stored of its files, where the storage locks objects.
   * Answers how many locks were begun or moved. Safe to repeat. @throws storage errors
   */
  lockInterval(interval: LogInterval, signal: AbortSignal): Promise<number>;
}

/** What the storage holds of one stream. */
export type LogStreamSurvey = {
  readonly record: LogStreamRecord;
  /**
   * By position, then name, then offset. Pieces that were replaced are left out. Inside a closed
   * interval `endAt` is the interval's begin: certain, but not the latest. MySQL's positions lack
   * their GTID set.
   */
  readonly pieces: readonly StoredLogPiece[];
  /** By their sequence. */
  readonly intervals: readonly LogInterval[];
};

export interface RepositoryLog {
  /** @throws conflict when the stream exists */
  beginStream(record: LogStreamRecord, now: Date, signal: AbortSignal): Promise<LogStreamWriter>;
  /** @throws not-found */
  resumeStream(
    instanceId: InstanceId,
    streamId: LogStreamId,
    signal: AbortSignal,
  ): Promise<LogStreamWriter>;
  /**
   * Every stream of an instance, oldest first. One that is removed meanwhile is left out.
   * @throws storage-unavailable, repository-damaged
   */
  listStreams(instanceId: InstanceId, signal: AbortSignal): Promise<readonly LogStreamRecord[]>;
  /**
   * Lists the stream and reads what cannot be told from names alone: the record, the intervals, and
   * the pieces behind the last one. With `sequenceFrom`, what lies before that interval is left
   * out.
   * @throws not-found, storage-unavailable, repository-damaged
   */
  surveyStream(
    instanceId: InstanceId,
    streamId: LogStreamId,
    signal: AbortSignal,
    sequenceFrom?: number,
  ): Promise<LogStreamSurvey>;
  /**
   * The bytes of one log file from its beginning, as far as they are stored without a gap, checked.
   * `isComplete` when its last piece is among them.
   * @throws not-found when nothing of it is stored in a stream that is there; repository-damaged;
   *   storage-unavailable, also when the stream itself is not there
   */
  readFile(
    instanceId: InstanceId,
    streamId: LogStreamId,
    fileName: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly isComplete: boolean }>;
  /** The same in pieces, each checked before it is handed out: memory for a few. */
  streamFile(
    instanceId: InstanceId,
    streamId: LogStreamId,
    fileName: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array>;
  /**
   * A piece that a survey has told of, with its bytes, and with what only the piece itself tells:
   * the GTID sets of its positions. @throws repository-damaged, storage-unavailable
   */
  readPiece(
    piece: Pick<StoredLogPiece, 'objectName' | 'storedBytes'>,
    signal: AbortSignal,
  ): Promise<LogPiece & { readonly bytes: Buffer }>;
  /**
   * The files of the stream's sequence (none that is `side`) in their order, each as far as it is
   * stored without a gap. Only names are looked at. @throws storage-unavailable
   */
  listFiles(
    instanceId: InstanceId,
    streamId: LogStreamId,
    signal: AbortSignal,
  ): Promise<readonly StoredLogFile[]>;
  /**
   * Removes the intervals that end at the position or before, then files of log that lie wholly
   * before it and that no remaining interval has bytes of, oldest first. The newest file of log and
   * `side` files stay. All of the stream goes when the position is null, the record last, also what
   * is damaged. Safe to repeat.
   */
  removeBefore(
    instanceId: InstanceId,
    streamId: LogStreamId,
    position: LogPosition | null,
    options: LogDeletion,
  ): Promise<{ readonly freedBytes: number }>;
}
