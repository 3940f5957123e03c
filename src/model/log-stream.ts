import type { Engine } from './engine-kind.ts';
import type { RecordedError } from './errors.ts';
import type { InstanceId, LogStreamId, ProjectId } from './ids.ts';
import type { LogPosition } from './log-position.ts';

/** A moment of the server's clock: what was committed before it lies before the position. */
export type LogPoint = { readonly position: LogPosition; readonly at: Date };

/** `gap`: the log went on without us. `stopped`: nobody wanted it any more. */
export type LogStreamState =
  | { readonly status: 'following' }
  | {
      readonly status: 'ended';
      readonly cause: 'gap' | 'stopped';
      readonly endedAt: Date;
      readonly reason: string;
    };

/** What threatens the stream, and what to do about it. */
export type LogWarning = { readonly message: string; readonly hint: string };

/** Why nothing arrives at the moment, and since when. */
export type LogTrouble = RecordedError & { readonly since: Date };

/** What changes while a stream is followed. */
export type LogStreamProgress = {
  /** How far it is stored, and until when everything committed is in it; null while nothing is. */
  readonly covered: LogPoint | null;
  /** The end of the last closed interval, numbered from 0; null before the first. */
  readonly closed: (LogPoint & { readonly sequence: number }) | null;
  /** Bytes that the server has and the storage has not; null: not known. */
  readonly behindBytes: number | null;
  readonly warning: LogWarning | null;
  readonly trouble: LogTrouble | null;
};

/** A gap-free run of one server's log, as far as the catalog knows of it. */
export type LogStream = {
  readonly id: LogStreamId;
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly engine: Engine;
  readonly systemIdentifier: string;
  readonly startPosition: LogPosition;
  readonly beganAt: Date;
  /** What lies before has gone by retention; the start position while nothing has. */
  readonly keptFrom: LogPosition;
  readonly state: LogStreamState;
  readonly progress: LogStreamProgress;
  readonly updatedAt: Date;
};
