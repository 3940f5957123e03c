// Claims jobs and runs them, a few of each lane at a time, and cleans up after workers that died.
// Knows nothing of what the jobs do. Any number of workers share one queue; they meet in the
// catalog only.
import type { Catalog } from '../catalog/catalog.ts';
import { assert } from '../model/assert.ts';
import { isErrorKind } from '../model/errors.ts';
import type { Job } from '../model/job.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { Random } from '../platform/random.ts';
import { Attempt } from './attempt.ts';
import { endJob } from './end-job.ts';
import type { JobKind, JobKinds, JobLane } from './job-kind.ts';
import { jobLanes } from './job-kind.ts';
import { reapAbandoned } from './reaper.ts';

export type WorkerOptions = {
  readonly catalog: Catalog;
  readonly kinds: JobKinds;
  /** Names this worker among all that ever ran: a new one for every process. */
  readonly owner: string;
  readonly pools: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly leaseMs?: number;
  readonly renewMs?: number;
  readonly pollMs?: number;
  /** Jobs that move data at a time. */
  readonly concurrency?: number;
  /** Jobs that only stand by, beside those. */
  readonly standingMax?: number;
  readonly retryDelayMs?: number;
  /**
   * A job that was told to stop (cancel, ceiling, lost lease) has so long before it is written off.
   */
  readonly abortGraceMs?: number;
};

export interface Worker {
  /** Begins to claim. Once. */
  start(): void;
  /**
   * Claims nothing more, tells the running jobs to stop and gives them back; resolves when that is
   * done, or after `graceMs`. Stopping is not the jobs' fault, so it costs them no attempt:
   * otherwise a few upgrades in a row would fail a long backup. A job that has not stopped in time
   * keeps its lease until it runs out, and counts as crashed: it may still be writing, so nobody
   * may begin before.
   */
  stop(options: { readonly graceMs: number }): Promise<void>;
  /** `stop` with a grace of 10 s. */
  [Symbol.asyncDispose](): Promise<void>;
}

export function createWorker(options: WorkerOptions): Worker {
  return new QueueWorker(options);
}

const disposeGraceMs = 10_000;
const reapMaxMs = 5_000;
const backOffMaxMs = 10_000;
const lastCallMs = 1_000;

type Settings = Required<WorkerOptions>;

class QueueWorker implements Worker {
  readonly #settings: Settings;
  readonly #attempts = new Map<Attempt, JobLane>();
  readonly #stopping = new AbortController();
  #loops: Promise<unknown> | null = null;
  #resting = new AbortController();
  #failuresInRow = 0;

