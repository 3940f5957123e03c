// Decides, purely, whether an instance is due for a copy to the second storage.
import type { BackupId } from '../../model/ids.ts';
import type { JobStatus } from '../../model/job.ts';

/** A copy that has failed is tried again after this pause, for as long as it takes. */
export const failurePauseMs = 3_600_000;
/** Also without new backups: old ones leave the copy, and what was lost there comes back. */
const roundMs = 24 * 3_600_000;

export type LastCopy = {
  readonly status: JobStatus;
  readonly endedAt: Date | null;
  /** The newest backup when it was asked for. */
  readonly newestBackupId: BackupId | null;
};

export type OffsiteFacts = {
  readonly newestBackupId: BackupId | null;
  /** The job that was asked for last; null: none is remembered. */
  readonly last: LastCopy | null;
};

/** Whether to ask for a copy now. One that has not ended is waited for. */
export function isCopyDue({ newestBackupId, last }: OffsiteFacts, now: Date): boolean {
  if (newestBackupId === null) return false;
  if (last === null) return true;
  if (last.endedAt === null) return false;
  if (last.newestBackupId !== newestBackupId) return true;
  const pauseMs = last.status === 'failed' ? failurePauseMs : roundMs;
  return now.getTime() - last.endedAt.getTime() >= pauseMs;
}
