// What is said of a target that no backup leads to: never only “no”, always what can be had.
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { describePlace } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import type { Reach } from './recovery-plan.ts';

export function unreachableError(
  target: Exclude<RecoveryTarget, { readonly kind: 'end-of-backup' }>,
  reaches: readonly Reach[],
): CairnError {
  const text = `the instance cannot be restored to ${describeTarget(target)}`;
  return new CairnError('invalid', text, {
    reason: 'restore-time-unreachable',
    hint: reaches.length === 0 ? 'it has no completed full backup' : suggest(target, reaches),
  });
}

function suggest(target: RecoveryTarget, reaches: readonly Reach[]): string {
  switch (target.kind) {
    case 'time':
      return suggestTime(target.at, reaches);
    case 'log-position':
      return suggestPosition(reaches);
    case 'gtid':
      return suggestGtid(reaches);
    default:
      return 'no archived log continues that backup: choose another one, or restore to its end';
  }
}

/** The ends of reaches on both sides. */
function suggestTime(at: Date, reaches: readonly Reach[]): string {
  const ms = at.getTime();
  const ends = reaches.flatMap(({ startAt, endAt }) => [startAt.getTime(), endAt.getTime()]);
  const before = ends.filter((end) => end < ms).reduce(maxOf, Number.NEGATIVE_INFINITY);
  const after = ends.filter((end) => end > ms).reduce(minOf, Number.POSITIVE_INFINITY);
  const near = [before, after].filter(Number.isFinite);
  const listed = near.map((end) => `${end} (${new Date(end).toISOString()})`).join(' or ');
  const isLogged = reaches.some(({ stream }) => stream !== null);
  return isLogged
    ? `no archived log leads there: the nearest is ${listed}`
    : `no logs are archived, so only ends of backups can be had: the nearest is ${listed}`;
}

function suggestPosition(reaches: readonly Reach[]): string {
  const ranges = reaches.flatMap(({ backup, stream }) => {
    if (!stream) return [];
    return [`${describePlace(backup.stopPosition)} to ${describePlace(stream.covered.position)}`];
  });
  return offer(ranges);
}

/** What is in the backup is no target: replay begins behind it. */
function suggestGtid(reaches: readonly Reach[]): string {
  const ranges = reaches.flatMap(({ backup, stream }) => {
    if (!stream) return [];
    return [`from ${gtidsOf(backup.stopPosition)} to ${gtidsOf(stream.covered.position)}`];
  });
  return offer(ranges);
}

function offer(ranges: readonly string[]): string {
  if (ranges.length === 0) return 'no log is archived, so only ends of backups can be had';
  return `what can be had: ${ranges.slice(-rangesMax).join(', ')}`;
}

const rangesMax = 5;
/** A set of MySQL's may be of any length. */
const gtidCharactersMax = 200;

export function describeTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'end-of-backup':
      return `the end of backup ${target.backupId}`;
    case 'time':
      return target.at.toISOString();
    case 'log-position':
      return `log position ${target.position}`;
    case 'gtid':
      return `transaction ${target.gtid}`;
    case 'name':
      return `restore point ${target.name}`;
    case 'xid':
      return `transaction ${target.xid}`;
    case 'latest':
      return 'the latest moment';
  }
}

function gtidsOf(position: LogPosition): string {
  const text = position.engine === 'mysql' ? position.gtidSet : null;
  if (text === null) return 'an unknown transaction';
  if (text === '') return 'the first transaction';
  return text.length > gtidCharactersMax ? `${text.slice(0, gtidCharactersMax)}…` : text;
}

const maxOf = (a: number, b: number): number => Math.max(a, b);
const minOf = (a: number, b: number): number => Math.min(a, b);
