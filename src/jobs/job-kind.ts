// What the queue must be told about each kind of job. `jobs/` knows nothing of backups:
// `compose.ts` hands it a record of these, by the name of the kind.
import type { CatalogSession, JobOutcome } from '../catalog/catalog.ts';
import type { Job, JobProgress } from '../model/job.ts';
import type { Logger } from '../platform/logger.ts';

export interface JobContext {
  /**
   * Fires on cancel, on a lost lease, on shutdown and at the kind's ceiling; the reason is a
   * CairnError.
   */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Cheap; written with the next renewal. The rate is worked out from the calls. */
  progress(progress: Omit<JobProgress, 'bytesPerSecond'>): void;
  /** Writes to the catalog in one transaction that is refused when the lease is stale. */
  commit<T>(work: (tx: CatalogSession) => Promise<T>): Promise<T>;
  /** Call right before anything that cannot be undone. @throws conflict when the lease is lost */
  assertLease(): Promise<void>;
  /**
   * Whether the job is over for good when the attempt throws this now: no attempt will follow, and
   * the lease is still held. Also answers after a cancel, when `assertLease` throws.
   */
  isFinal(error: unknown): Promise<boolean>;
}

/**
 * What a job takes of its worker. `data`: it moves bytes and ends. `standing`: it stands by for
 * hours and does little, so it must take no place from the others.
 */
export const jobLanes = ['data', 'standing'] as const;
export type JobLane = (typeof jobLanes)[number];

export type JobKind = {
  readonly lane: JobLane;
  /** Kinds that must not run on the same instance at the same time. */
  readonly conflictsWith: readonly string[];
  readonly attemptsMax: number;
  /** No attempt runs longer. */
  readonly ceilingMs: number;
  /** May run twice: every step is safe to repeat. Throwing fails the attempt. */
  run(job: Job, context: JobContext): Promise<void>;
  /**
   * Runs once, in the transaction that ends the job without success (failed, cancelled, or crashed
   * too often): the place to mark what the job was about. Succeeding jobs write their own success
   * in `commit`.
   */
  onFailed(
    job: Job,
    outcome: Exclude<JobOutcome, { status: 'succeeded' }>,
    tx: CatalogSession,
    at: Date,
  ): Promise<void>;
};

export type JobKinds = Readonly<Record<string, JobKind>>;
