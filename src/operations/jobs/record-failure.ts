import type { CatalogSession } from '../../catalog/catalog.ts';
import type { RecordedError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import { jobKinds, parseBackupPayload, parseRestorePayload } from '../job-payloads.ts';
import { recordFailedRestoreInPlace } from '../restore/record-failed-restore.ts';

/**
 * Marks what a job was about when the job ended without success: called in the transaction that
 * ends it, by the worker as well as by a cancel that comes before any worker.
 */
export async function recordFailure(
  job: Pick<Job, 'projectId' | 'kind' | 'payload'>,
  error: RecordedError,
  tx: CatalogSession,
  at: Date,
): Promise<void> {
  const reason = error.hint === null ? error.message : `${error.message} (${error.hint})`;
  switch (job.kind) {
    case jobKinds.backup: {
      const { backupId } = parseBackupPayload(job.payload);
      const backup = await tx.backups.find(job.projectId, backupId);
      if (backup?.state.status !== 'building') return;
      await tx.backups.setState(backupId, { status: 'failed', endedAt: at, reason });
      return;
    }
    case jobKinds.restore: {
      const { targetInstanceId } = parseRestorePayload(job.payload);
      const target = await tx.instances.find(job.projectId, targetInstanceId);
      if (target?.state.status !== 'building') return;
      await tx.instances.setState(targetInstanceId, { status: 'create-failed', reason }, at);
      return;
    }
    case jobKinds.restoreInPlace:
      return await recordFailedRestoreInPlace(job, reason, tx, at);
    default:
      // A deletion or a removal that failed leaves its object as it is, to be asked for again; what
      // looks after the storage has nothing to mark.
      return;
  }
}
