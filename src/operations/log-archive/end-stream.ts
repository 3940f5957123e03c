// The ways in which a stream ends: the server went on without us, what is stored of it cannot be
// read any more, or nobody wants it.
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { CairnError } from '../../model/errors.ts';
import type { LogStreamId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { LogWarning } from '../../model/log-stream.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Archiver } from './archiver.ts';
import { keeperNameOf } from './keeper-name.ts';
import { switchOffGraceMs } from './plan-log-retention.ts';
import { releaseLog } from './release-log.ts';

type Scene = {
  readonly archiver: Archiver;
  readonly intervalMs: number;
  readonly context: JobContext;
  readonly clock: Clock;
};

/** What was stored stays; the full backup that a new stream needs is asked for when it begins. */
export async function endByGap(
  { archiver, intervalMs, context, clock }: Scene,
  { message, hint }: CairnError,
): Promise<void> {
  const { session } = archiver;
  if (!session) return;
  await archiver.closeInterval({ intervalMs, isEnding: true });
  const reason = hint === null ? message : `${message} (${hint})`;
  await session.end({ status: 'ended', cause: 'gap', endedAt: clock.now(), reason });
  context.log.warn({ streamId: session.id, reason }, 'the archived log has a gap from here on');
}

/** A stream that nobody can take up: what can be read of it stays, and a new one begins. */
export async function endUnread(
  streamId: LogStreamId,
  reason: string,
  { context, clock }: Pick<Scene, 'context' | 'clock'>,
): Promise<void> {
  const endedAt = clock.now();
  const state = { status: 'ended', cause: 'gap', endedAt, reason } as const;
  await context.commit((tx) => tx.logStreams.setState(streamId, state, endedAt));
}

/** First the server forgets what it keeps for us: whoever finds the stream ended asks no more. */
export async function stopArchiving(
  { archiver, intervalMs, context, clock }: Scene,
  {
    instance,
    driver,
    reason,
  }: { readonly instance: Instance; readonly driver: EngineDriver; readonly reason: string },
): Promise<void> {
  const { session } = archiver;
  // Also without a stream: an attempt to begin one may have come as far as the server.
  if (!session) return void (await release(instance, driver, { context, clock }));
  await archiver.closeInterval({ intervalMs, isEnding: true });
  const warning = await release(instance, driver, { context, clock });
  const { covered } = archiver.collector;
  const progress = { ...session.progressAt(covered), behindBytes: null, warning, trouble: null };
  const state = { status: 'ended', cause: 'stopped', endedAt: clock.now(), reason } as const;
  await session.end(state, (tx) => tx.logStreams.setProgress(session.id, progress, clock.now()));
  const goesAt = new Date(state.endedAt.getTime() + switchOffGraceMs);
  const told = { streamId: session.id, reason, goesAt };
  context.log.info(told, 'log archiving has stopped; the archived log goes after a day');
}

async function release(
  instance: Instance,
  driver: EngineDriver,
  { context, clock }: Pick<Scene, 'context' | 'clock'>,
): Promise<LogWarning | null> {
  const { connection } = instance;
  const { signal, log } = context;
  if (connection)
    return await releaseLog(driver, { ...instance, connection }, { clock, signal, log });
  const message = `no address of ${instance.name} is known: its server may still keep log`;
  return { message, hint: driver.releaseLogByHand(keeperNameOf(instance.id)) };
}
