// One connection to the server: the driver pushes the log, and beside it a clock ticks that closes
// intervals, tells the catalog how far the stream has come, and looks whether it is still wanted.
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { ReachableInstance } from '../../model/instance.ts';
import { formatLogPosition } from '../../model/log-position.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { Archiver } from './archiver.ts';
import { keeperNameOf } from './keeper-name.ts';
import type { Look } from './look-around.ts';

export type FollowOptions = {
  readonly archiver: Archiver;
  readonly driver: EngineDriver;
  readonly instance: ReachableInstance;
  readonly context: JobContext;
  readonly clock: WorkerParts['clock'];
  /** Of the clock's monotonic time: the job's turn is over. */
  readonly endsMs: number;
  look(): Promise<Look>;
};

type Ended = 'turn-over' | 'changed';

/** `hasMoved`: something was stored. */
export type FollowOutcome =
  | { readonly kind: 'turn-over'; readonly hasMoved: boolean }
  | { readonly kind: 'changed'; readonly hasMoved: boolean }
  /** The server cannot go on with the stream. */
  | { readonly kind: 'gap'; readonly hasMoved: boolean; readonly error: CairnError }
  /** `isBroken`: it was not the server, so what is stored must be looked at anew. */
  | {
      readonly kind: 'failed';
      readonly hasMoved: boolean;
      readonly error: CairnError;
      readonly isBroken: boolean;
    };

const tickMs = 1_000;
/** The catalog is told, and asked, so often. */
const lookEveryMs = 5_000;

/** Throws only when the job itself is to stop: its signal's reason, after storing what it has. */
export async function followLog(options: FollowOptions): Promise<FollowOutcome> {
  const { archiver, driver, instance, context } = options;
  const before = positionOf(archiver);
  const attempt = new AbortController();
  const signal = AbortSignal.any([context.signal, archiver.broken, attempt.signal]);
  const ticking = tick(options, signal)
    .then(
      (ended) => ({ ended, error: null }),
      (error: unknown) => ({ ended: null, error: toCairnError(error) }),
    )
    .finally(() => attempt.abort());
  const following = driver.followLog(instance.connection, {
    sink: archiver.collector,
    keeperName: keeperNameOf(instance.id),
    resume: archiver.resume,
    onLag: (lag) => archiver.session?.noteLag(lag),
    ...{ signal, log: context.log },
  });
  const error = await following.then(
    () => new CairnError('bug', 'the driver stopped following by itself'),
    toCairnError,
  );
  attempt.abort();
  const ticked = await ticking;
  await archiver.collector.settle();
  context.signal.throwIfAborted();
  const hasMoved = positionOf(archiver) !== before;
  const broken = archiver.collector.failure && toCairnError(archiver.collector.failure.error);
  // Other bytes are stored at the same place: the server has another history by now.
  if (broken?.kind === 'conflict') return { kind: 'gap', hasMoved, error: broken };
  if (broken) return { kind: 'failed', hasMoved, error: broken, isBroken: true };
  if (ticked.error) return { kind: 'failed', hasMoved, error: ticked.error, isBroken: true };
  if (ticked.ended) return { kind: ticked.ended, hasMoved };
  if (error.kind === 'log-gap') return { kind: 'gap', hasMoved, error };
  return { kind: 'failed', hasMoved, error, isBroken: false };
}

/** Null: somebody else ended the connection. */
async function tick(options: FollowOptions, signal: AbortSignal): Promise<Ended | null> {
  const { archiver, clock, endsMs, instance, look } = options;
  let lookedMs = clock.monotonicMs();
  // What was covered before says nothing of how it goes now.
  let savedMoment = momentOf(archiver);
  while (await hasSlept(clock.sleep(tickMs, signal), signal)) {
    const nowMs = clock.monotonicMs();
    if (nowMs >= endsMs) return 'turn-over';
    if (nowMs - lookedMs < lookEveryMs) continue;
    lookedMs = nowMs;
    const { standing, intervalMs } = await look();
    if (standing.kind !== 'follow') return 'changed';
    if (isOther(standing.instance, instance)) return 'changed';
    await archiver.closeInterval({ intervalMs, isEnding: false });
    const moment = momentOf(archiver);
    if (moment !== savedMoment) archiver.session?.noteTrouble(null);
    savedMoment = moment;
    await archiver.save();
  }
  return null;
}

async function hasSlept(sleep: Promise<void>, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep;
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}

/** An address, an option or the password was changed. */
function isOther(
  { connection: a }: ReachableInstance,
  { connection: b }: ReachableInstance,
): boolean {
  const keys = ['host', 'port', 'database', 'user', 'tls', 'tlsCaPem'] as const;
  if (keys.some((key) => a[key] !== b[key])) return true;
  if (JSON.stringify(a.standbys) !== JSON.stringify(b.standbys)) return true;
  if (JSON.stringify(a.options) !== JSON.stringify(b.options)) return true;
  return (a.password?.reveal() ?? null) !== (b.password?.reveal() ?? null);
}

function momentOf({ collector }: Archiver): number | null {
  return collector.covered?.at.getTime() ?? null;
}

function positionOf({ collector }: Archiver): string | null {
  const position = collector.storedPosition;
  return position && formatLogPosition(position);
}
