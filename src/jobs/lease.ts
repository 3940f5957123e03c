// Holds the lease of one running job. Two loops that must not wait for each other: the heartbeat
// talks to the catalog and may hang in it; the watch only looks at the clock and gives up the lease
// some time before others may take it, so that the job has stopped by then.
import type { Catalog, Lease } from '../catalog/catalog.ts';
import { CairnError } from '../model/errors.ts';
import type { ProjectId } from '../model/ids.ts';
import type { Clock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import type { ProgressMeter } from './progress-meter.ts';

/** A cancel must reach the job within 2 s; news of its progress travel with the same beat. */
const beatMaxMs = 1_500;

export type LeaseKeeperOptions = {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly lease: Lease;
  readonly projectId: ProjectId;
  /** The clock's monotonic time before the claim was sent: the lease counts from there. */
  readonly claimedMs: number;
  readonly leaseMs: number;
  /**
   * The lease is renewed at least this often; every beat that has progress to tell renews it too.
   */
  readonly renewMs: number;
  readonly meter: ProgressMeter;
  onCancel(): void;
  /** Called once; nothing is renewed afterwards. */
  onLost(error: CairnError): void;
};

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #over = new AbortController();
  readonly #loops: Promise<unknown>;
  #renewedMs: number;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#renewedMs = options.claimedMs;
    this.#loops = Promise.allSettled([this.#beat(), this.#watch()]);
  }

  /**
   * From this moment on the job counts as stopped; a sixth of the lease is left for stopping it.
   */
  get validUntilMs(): number {
    const { leaseMs } = this.#options;
    return this.#renewedMs + leaseMs - leaseMs / 6;
  }

  get isHeld(): boolean {
    return !this.#over.signal.aborted && this.#options.clock.monotonicMs() < this.validUntilMs;
  }

  /** Renews no more; a renewal under way may still arrive. */
  release(): void {
    this.#over.abort();
  }

  /** Resolves when no renewal is under way any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#loops;
  }

  async #beat(): Promise<void> {
    const { clock, renewMs, log, meter } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await clock.sleep(Math.min(renewMs, beatMaxMs), signal);
      const isDue = clock.monotonicMs() - this.#renewedMs >= renewMs - beatMaxMs;
      try {
        if (isDue || meter.hasNews) await this.#renew();
        else await this.#look();
      } catch (error) {
        log.warn({ err: error }, 'lease not renewed');
      }
    }
  }

  async #renew(): Promise<void> {
    const { catalog, clock, lease, leaseMs, meter } = this.#options;
    const sentMs = clock.monotonicMs();
    const expiresAt = new Date(clock.now().getTime() + leaseMs);
    const answer = await catalog.jobs.renew(lease, expiresAt, meter.read());
    if (this.#over.signal.aborted) return;
    if (answer.held) this.#renewedMs = sentMs;
    this.#heed({ isHeld: answer.held, isCancelled: answer.cancelRequested });
  }

  /** Reads only: cheaper than a renewal when there is nothing to tell. */
  async #look(): Promise<void> {
    const { catalog, lease, projectId } = this.#options;
    const job = await catalog.jobs.find(projectId, lease.jobId);
    if (this.#over.signal.aborted) return;
    const isHeld =
      job?.status === 'running' && job.leaseOwner === lease.owner && job.fence === lease.fence;
    this.#heed({ isHeld, isCancelled: job?.cancelRequested ?? false });
  }

  #heed(answer: { readonly isHeld: boolean; readonly isCancelled: boolean }): void {
    if (!answer.isHeld) this.#lose('another worker has taken the job over');
    else if (answer.isCancelled) this.#options.onCancel();
  }

  async #watch(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      const leftMs = this.validUntilMs - clock.monotonicMs();
      if (leftMs <= 0) this.#lose('the lease could not be renewed in time');
      else await clock.sleep(leftMs, signal);
    }
  }

  #lose(reason: string): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    const { jobId } = this.#options.lease;
    this.#options.onLost(new CairnError('conflict', `lost the lease of job ${jobId}: ${reason}`));
  }
}
