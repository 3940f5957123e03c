// From which backup, and along which stream of log, a recovery target is reached. Pure. The windows
// that are offered are made of the same reaches that a plan chooses from, so what is offered and
// what is possible cannot differ.
//
// A stream carries a backup when it holds the log from the backup's end on. Positions alone do not
// tell: a server that was set back writes the same positions once more. So the backup must have
// ended while the stream was followed, by our own clock; what is known of the server's identity and
// of its timelines must agree. (The engine looks at both once more, in the log itself.)

import { holdsTransaction } from '../../model/gtid-set.ts';
import type { BackupId, LogStreamId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { compareLogPositions, parsePlace } from '../../model/log-position.ts';
import type { LogPoint } from '../../model/log-stream.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';

export type RecoveryBackup = {
  readonly id: BackupId;
  readonly endedAt: Date;
  readonly stopPosition: LogPosition;
  /** Log is needed from here on: not before its end, unless databases have logs of their own. */
  readonly replayFrom: LogPosition;
  /** Null where only its manifest tells it. */
  readonly systemIdentifier: string | null;
};

export type RecoveryStream = {
  readonly id: LogStreamId;
  readonly systemIdentifier: string;
  readonly beganAt: Date;
  /** Null while it is followed. */
  readonly endedAt: Date | null;
  /** What lies before is not there, or not any more. */
  readonly keptFrom: LogPosition;
  readonly covered: LogPoint;
};

export type RecoveryFacts = {
  /** Completed full backups of one instance. */
  readonly backups: readonly RecoveryBackup[];
  readonly streams: readonly RecoveryStream[];
};

/** The moments that one backup leads to, both included. */
export type Reach = {
  readonly backup: RecoveryBackup;
  /** Null: there is no log behind it, and its end is all there is. */
  readonly stream: RecoveryStream | null;
  readonly startAt: Date;
  readonly endAt: Date;
};

export type RecoveryPlan = {
  readonly backupId: BackupId;
  /** Null: the backup as it is. */
  readonly log: { readonly streamId: LogStreamId; readonly until: LogPoint } | null;
};

export type PlannedRecovery =
  | { readonly outcome: 'possible'; readonly plan: RecoveryPlan }
  /** The reaches are those that the target was looked for in. */
  | { readonly outcome: 'unreachable'; readonly reaches: readonly Reach[] };

/** By the moment at which they begin, the oldest first. */
export function planReaches({ backups, streams }: RecoveryFacts): readonly Reach[] {
  return backups
    .map((backup): Reach => {
      const stream = streams.filter((one) => carries(one, backup)).reduce(furthest, null);
      const startAt = firstMoment(backup);
      const coveredAt = stream?.covered.at ?? startAt;
      return { backup, stream, startAt, endAt: coveredAt > startAt ? coveredAt : startAt };
    })
    .toSorted(
      (a, b) => a.startAt.getTime() - b.startAt.getTime() || (a.backup.id < b.backup.id ? -1 : 1),
    );
}

/** SQL Server knows to the second when a backup ended: within it, a moment may lie before. */
function firstMoment({ endedAt, stopPosition }: RecoveryBackup): Date {
  if (stopPosition.engine !== 'sqlserver') return endedAt;
  return new Date((Math.floor(endedAt.getTime() / secondMs) + 1) * secondMs);
}

const secondMs = 1_000;

export function planRecovery(facts: RecoveryFacts, target: RecoveryTarget): PlannedRecovery {
  const reaches = planReaches(facts);
  const found = findReach(reaches, target);
  if (!found) return { outcome: 'unreachable', reaches };
  const { backup, stream } = found;
  const isAtItsEnd =
    target.kind === 'end-of-backup' ||
    (target.kind === 'time' && stream !== null && stream.covered.at < target.at);
  const log = stream && !isAtItsEnd ? { streamId: stream.id, until: stream.covered } : null;
  return { outcome: 'possible', plan: { backupId: backup.id, log } };
}

/** The newest backup that leads to the target: the least is to be replayed. */
function findReach(reaches: readonly Reach[], target: RecoveryTarget): Reach | undefined {
  switch (target.kind) {
    case 'end-of-backup':
      return reaches.find(({ backup }) => backup.id === target.backupId);
    case 'name':
    case 'xid':
      return reaches.find(
        ({ backup, stream }) => backup.id === target.backupId && isOnTimeline(stream, target),
      );
    case 'time':
      return reaches.findLast(({ startAt, endAt, stream }) => {
        const { at, timeline } = target;
        if (timeline !== null && !isOnTimeline(stream, target)) return false;
        return startAt <= at && at <= endAt;
      });
    case 'log-position':
      return onNewestBranch(reaches, (reach) => {
        return isOnTimeline(reach.stream, target) && isWithin(reach, target.position);
      });
    case 'gtid':
      return onNewestBranch(reaches, ({ backup, stream }) => {
        if (!stream || holds(backup.stopPosition, target.gtid) !== false) return false;
        // Not known: the engine looks into the log.
        return holds(stream.covered.position, target.gtid) !== false;
      });
    case 'latest':
      return onLatest(
        reaches.filter(({ stream }) => target.timeline === null || isOnTimeline(stream, target)),
      );
  }
}

/** Whatever the branch is of what lies there. */
function isWithin({ backup, stream }: Reach, place: string): boolean {
  if (!stream) return false;
  const { covered } = stream;
  const [start, end] = [backup.stopPosition, covered.position];
  const [onStart, onEnd] = [parsePlace(place, start), parsePlace(place, end)];
  if (!onStart || !onEnd) return false;
  return compareLogPositions(start, onStart) <= 0 && compareLogPositions(onEnd, end) <= 0;
}

/** Whether the transaction lies before the position; null: nobody knows. */
function holds(position: LogPosition, gtid: string): boolean | null {
  if (position.engine !== 'mysql') return false;
  return position.gtidSet === null ? null : holdsTransaction(position.gtidSet, gtid);
}

/** Of a stream of several timelines the newest counts: others end where it begins. */
function isOnTimeline(
  stream: RecoveryStream | null,
  { timeline }: { readonly timeline: number | null },
): boolean {
  return stream !== null && (timeline === null || timelineOf(stream) === timeline);
}

function onNewestBranch(
  reaches: readonly Reach[],
  holds: (reach: Reach) => boolean,
): Reach | undefined {
  const holding = reaches.filter(holds);
  const newest = holding.reduce<RecoveryStream | null>((found, { stream }) => {
    return stream && (!found || isNewer(stream, found)) ? stream : found;
  }, null);
  return holding.findLast(({ stream }) => stream === newest);
}

function isNewer(a: RecoveryStream, b: RecoveryStream): boolean {
  return (timelineOf(a) - timelineOf(b) || a.beganAt.getTime() - b.beganAt.getTime()) > 0;
}

function onLatest(reaches: readonly Reach[]): Reach | undefined {
  const endsMs = reaches.map(({ endAt }) => endAt.getTime());
  const latestMs = endsMs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return reaches.findLast(({ endAt }) => endAt.getTime() === latestMs);
}

function carries(stream: RecoveryStream, backup: RecoveryBackup): boolean {
  const { endedAt, replayFrom, stopPosition, systemIdentifier } = backup;
  if (systemIdentifier !== null && systemIdentifier !== stream.systemIdentifier) return false;
  if (endedAt < stream.beganAt) return false;
  if (stream.endedAt !== null && endedAt > stream.endedAt) return false;
  return (
    compareLogPositions(stream.keptFrom, replayFrom) <= 0 &&
    compareLogPositions(stopPosition, stream.covered.position) <= 0
  );
}

function furthest(a: RecoveryStream | null, b: RecoveryStream): RecoveryStream {
  return a && a.covered.at >= b.covered.at ? a : b;
}

function timelineOf({ covered }: RecoveryStream): number {
  return covered.position.engine === 'postgresql' ? covered.position.timeline : 1;
}
