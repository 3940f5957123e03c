// Finds jobs whose worker is gone and decides on each: another attempt, or the end. Any worker may
// do it for all; `takeOver` lets exactly one of them decide.
import type { Catalog } from '../catalog/catalog.ts';
import { isErrorKind } from '../model/errors.ts';
import type { Job } from '../model/job.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { endJob } from './end-job.ts';
import type { JobKinds } from './job-kind.ts';
import { planAbandoned } from './retry.ts';

export type ReaperParts = {
  readonly catalog: Catalog;
  readonly kinds: JobKinds;
  readonly clock: Clock;
  readonly log: Logger;
  /** In whose name an abandoned job is held while it is decided on. */
  readonly owner: string;
  readonly leaseMs: number;
  readonly retryDelayMs: number;
};

/** Answers how many jobs were decided on. @throws storage-unavailable */
export async function reapAbandoned(
  parts: ReaperParts,
  deadOwners: readonly string[] = [],
): Promise<number> {
  const { catalog, clock, log } = parts;
  let count = 0;
  for (const job of await catalog.jobs.listAbandoned(clock.now(), deadOwners)) {
    try {
      if (await reapJob(parts, job)) count++;
    } catch (error) {
      // The next look tries again; one job must not keep the others from being looked at.
      log.error({ err: error, jobId: job.id, kind: job.kind }, 'abandoned job not decided on');
    }
  }
  return count;
}

/**
 * For a supervisor that saw a worker process die: that worker's jobs are decided on at once,
 * instead of when their leases run out. The caller must be sure that the process is gone.
 */
export async function releaseOwner(
  parts: Omit<ReaperParts, 'owner' | 'leaseMs' | 'retryDelayMs'> & Partial<ReaperParts>,
  deadOwner: string,
): Promise<number> {
  const defaults = { owner: `releasing ${deadOwner}`, leaseMs: 30_000, retryDelayMs: 5_000 };
  return await reapAbandoned({ ...defaults, ...parts }, [deadOwner]);
}

async function reapJob(parts: ReaperParts, job: Job): Promise<boolean> {
  const { catalog, clock, owner, leaseMs, kinds, log } = parts;
  const lease = await catalog.jobs.takeOver(job, owner, new Date(clock.now().getTime() + leaseMs));
  if (!lease) return false;
  const current = (await catalog.jobs.find(job.projectId, job.id)) ?? job;
  const ending = planAbandoned(current);
  log.warn(
    { jobId: job.id, kind: job.kind, deadOwner: job.leaseOwner, ending: ending.kind },
    'abandoned job',
  );
  try {
    await endJob(parts, { job: current, lease, kind: kinds[job.kind] ?? null }, ending);
  } catch (error) {
    if (isErrorKind(error, 'conflict')) return false;
    throw error;
  }
  return true;
}
