import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError, isErrorKind, recordError, toCairnError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Instance, ReachableInstance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { Archiver } from './archiver.ts';
import { endByGap, endUnread, stopArchiving } from './end-stream.ts';
import type { FollowOutcome } from './follow-log.ts';
import { followLog } from './follow-log.ts';
import { keeperNameOf } from './keeper-name.ts';
import { formatLogTrouble } from './log-trouble.ts';
import type { Look } from './look-around.ts';
import { lookAround } from './look-around.ts';
import { planBackOffMs } from './plan-back-off.ts';
import { removeStillborn } from './remove-stillborn.ts';

/** Then the job ends, well, and another is asked for: no attempt lasts for ever. */
const turnMs = 24 * 3_600_000;
const restSliceMs = 5_000;
const releaseTimeoutMs = 60_000;
/** A storage that reads wrongly for a moment ends no stream. */
const damagePatienceMs = 5 * 60_000;

/** What outlives one connection to the server. */
type Run = {
  readonly job: Job;
  readonly instanceId: InstanceId;
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly endsMs: number;
  archiver: Archiver | null;
  failuresInRow: number;
  troubleSince: Date | null;
  /** What the log has been told of it. */
  troubleSaid: string | null;
};

type Step = FollowOutcome | { readonly kind: 'over'; readonly hasMoved: false };

/**
 * Archives the log of one instance for a day, or until something else wants the instance. Whatever
 * goes wrong is tried again as long as the lease is ours, and told where the instance is shown.
 */
export async function runLogArchive(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const endsMs = parts.clock.monotonicMs() + turnMs;
  const begun = { archiver: null, failuresInRow: 0, troubleSince: null, troubleSaid: null };
  const run: Run = { job, instanceId: requireInstance(job), context, parts, endsMs, ...begun };
  try {
    for (;;) {
      const outcome = await step(run);
      if (outcome.kind === 'over' || outcome.kind === 'turn-over') return;
      if (outcome.hasMoved) {
        Object.assign(run, { failuresInRow: 0, troubleSince: null, troubleSaid: null });
      }
      if (outcome.kind !== 'changed') await recover(run, outcome);
    }
  } finally {
    await closeArchiver(run);
  }
}

/** Throws only what ends the job. */
async function step(run: Run): Promise<Step> {
  const { context, parts } = run;
  try {
    const { standing, intervalMs } = await look(run);
    if (standing.kind === 'give-way') return { kind: 'over', hasMoved: false };
    const instance = await parts.catalog.instances.get(run.job.projectId, run.instanceId);
    const driver = driverFor(parts.engines, instance.engine);
    const archiver = await openArchiver(run, instance);
    const scene = { archiver, intervalMs, context, clock: parts.clock };
    if (standing.kind === 'stop') {
      await stopArchiving(scene, { instance, driver, reason: standing.reason });
      return { kind: 'over', hasMoved: false };
    }
    const outcome = await follow(run, { archiver, driver, instance: standing.instance });
    if (outcome.kind === 'gap') await endByGap(scene, outcome.error);
    return outcome;
  } catch (error) {
    context.signal.throwIfAborted();
    await assertHeld(context);
    return { kind: 'failed', hasMoved: false, error: toCairnError(error), isBroken: true };
  }
}

/** Without its lease the job is over; while the catalog is away, the lease runs out by itself. */
async function assertHeld(context: JobContext): Promise<void> {
  try {
    await context.assertLease();
  } catch (error) {
    if (!isErrorKind(error, 'storage-unavailable')) throw error;
  }
}

/** The stream has ended, or is taken up anew from what is stored, or only the connection is. */
async function recover(
  run: Run,
  failure: Extract<FollowOutcome, { readonly kind: 'gap' | 'failed' }>,
): Promise<void> {
  run.failuresInRow++;
  await tellTrouble(run, failure.error);
  if (failure.kind === 'gap' || failure.isBroken) await closeArchiver(run);
  if (isErrorKind(failure.error, 'repository-damaged')) await giveUpDamaged(run, failure.error);
  await rest(run);
}

/**
 * What is damaged for good would stop the archive for good, while the server keeps all its log for
 * it: after a while of trying a new stream begins, as behind a gap.
 */
