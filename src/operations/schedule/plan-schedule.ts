// When the next automated backup is due. Pure: the same question gets the same answer on every
// replica, and the catalog sees to it that only one of them acts on it.
import type { BackupSchedule, Weekday } from '../../model/backup-policy.ts';
import { windowMinutes } from '../../model/backup-policy.ts';

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
/** As the RDS documents have it: "about half an hour". */
export const retryAfterMs = 30 * minuteMs;
/** Backups asked for in one window. */
export const attemptsMax = 3;

/** The last backup that the schedule has asked for. */
export type LastBackup =
  /** `stopped`: somebody wanted it not to be made. */
  | { readonly status: 'building' | 'completed' | 'stopped' | 'gone' }
  | { readonly status: 'failed'; readonly endedAt: Date };

export type ScheduleState = {
  readonly schedule: BackupSchedule;
  readonly effectiveAt: Date;
  readonly lastWindowAt: Date | null;
  readonly attemptCount: number;
  /** Null: none was ever asked for. */
  readonly lastBackup: LastBackup | null;
};

/** `windowAt` is when the window opened that the backup is for. */
export type ScheduleDecision =
  | { readonly kind: 'wait' }
  | { readonly kind: 'back-up'; readonly windowAt: Date; readonly attempt: number };

/**
 * Due is the newest window that has opened, once. Of windows that were missed (nobody was running,
 * the instance was busy) only the newest counts, however late. A backup that failed is asked for
 * again half an hour later, three times in all. What lies more than a day ahead was noted by a
 * clock that was wrong, and counts as never: backups must not stop until the calendar gets there.
 */
export function planSchedule(noted: ScheduleState, now: Date): ScheduleDecision {
  const state = withoutFuture(noted, now);
  const windowAt = newestWindow(state.schedule, now);
  const closesAt = windowAt.getTime() + windowMinutes * minuteMs;
  // Over before anybody wanted it.
  if (closesAt <= state.effectiveAt.getTime()) return { kind: 'wait' };
  const { lastWindowAt, lastBackup, attemptCount } = state;
  if (lastWindowAt === null || lastWindowAt < windowAt) {
    return { kind: 'back-up', windowAt, attempt: 1 };
  }
  if (lastWindowAt > windowAt || lastBackup?.status !== 'failed') return { kind: 'wait' };
  const isTime = now.getTime() >= lastBackup.endedAt.getTime() + retryAfterMs;
  if (!isTime || attemptCount >= attemptsMax) return { kind: 'wait' };
  return { kind: 'back-up', windowAt, attempt: attemptCount + 1 };
}

function withoutFuture(state: ScheduleState, now: Date): ScheduleState {
  const isWrong = (at: Date): boolean => at.getTime() > now.getTime() + dayMs;
  const { effectiveAt, lastWindowAt, lastBackup } = state;
  return {
    ...state,
    effectiveAt: isWrong(effectiveAt) ? new Date(0) : effectiveAt,
    lastWindowAt: lastWindowAt && isWrong(lastWindowAt) ? null : lastWindowAt,
    lastBackup:
      lastBackup?.status === 'failed' && isWrong(lastBackup.endedAt)
        ? { status: 'failed', endedAt: new Date(0) }
        : lastBackup,
  };
}

/** The last opening that is not in the future. There is one within a week: no schedule is empty. */
export function newestWindow({ startMinute, weekdays }: BackupSchedule, now: Date): Date {
  const midnightMs = Math.floor(now.getTime() / dayMs) * dayMs;
  for (let daysBack = 0; daysBack <= 7; daysBack++) {
    const at = new Date(midnightMs - daysBack * dayMs + startMinute * minuteMs);
    if (at <= now && weekdays.includes(weekdayOf(at))) return at;
  }
  throw new RangeError('a schedule without weekdays');
}

function weekdayOf(at: Date): Weekday {
  return (at.getUTCDay() || 7) as Weekday;
}
