// The door to a recovery: what is replayed on top of a base backup, and where it stops. Interfaces
// only.
import type { LogPosition } from '../model/log-position.ts';
import type { RecoveryTarget } from '../model/recovery-target.ts';

/** A file of log as far as it is stored from its beginning without a gap. */
export type LogSourceFile = {
  readonly name: string;
  /** Of its first byte. */
  readonly startPosition: LogPosition;
  readonly sizeBytes: number;
  /** The file ends there. */
  readonly isComplete: boolean;
};

/** Archived log of one server, without a gap between two positions. */
export interface LogSource {
  readonly systemIdentifier: string;
  /** Where the base backup ends: what comes behind it is replayed from here. */
  readonly startPosition: LogPosition;
  /** Nothing behind it may be replayed, also where more is stored. */
  readonly endPosition: LogPosition;
  /**
   * The files of the sequence that are stored, in its order, from that which `startPosition` lies
   * in to that of `endPosition`. Whether one is missing among them is the engine's to find out.
   * @throws storage-unavailable
   */
  listFiles(signal: AbortSignal): Promise<readonly LogSourceFile[]>;
  /**
   * One file of log, checked, from its beginning as far as it is stored.
   * @throws not-found, storage-unavailable, repository-damaged
   */
  readFile(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly isComplete: boolean }>;
  /**
   * The same for files of any size: piece by piece, each checked before it is handed out. Memory
   * for a few pieces, of 64 MiB at most. @throws the same, also in the middle
   */
  streamFile(name: string, signal: AbortSignal): AsyncGenerator<Uint8Array>;
}

export type Recovery = {
  readonly target: RecoveryTarget;
  /** Ids of transactions that are not replayed; empty where the engine cannot leave any out. */
  readonly skippedTransactions: readonly string[];
  /** Null: nothing but what the backup itself holds. */
  readonly log: LogSource | null;
  /** The branch that begins here gets a higher number: this one and those below are taken. */
  readonly newestTimeline: number;
};

/** What became of it. */
export type RecoveryReport = {
  /** Where replay ended, on the branch that it followed. */
  readonly position: LogPosition;
  /** The branch that began there; null where the engine counts none. */
  readonly timeline: number | null;
  /** By the old server's clock; null when no transaction was replayed. */
  readonly lastCommitAt: Date | null;
  /** What the target was resolved to; null where the engine does not tell. */
  readonly transaction: RecoveryTransaction | null;
};

export type RecoveryTransaction = {
  readonly id: string;
  /** As far as the log tells it; null: it does not. Shortened by the engine. */
  readonly statement: string | null;
  /** The last one that was replayed, or the first one that was not. */
  readonly isReplayed: boolean;
};