async function giveUpDamaged(run: Run, error: CairnError): Promise<void> {
  const { context, instanceId, troubleSince } = run;
  const { catalog, clock } = run.parts;
  const sinceMs = troubleSince?.getTime() ?? clock.now().getTime();
  if (clock.now().getTime() - sinceMs < damagePatienceMs) return;
  const stream = await catalog.logStreams.findFollowing(instanceId);
  if (!stream) return;
  context.log.error({ err: error, streamId: stream.id }, 'a damaged stream of log is given up');
  await endUnread(stream.id, `what is stored of it is damaged: ${error.message}`, {
    ...{ context, clock },
  });
}

async function follow(
  run: Run,
  with_: {
    readonly archiver: Archiver;
    readonly driver: EngineDriver;
    readonly instance: ReachableInstance;
  },
): Promise<FollowOutcome> {
  const { archiver, driver, instance } = with_;
  const { context, endsMs, parts } = run;
  if (!archiver.session) {
    await removeStillborn(instance.id, context, parts);
    // A new stream begins where the server is now, not at what it has kept for an older one.
    const signal = deadlineSignal(releaseTimeoutMs, context.signal);
    try {
      await driver.releaseLog(instance.connection, keeperNameOf(instance.id), signal);
    } catch (error) {
      // One of several servers may be away for good; that the primary is says who follows it.
      const isAway = isErrorKind(error, 'engine-unreachable');
      if (!isAway || instance.connection.standbys.length === 0) throw error;
    }
  }
  context.progress({ phase: 'following the log', doneBytes: 0, totalBytes: null });
  const { clock } = parts;
  return await followLog({ ...with_, context, clock, endsMs, look: () => look(run) });
}

async function look({ job, instanceId, parts }: Run): Promise<Look> {
  return await lookAround({ projectId: job.projectId, instanceId, jobId: job.id }, parts);
}

async function openArchiver(run: Run, instance: Instance): Promise<Archiver> {
  const { job, context, parts } = run;
  run.archiver ??= await Archiver.open({ job, context, parts, instance });
  return run.archiver;
}

async function closeArchiver(run: Run): Promise<void> {
  const { archiver } = run;
  run.archiver = null;
  await archiver?.[Symbol.asyncDispose]();
}

/** In the row of the stream; before there is one, as the result of the job. */
async function tellTrouble(run: Run, error: CairnError): Promise<void> {
  const { context, parts, instanceId, job, archiver } = run;
  const { clock } = parts;
  const { log } = context;
  run.troubleSince ??= clock.now();
  const trouble = { ...recordError(error), since: run.troubleSince };
  const isOurs = error.kind === 'bug' || error.kind === 'repository-damaged';
  const text = 'the log is not archived for now';
  if (isOurs) log.error({ err: error, instanceId }, text);
  // What is tried again every minute is said once, and without a stack: it is no fault of ours.
  else if (error.message !== run.troubleSaid) log.warn({ ...recordError(error), instanceId }, text);
  run.troubleSaid = error.message;
  context.progress({ phase: 'waiting to try again', doneBytes: 0, totalBytes: null });
  archiver?.session?.noteTrouble(trouble);
  try {
    const stream = await parts.catalog.logStreams.findFollowing(instanceId);
    await context.commit(async (tx) => {
      if (stream) {
        return await tx.logStreams.setProgress(
          stream.id,
          { ...stream.progress, trouble },
          clock.now(),
        );
      }
      await tx.jobs.setResult(job.id, formatLogTrouble(trouble));
    });
  } catch (cause) {
    context.signal.throwIfAborted();
    log.warn({ err: cause }, 'the catalog could not be told why no log is archived');
  }
}

async function rest(run: Run): Promise<void> {
  const { context, parts, failuresInRow } = run;
  const { clock, random } = parts;
  let leftMs = planBackOffMs(failuresInRow, random.bytes(1).readUInt8() / 255);
  while (leftMs > 0) {
    const sliceMs = Math.min(leftMs, restSliceMs);
    await clock.sleep(sliceMs, context.signal);
    leftMs -= sliceMs;
    const standing = await look(run).then(
      (found) => found.standing.kind,
      () => 'follow',
    );
    if (standing !== 'follow') return;
  }
}

function requireInstance({ id, instanceId }: Job): InstanceId {
  if (instanceId !== null) return instanceId;
  throw new CairnError('bug', `job ${id} names no instance`);
}
