import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';
import { cancelJob } from '../jobs/cancel-job.ts';
import type { RequestParts } from '../parts.ts';

/**
 * Stops the backup that runs, or waits to run, on an instance: its worker is told within seconds,
 * nothing of it stays in the storage, and it is shown as failed. Answers its job.
 * @throws not-found, conflict when there is none
 */
export async function stopBackup(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'log'>,
  projectId: ProjectId,
  instanceId: InstanceId,
): Promise<{ readonly jobId: JobId }> {
  const { name } = await getInstance(parts.catalog, projectId, instanceId);
  const nothing = (cause?: unknown): CairnError =>
    new CairnError('conflict', `no backup of instance ${name} is running`, {
      reason: 'backup-not-running',
      ...(cause === undefined ? {} : { cause }),
    });
  const backup = await parts.catalog.backups.findBuilding(instanceId);
  if (!backup) throw nothing();
  try {
    const { id } = await cancelJob(parts, projectId, backup.jobId);
    return { jobId: id };
  } catch (error) {
    // It has ended in between.
    if (isErrorKind(error, 'conflict') && error.reason === 'job-ended') throw nothing(error);
    throw error;
  }
}
