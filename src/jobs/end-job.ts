// Writes how an attempt ended, for the worker that ran it and for the one that found it abandoned.
import type { Catalog, CatalogSession, Lease } from '../catalog/catalog.ts';
import { isErrorKind } from '../model/errors.ts';
import type { Job } from '../model/job.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { JobKind } from './job-kind.ts';
import type { Ending, FailedOutcome } from './retry.ts';
import { cancelledByUser } from './retry.ts';

export type EndingParts = {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Logger;
  /** A job that is retried rests for so long. */
  readonly retryDelayMs: number;
};

export type LeasedJob = {
  readonly job: Job;
  readonly lease: Lease;
  /** Null: this program does not know the kind, so nobody can be told of the failure. */
  readonly kind: JobKind | null;
};

/** @throws conflict when the lease is stale: then somebody else has decided */
export async function endJob(parts: EndingParts, leased: LeasedJob, ending: Ending): Promise<void> {
  const { catalog, clock } = parts;
  const { job, lease } = leased;
  switch (ending.kind) {
    case 'succeed':
      return await catalog.jobs.end(lease, { status: 'succeeded' }, clock.now());
    case 'fail':
      return await failJob(parts, leased, ending.outcome);
    case 'retry':
    case 'give-back': {
      const isCancelled = await catalog.transaction(async (tx) => {
        // Locks the row: a cancel comes before, and is seen, or after, and finds the job queued.
        await tx.jobs.assertLease(lease);
        const current = await tx.jobs.find(job.projectId, job.id);
        if (current?.cancelRequested) return true;
        await requeue(parts, tx, lease, ending);
        return false;
      });
      if (isCancelled) {
        await failJob(parts, leased, { status: 'cancelled', error: cancelledByUser });
      }
    }
  }
}

async function requeue(
  { clock, retryDelayMs }: EndingParts,
  tx: CatalogSession,
  lease: Lease,
  ending: Extract<Ending, { kind: 'retry' | 'give-back' }>,
): Promise<void> {
  const now = clock.now();
  if (ending.kind === 'give-back') return await tx.jobs.giveBack(lease, now);
  await tx.jobs.retry(lease, ending.error, new Date(now.getTime() + retryDelayMs));
}

/**
 * Ends the job and tells its kind, in one transaction. A kind that cannot take it must not keep the
 * instance busy for ever: then the job ends without it, loudly.
 */
async function failJob(
  { catalog, clock, log }: EndingParts,
  { job, lease, kind }: LeasedJob,
  outcome: FailedOutcome,
): Promise<void> {
  const at = clock.now();
  let hasEnded = false;
  try {
    await catalog.transaction(async (tx) => {
      const told = await heedCancel(tx, job, outcome);
      await tx.jobs.end(lease, told, at);
      hasEnded = true;
      await kind?.onFailed(job, told, tx, at);
    });
  } catch (error) {
    if (!hasEnded || isErrorKind(error, 'storage-unavailable')) throw error;
    log.error(
      { err: error, jobId: job.id, kind: job.kind },
      'a failed job could not be cleared up',
    );
    await catalog.jobs.end(lease, outcome, at);
  }
}

/** A recipe may have seen the flag of a cancel in the catalog before the worker did. */
async function heedCancel(
  tx: CatalogSession,
  { projectId, id }: Job,
  outcome: FailedOutcome,
): Promise<FailedOutcome> {
  if (outcome.status !== 'failed' || outcome.error.kind !== 'cancelled') return outcome;
  const current = await tx.jobs.find(projectId, id);
  return current?.cancelRequested ? { status: 'cancelled', error: cancelledByUser } : outcome;
}
