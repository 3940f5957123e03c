// What a copy to the second storage has done: the result of its job.
import type { BackupId } from '../../model/ids.ts';
import type { CopyReport } from '../../repository/repository.ts';

export type OffsiteReport = {
  readonly kind: 'copy-offsite';
  /** Backups. */
  readonly copied: number;
  readonly present: number;
  readonly skipped: number;
  readonly removed: number;
  /** Written. */
  readonly objects: number;
  readonly bytes: number;
  /** At most `failuresMax`. */
  readonly failed: ReadonlyArray<{ readonly backupId: BackupId; readonly message: string }>;
  readonly moreFailed: number;
};

const failuresMax = 50;

export function reportCopy(report: CopyReport): OffsiteReport {
  const { copied, present, skipped, removed, objects, bytes, failed } = report;
  return {
    kind: 'copy-offsite',
    copied: copied.length,
    present,
    skipped: skipped.length,
    removed: removed.length,
    ...{ objects, bytes },
    failed: failed.slice(0, failuresMax).map(({ backupId, error }) => ({
      ...{ backupId, message: error.message },
    })),
    moreFailed: Math.max(0, failed.length - failuresMax),
  };
}
