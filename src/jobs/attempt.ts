// One attempt at one job, from the claim to the row that says how it ended. Four things can stop it
// before it is done: a cancel, a lost lease, the end of the worker, the kind's ceiling. The first
// one to come decides.
import type { Lease } from '../catalog/catalog.ts';
import { CairnError, isErrorKind, toCairnError } from '../model/errors.ts';
import type { Job } from '../model/job.ts';
import { formatDuration } from '../model/units.ts';
import type { EndingParts } from './end-job.ts';
import { endJob } from './end-job.ts';
import type { JobContext, JobKind } from './job-kind.ts';
import { LeaseKeeper } from './lease.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { Ending } from './retry.ts';
import { cancelledByUser, planRetry } from './retry.ts';

export type AttemptParts = EndingParts & {
  readonly leaseMs: number;
  readonly renewMs: number;
  /** A job that was told to stop has so long to do it. */
  readonly abortGraceMs: number;
};

export type ClaimedJob = {
  readonly job: Job;
  readonly lease: Lease;
  readonly kind: JobKind;
  readonly claimedMs: number;
};

type OrderlyCause = 'cancel' | 'shutdown' | 'ceiling';
type StopCause = OrderlyCause | 'lease-lost';
type RunResult =
  | { readonly kind: 'done' | 'stuck' }
  | { readonly kind: 'threw'; error: CairnError };

/** Node's timers hold 31 bits. */
const timerMaxMs = 2_147_483_647;
const writeAgainMs = 500;

export class Attempt {
  readonly #parts: AttemptParts;
  readonly #claimed: ClaimedJob;
  readonly #meter: ProgressMeter;
  readonly #keeper: LeaseKeeper;
  readonly #stop = new AbortController();
  /** Ends what only waits: the ceiling, the grace. */
  readonly #over = new AbortController();
  #cause: StopCause | null = null;
  #isAbandoned = false;
  /** Resolves when the job's row is written, or nothing can be written any more. Never rejects. */
  readonly ended: Promise<void>;

