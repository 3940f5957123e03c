import type { Backup, BackupType } from '../../model/backup.ts';
import { expiringTypes } from '../../model/backup.ts';
import type { BackupId } from '../../model/ids.ts';

const dayMs = 24 * 60 * 60_000;

export type RetentionInput = {
  readonly keepDays: number;
  readonly now: Date;
  /** The newest completed full backup of the instance, manual or automated. */
  readonly newestCompleted: Pick<Backup, 'id'> | null;
  /** An older one from which archived log leads to times that are kept. */
  readonly neededByLog?: Pick<Backup, 'id'> | null;
  readonly backups: readonly Pick<Backup, 'id' | 'type' | 'state' | 'startedAt'>[];
};

/**
 * Which backups have outlived their days: automated and differential ones that ended, well or not,
 * more than `keepDays` ago. Never a manual one, never one that is not finished, and never the
 * newest completed one: what is left when backups stop coming must still restore. Nor the newest
 * one from before those days, while a time within them is reached from it. Oldest first.
 */
export function planRetention(input: RetentionInput): readonly BackupId[] {
  const cutoff = cutoffOf(input);
  const kept = [input.newestCompleted?.id, input.neededByLog?.id];
  return input.backups
    .filter(({ id, type, state }) => {
      if (!doesExpire(type) || kept.includes(id)) return false;
      const hasEnded = state.status === 'completed' || state.status === 'failed';
      return hasEnded && state.endedAt < cutoff;
    })
    .toSorted((a, b) => a.startedAt.getTime() - b.startedAt.getTime())
    .map(({ id }) => id);
}

function doesExpire(type: BackupType): boolean {
  return expiringTypes.some((one) => one === type);
}

/** What ended before has expired. */
export function cutoffOf({ keepDays, now }: Pick<RetentionInput, 'keepDays' | 'now'>): Date {
  return new Date(now.getTime() - keepDays * dayMs);
}