  constructor(options: WorkerOptions) {
    this.#settings = {
      leaseMs: 30_000,
      renewMs: 10_000,
      pollMs: 500,
      concurrency: 2,
      standingMax: 64,
      retryDelayMs: 5_000,
      abortGraceMs: 30_000,
      ...options,
    };
    const { renewMs, leaseMs } = this.#settings;
    assert(renewMs <= leaseMs / 2, `renewMs ${renewMs} is too long for leaseMs ${leaseMs}`);
  }

  start(): void {
    assert(this.#loops === null, 'worker started twice');
    this.#loops = Promise.allSettled([this.#claimLoop(), this.#reapLoop()]);
  }

  async stop({ graceMs }: { readonly graceMs: number }): Promise<void> {
    const { clock, log } = this.#settings;
    this.#stopping.abort();
    this.#resting.abort();
    const deadline = new AbortController();
    const stopped = (async () => {
      for (const attempt of this.#attempts.keys()) attempt.shutDown();
      await this.#loops;
      await Promise.all([...this.#attempts.keys()].map((attempt) => attempt.ended));
      deadline.abort();
    })();
    await clock.sleep(graceMs, deadline.signal).catch(() => undefined);
    if (this.#attempts.size > 0) {
      log.error({ count: this.#attempts.size }, 'jobs did not stop in time; their leases run out');
      for (const attempt of this.#attempts.keys()) attempt.abandon();
    }
    // What is left is at most one call to the catalog; it is not worth more than a moment.
    const moment = clock.sleep(lastCallMs, deadline.signal).catch(() => undefined);
    await Promise.race([stopped, moment]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ graceMs: disposeGraceMs });
  }

  async #claimLoop(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#resting = new AbortController();
      const full = jobLanes.filter((lane) => !this.#hasRoom(lane));
      if (full.length < jobLanes.length && (await this.#claimOne(full))) continue;
      await this.#rest();
    }
  }

  #hasRoom(lane: JobLane): boolean {
    const { concurrency, standingMax } = this.#settings;
    const taken = [...this.#attempts.values()].filter((each) => each === lane).length;
    return taken < { data: concurrency, standing: standingMax }[lane];
  }

  /** True when there may be more. */
  async #claimOne(full: readonly JobLane[]): Promise<boolean> {
    const { catalog, kinds, owner, pools, clock, leaseMs, log } = this.#settings;
    const claimedMs = clock.monotonicMs();
    const now = clock.now();
    try {
      const job = await catalog.jobs.claim({
        owner,
        pools,
        conflicts: conflictsOf(kinds),
        exceptKinds: Object.keys(kinds).filter((kind) => isIn(full, kinds[kind])),
        now,
        leaseExpiresAt: new Date(now.getTime() + leaseMs),
      });
      if (job) await this.#begin(job, claimedMs);
      this.#failuresInRow = 0;
      return job !== null;
    } catch (error) {
      this.#failuresInRow++;
      log.warn({ err: error, failuresInRow: this.#failuresInRow }, 'no job claimed');
      return false;
    }
  }

  async #begin(job: Job, claimedMs: number): Promise<void> {
    const lease = { jobId: job.id, owner: this.#settings.owner, fence: job.fence };
    if (this.#stopping.signal.aborted) {
      await endJob(this.#settings, { job, lease, kind: null }, { kind: 'give-back' });
      return;
    }
    const kind = this.#settings.kinds[job.kind];
    if (!kind) {
      const message = `this version of the worker does not know jobs of kind ${job.kind}`;
      const error = { kind: 'bug', message, hint: 'run workers of one version' } as const;
      const outcome = { status: 'failed', error } as const;
      await endJob(this.#settings, { job, lease, kind: null }, { kind: 'fail', outcome });
      return;
    }
    const attempt = new Attempt(this.#settings, { job, lease, kind, claimedMs });
    this.#attempts.set(attempt, kind.lane);
    void attempt.ended.then(() => {
      this.#attempts.delete(attempt);
      this.#resting.abort();
    });
  }

  /**
   * Until the next poll, or until a running job has ended. Never the same span twice, so workers
   * spread.
   */
  async #rest(): Promise<void> {
    const { clock, random, pollMs } = this.#settings;
    const backOff = Math.min(pollMs * 2 ** this.#failuresInRow, Math.max(backOffMaxMs, pollMs));
    const spread = 0.75 + random.bytes(2).readUInt16LE() / 131_070;
    await clock.sleep(backOff * spread, this.#resting.signal).catch(() => undefined);
  }

  async #reapLoop(): Promise<void> {
    const { clock, log, leaseMs } = this.#settings;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await reapAbandoned(this.#settings);
      } catch (error) {
        const text = 'abandoned jobs not looked for';
        if (isErrorKind(error, 'storage-unavailable')) log.warn({ err: error }, text);
        else log.error({ err: error }, text);
      }
      await clock.sleep(Math.min(leaseMs / 3, reapMaxMs), signal).catch(() => undefined);
    }
  }
}

function isIn(lanes: readonly JobLane[], kind: JobKind | undefined): boolean {
  return kind !== undefined && lanes.includes(kind.lane);
}

function conflictsOf(kinds: JobKinds): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, kind.conflictsWith]),
  );
}
