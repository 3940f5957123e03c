import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { jobKinds } from '../job-payloads.ts';
import { insertInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';

/**
 * Asks, in the transaction that completes a backup, for locks on what it needs. The payload tells
 * the job from one that runs already and has not seen the backup.
 */
export async function requestLocks(
  tx: CatalogSession,
  parts: Pick<RequestParts, 'clock' | 'random'>,
  { id: backupId, projectId, instanceId }: Backup,
): Promise<void> {
  const payload = { backupId };
  await insertInstanceJob(tx, parts, {
    ...{ kind: jobKinds.extendLocks, projectId, instanceId, payload },
  });
}
