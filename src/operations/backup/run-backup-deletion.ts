import type { JobContext } from '../../jobs/job-kind.ts';
import type { Job } from '../../model/job.ts';
import { parseBackupPayload } from '../job-payloads.ts';
import type { WorkerParts } from '../worker-parts.ts';

export type DeletedBackupReport = {
  readonly kind: 'deleted-backup';
  readonly freedBytes: number;
  /** When its room is free at the latest, where the storage locks; else null. Epoch ms. */
  readonly lockedUntilMs: number | null;
};

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
  const { locks } = parts.repository;
  const lockedUntilMs = locks && parts.clock.now().getTime() + locks.longestMs;
  const report: DeletedBackupReport = { kind: 'deleted-backup', freedBytes, lockedUntilMs };
  await context.commit(async (tx) => {
    await tx.backups.delete(backup.id);
    await tx.jobs.setResult(job.id, report);
  });
  context.log.info({ backupId, freedBytes, lockedUntilMs }, 'backup deleted');
}
