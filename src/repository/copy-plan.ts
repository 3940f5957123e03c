// Decides, purely, which backups of an instance belong into a copy and which leave it.
import type { BackupId } from '../model/ids.ts';

export type DatedBackup = { readonly backupId: BackupId; readonly endedAt: Date };

export type CopyRules = {
  /** Backups that ended before are not copied, but for the newest; null: every one is. */
  readonly keepSince: Date | null;
  /** Also removes from the copy what ended before `keepSince`. */
  readonly removeOlder: boolean;
  /** Also removes from the copy what the source does not have any more. */
  readonly removeGone: boolean;
};

/** Newest first: it is the one that is needed when a copy breaks off. */
export function planCopies(
  source: readonly DatedBackup[],
  { keepSince }: Pick<CopyRules, 'keepSince'>,
): readonly BackupId[] {
  const newestFirst = [...source].sort(compareNewestFirst);
  return newestFirst
    .filter(({ endedAt }, index) => index === 0 || keepSince === null || endedAt >= keepSince)
    .map(({ backupId }) => backupId);
}

/** The newest backup of the copy never leaves it, whatever the source has. */
export function planRemovals(
  copied: readonly DatedBackup[],
  inSource: ReadonlySet<BackupId>,
  { keepSince, removeOlder, removeGone }: CopyRules,
): readonly BackupId[] {
  const [, ...others] = [...copied].sort(compareNewestFirst);
  return others
    .filter(({ backupId, endedAt }) => {
      if (removeGone && !inSource.has(backupId)) return true;
      return removeOlder && keepSince !== null && endedAt < keepSince;
    })
    .map(({ backupId }) => backupId);
}

function compareNewestFirst(a: DatedBackup, b: DatedBackup): number {
  return b.endedAt.getTime() - a.endedAt.getTime() || (a.backupId < b.backupId ? 1 : -1);
}
