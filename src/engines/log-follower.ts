// The door to continuous log archiving: interfaces only.
//
// The log of a server is followed as one *stream*: files of log, each whole or in pieces, without a
// gap between them. The driver pushes bytes as the server sends them; the sink stores them within
// seconds and says how far it has come, which the driver confirms to the server: only then may the
// server forget them. A stream that cannot go on (the server has removed what was not stored, or it
// is another server by now) ends with `log-gap`; whoever follows begins a new one.
import type { LogPosition } from '../model/log-position.ts';
import type { Logger } from '../platform/logger.ts';
import type { EngineNotes } from './engine.ts';

/** Who the log belongs to, and where the stream begins. */
export type LogStreamFacts = {
  readonly serverVersion: string;
  readonly systemIdentifier: string;
  /** The first byte that the stream will hold. */
  readonly startPosition: LogPosition;
  /** Kept as they are; the driver gets them back with the resume point and in a recovery. */
  readonly notes: EngineNotes;
};

export type LogFileMeta = {
  /** The engine's own name of it, `[A-Za-z0-9._-]{1,200}`; unique in the stream. */
  readonly name: string;
  /** `side`: small, whole, and not part of the sequence: the history of a timeline. */
  readonly kind: 'log' | 'side';
  /** Where its first byte, that of offset 0, lies in the log. */
  readonly startPosition: LogPosition;
  /** The bytes before are stored: the file goes on here. 0 for a new one. */
  readonly offsetBytes: number;
  /** Its size when it is complete; null when nobody knows before. */
  readonly sizeBytes: number | null;
};

/** A moment at which the server's log ended at a position, or before it. */
export type LogMark = {
  readonly position: LogPosition;
  /**
   * By the server's clock: whatever was committed earlier lies before the position. Null while log
   * of the past is caught up with and nothing is known yet: what was known before still holds.
   */
  readonly at: Date | null;
};

/** Receives a stream of log. Calls come one after another; files do not interleave. */
export interface LogSink {
  /** Once, before anything else, when there was no stream to go on with. */
  beginStream(facts: LogStreamFacts): Promise<void>;
  beginFile(meta: LogFileMeta): void;
  /** The bytes may be a view that is overwritten after the call: the sink copies what it keeps. */
  write(bytes: Uint8Array): undefined | Promise<void>;
  /** All that was written lies before the position, and so does all that was committed by then. */
  mark(mark: LogMark): void;
  /** @throws bug when the size was announced and differs */
  endFile(): void;
  /** All before it is durable in the storage; null while nothing is. */
  readonly storedPosition: LogPosition | null;
}

/** Where a stream goes on. */
export type LogResumePoint = {
  readonly facts: LogStreamFacts;
  /** All before it is stored. */
  readonly position: LogPosition;
  /**
   * The bytes of the log file that are stored right before the position, a few KiB; left out at the
   * beginning of a file. The driver compares them with the server's: a server that was set back to
   * an older state, and has written on, has others there.
   */
  readonly lastBytes?: Uint8Array;
  /** Where the file begins that the position lies in, as the driver has told it. */
  readonly fileStart?: LogPosition;
};

export type FollowLogOptions = {
  readonly sink: LogSink;
  /** Names what the server keeps for us (a replication slot): `[a-z0-9_]{1,63}`. */
  readonly keeperName: string;
  /** Null: a new stream, at the place where the server's log is now. */
  readonly resume: LogResumePoint | null;
  /** How far the server's end of the log is ahead, told every few seconds. */
  readonly onLag: (lag: LogLag) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type LogLag = {
  /** Bytes that the server has written and the storage does not hold. */
  readonly behindBytes: number;
  /** What the server keeps for us is in danger: what, and what to do; null when all is well. */
  readonly warning: { readonly message: string; readonly hint: string } | null;
};
