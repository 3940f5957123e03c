// What other tools have done to the backups of a database, by the server's own history. Their full
// backup, also of parts, moves the base of our next differential; their log backup holds a link of
// our chain (SQL Server documentation, "Copy-only backups", "Differential backups"). Pure.
import type { BackupRecord } from './backup-record.ts';
import { compareFinished } from './backup-record.ts';

/**
 * `none`: a copy, or only what has changed since another one. `differential-base`: the next
 * differential of ours would need it. `log-chain`: log that is in no backup of ours.
 */
export type ForeignEffect = 'none' | 'differential-base' | 'log-chain';

export type ForeignBackup = { readonly record: BackupRecord; readonly effect: ForeignEffect };

export type ForeignPlan = {
  readonly foreign: readonly ForeignBackup[];
  /** What our next backup must be for a restore to need nothing of theirs. */
  readonly mustBeFull: boolean;
};

/**
 * `history` in any order, also of several replicas; `ownIds` are the backups that we took and have.
 * The chain is whole again with the first full backup of ours behind what broke it.
 */
export function planForeign(
  history: readonly BackupRecord[],
  ownIds: ReadonlySet<string>,
): ForeignPlan {
  const isOwn = ({ id }: BackupRecord): boolean => ownIds.has(id);
  const lastFullOfOurs = history
    .filter((record) => isOwn(record) && record.type === 'full' && !record.isCopyOnly)
    .toSorted(compareFinished)
    .at(-1);
  const foreign = history
    .filter((record) => !isOwn(record))
    .map((record): ForeignBackup => ({ record, effect: effectOf(record) }));
  return {
    foreign,
    mustBeFull: foreign.some(
      ({ record, effect }) =>
        effect !== 'none' && (lastFullOfOurs === undefined || isBehind(record, lastFullOfOurs)),
    ),
  };
}

/** Log that our full backup reaches beyond is not needed with it, whenever it was taken. */
function isBehind(record: BackupRecord, full: BackupRecord): boolean {
  return record.type === 'log' ? record.lastLsn > full.lastLsn : compareFinished(record, full) > 0;
}

function effectOf({ type, isCopyOnly }: BackupRecord): ForeignEffect {
  if (isCopyOnly) return 'none';
  switch (type) {
    case 'full':
    case 'partial':
      return 'differential-base';
    case 'log':
      return 'log-chain';
    case 'differential':
    case 'partial-differential':
      return 'none';
  }
}
