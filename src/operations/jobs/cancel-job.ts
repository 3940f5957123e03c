import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { JobId, ProjectId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';
import { jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { getJob } from './get-job.ts';
import { recordFailure } from './record-failure.ts';

/**
 * Cancels a job. One that waits ends at once, and what it was about is marked in the same
 * transaction; one that runs gets a flag that reaches its worker within seconds. Cancelling twice
 * is no error. @throws not-found, conflict when the job has ended, is a deletion (half a deletion
 * helps nobody) or a restore that has stopped the server it replaces
 */
export async function cancelJob(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'log'>,
  projectId: ProjectId,
  id: JobId,
): Promise<Job> {
  const job = await parts.catalog.transaction(async (tx) => {
    const before = await getJob(tx, projectId, id);
    if (before.status === 'cancelled') return before;
    assertCancellable(before);
    await cancelWithin(tx, before, parts.clock.now());
    return await getJob(tx, projectId, id);
  });
  parts.log.info({ jobId: id, status: job.status }, 'cancel accepted');
  return job;
}

/** The same inside a transaction that does more, for a job that is known to be cancellable. */
export async function cancelWithin(tx: CatalogSession, job: Job, at: Date): Promise<void> {
  const { ended } = await tx.jobs.requestCancel(job.id, at);
  // The row of the job is locked by now, as it is when the switch is written: one comes first.
  await assertNotSwitching(tx, job);
  if (!ended) return;
  const error = { kind: 'cancelled', message: 'cancelled before it ran', hint: null } as const;
  await recordFailure(job, error, tx, at);
}

function assertCancellable(job: Job): void {
  if (job.status === 'succeeded' || job.status === 'failed') {
    throw new CairnError('conflict', `job ${job.id} has ended: it ${job.status}`, {
      reason: 'job-ended',
    });
  }
  if (job.kind === jobKinds.deleteBackup || job.kind === jobKinds.removeInstance) {
    throw new CairnError('conflict', `a ${job.kind} job cannot be cancelled`, {
      reason: 'job-not-cancellable',
    });
  }
}

/** Stopping between two servers would leave none. */
async function assertNotSwitching(tx: CatalogSession, job: Job): Promise<void> {
  if (job.kind !== jobKinds.restoreInPlace || job.instanceId === null) return;
  const target = await tx.instances.find(job.projectId, job.instanceId);
  if (target?.state.status !== 'switching') return;
  throw new CairnError('conflict', `job ${job.id} is changing the server of ${target.name} over`, {
    reason: 'job-not-cancellable',
    hint: 'wait for its end: the instance has the new server then, or the old one again',
  });
}
