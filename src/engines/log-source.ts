// The door to a recovery: what is replayed on top of a base backup, and where it stops. Interfaces
// only.
import type { LogPosition } from '../model/log-position.ts';
import type { RecoveryTarget } from '../model/recovery-target.ts';

/** Archived log of one server, without a gap between two positions. */
export interface LogSource {
  readonly systemIdentifier: string;
  /** Where the base backup ends: what comes behind it is replayed from here. */
  readonly startPosition: LogPosition;
  /** Nothing behind it may be replayed, also where more is stored. */
  readonly endPosition: LogPosition;
  /**
   * One file of log, checked, from its beginning as far as it is stored.
   * @throws not-found, storage-unavailable, repository-damaged
   */
  readFile(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly isComplete: boolean }>;
}

export type Recovery = {
  readonly target: RecoveryTarget;
  /** Null: nothing but what the backup itself holds. */
  readonly log: LogSource | null;
  /** The branch that begins here gets a higher number: this one and those below are taken. */
  readonly newestTimeline: number;
};

/** What became of it. */
export type RecoveryReport = {
  /** Where replay ended, on the branch that it followed. */
  readonly position: LogPosition;
  /** The branch that began there. */
  readonly timeline: number;
  /** By the old server's clock; null when no transaction was replayed. */
  readonly lastCommitAt: Date | null;
};