  constructor(parts: AttemptParts, claimed: ClaimedJob) {
    const { job, lease, kind } = claimed;
    const log = parts.log.child({ jobId: job.id, kind: job.kind, attempt: job.attempt });
    this.#parts = { ...parts, log };
    this.#claimed = claimed;
    this.#meter = new ProgressMeter(parts.clock);
    this.#keeper = new LeaseKeeper({
      ...this.#parts,
      lease,
      projectId: job.projectId,
      claimedMs: claimed.claimedMs,
      meter: this.#meter,
      onCancel: () => this.#abort('cancel', new CairnError('cancelled', 'cancelled on request')),
      onLost: (error) => this.#abort('lease-lost', error),
    });
    void this.#watchCeiling(kind.ceilingMs);
    this.ended = this.#perform();
  }

  /** The worker is ending: the job stops and is given back. */
  shutDown(): void {
    this.#abort('shutdown', new CairnError('cancelled', 'the worker is stopping'));
  }

  /** Waits for the job no longer. Its lease runs out by itself, so others begin only after that. */
  abandon(): void {
    this.#isAbandoned = true;
    this.#keeper.release();
    this.#over.abort();
  }

  async #perform(): Promise<void> {
    const { log } = this.#parts;
    try {
      const result = await this.#run();
      const ending = this.#planEnding(result);
      if (ending) await this.#write(ending);
      log.info({ ending: ending?.kind ?? 'left', cause: this.#cause }, 'attempt ended');
    } catch (error) {
      const isStale = isErrorKind(error, 'conflict');
      log.error({ err: error }, isStale ? 'attempt ended without its lease' : 'end not written');
    } finally {
      this.#over.abort();
      await this.#keeper[Symbol.asyncDispose]();
    }
  }

  async #run(): Promise<RunResult> {
    const { job, kind } = this.#claimed;
    // A kind that throws before its first `await` fails like any other.
    const work = Promise.resolve().then(() => kind.run(job, this.#createContext()));
    const settled = work.then(
      (): RunResult => ({ kind: 'done' }),
      (error: unknown): RunResult => ({ kind: 'threw', error: toCairnError(error) }),
    );
    return await Promise.race([settled, this.#waitUntilStuck()]);
  }

  /**
   * A job that does not stop when told must not keep its instance for ever; the fence keeps it
   * harmless.
   */
  async #waitUntilStuck(): Promise<RunResult> {
    const { clock, abortGraceMs, log } = this.#parts;
    const over = this.#over.signal;
    const told = Promise.withResolvers<void>();
    for (const signal of [this.#stop.signal, over]) {
      if (signal.aborted) told.resolve();
      signal.addEventListener('abort', () => told.resolve(), { once: true });
    }
    await told.promise;
    if (this.#cause === 'shutdown') await untilOver(over);
    else await clock.sleep(abortGraceMs, over).catch(() => undefined);
    if (!over.aborted) log.error({ cause: this.#cause }, 'the job did not stop when told to');
    return { kind: 'stuck' };
  }

  #createContext(): JobContext {
    const { catalog, log } = this.#parts;
    const { lease } = this.#claimed;
    return {
      signal: this.#stop.signal,
      log,
      progress: (report) => this.#meter.report(report),
      commit: (work) =>
        catalog.transaction(async (tx) => {
          await tx.jobs.assertLease(lease);
          return await work(tx);
        }),
      assertLease: async () => {
        this.#stop.signal.throwIfAborted();
        await catalog.jobs.assertLease(lease);
        this.#stop.signal.throwIfAborted();
        if (!this.#keeper.isHeld) throw new CairnError('conflict', 'the lease has run out');
      },
      isFinal: async (error) => {
        const ending = this.#planEnding({ kind: 'threw', error: toCairnError(error) });
        if (ending?.kind !== 'fail' || !this.#keeper.isHeld) return false;
        return await catalog.jobs.assertLease(lease).then(
          () => true,
          () => false,
        );
      },
    };
  }

  /** Null: nothing may be written; whoever takes the job over decides. */
  #planEnding(result: RunResult): Ending | null {
    const cause = this.#cause;
    const { job, kind } = this.#claimed;
    if (cause === 'lease-lost' || this.#isAbandoned) return null;
    if (result.kind === 'done') return { kind: 'succeed' };
    if (cause !== null) return planStopped(cause, kind);
    return result.kind === 'threw' ? planRetry(job, result.error) : null;
  }

  /**
   * Tries again while the catalog is away and the lease is ours; afterwards another worker decides.
   */
  async #write(ending: Ending): Promise<void> {
    const { clock, catalog, leaseMs, log } = this.#parts;
    const { lease } = this.#claimed;
    for (;;) {
      try {
        if (this.#meter.hasNews) {
          const expiresAt = new Date(clock.now().getTime() + leaseMs);
          await catalog.jobs.renew(lease, expiresAt, this.#meter.read());
        }
        return await endJob(this.#parts, this.#claimed, ending);
      } catch (error) {
        if (!isErrorKind(error, 'storage-unavailable') || !this.#keeper.isHeld) throw error;
        log.warn({ err: error }, 'end of the attempt not written yet');
      }
      await clock.sleep(writeAgainMs, this.#over.signal);
    }
  }

  async #watchCeiling(ceilingMs: number): Promise<void> {
    const { clock } = this.#parts;
    try {
      await clock.sleep(Math.min(ceilingMs, timerMaxMs), this.#over.signal);
    } catch {
      return; // the attempt was over first
    }
    const span = formatDuration(ceilingMs);
    this.#abort('ceiling', new CairnError('cancelled', `the job reached its limit of ${span}`));
  }

  #abort(cause: StopCause, reason: CairnError): void {
    if (this.#cause !== null || this.#over.signal.aborted) {
      if (cause === 'lease-lost') this.#cause = cause;
      return;
    }
    this.#cause = cause;
    this.#parts.log.info({ cause }, reason.message);
    this.#stop.abort(reason);
  }
}

function planStopped(cause: OrderlyCause, { ceilingMs }: JobKind): Ending {
  switch (cause) {
    case 'cancel':
      return { kind: 'fail', outcome: { status: 'cancelled', error: cancelledByUser } };
    case 'ceiling': {
      const message = `stopped at its time limit of ${formatDuration(ceilingMs)}`;
      const error = { kind: 'cancelled', message, hint: null } as const;
      return { kind: 'fail', outcome: { status: 'failed', error } };
    }
    case 'shutdown':
      return { kind: 'give-back' };
  }
}

async function untilOver(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
