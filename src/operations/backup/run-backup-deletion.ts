import type { JobContext } from '../../jobs/job-kind.ts';
import type { Job } from '../../model/job.ts';
import { parseBackupPayload } from '../job-payloads.ts';
import type { WorkerParts } from '../worker-parts.ts';

/**
 * Removes a backup from the repository, then from the catalog: gone is said only of what is gone.
 */
export async function runBackupDeletion(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const { backupId } = parseBackupPayload(job.payload);
  const backup = await parts.catalog.backups.find(job.projectId, backupId);
  // An earlier attempt came this far.
  if (!backup) return;
  context.progress({ phase: 'deleting', doneBytes: 0, totalBytes: null });
  const { signal } = context;
  const assertLease = (): Promise<void> => context.assertLease();
  const { freedBytes } = await parts.repository.deleteBackup(backup.instanceId, backup.id, {
    ...{ assertLease, signal },
  });
  await context.commit((tx) => tx.backups.delete(backup.id));
  context.log.info({ backupId, freedBytes }, 'backup deleted');
}
