// Log comes from the primary, whichever of an instance's servers that is. After a failover there is
// none for a while, which is waited for; and while one is followed, the others are watched: for a
// second primary, and for a primary that was replaced without a word, as by a network that parts.
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { LogResumePoint } from '../engine.ts';
import { describeServer } from './connection-error.ts';
import type { HostLook } from './host-look.ts';
import { lookAtAll } from './host-look.ts';
import type { LogHost } from './plan-hosts.ts';
import { planLogHost } from './plan-hosts.ts';
import { StandbySlots } from './standby-slots.ts';

type Followed = { readonly systemIdentifier: string; readonly timeline: number };

export type FindOptions = {
  readonly resume: LogResumePoint | null;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type WatchOptions = {
  readonly keeperName: string;
  readonly followed: Followed;
  /** All before it is stored. */
  readonly storedLsn: () => bigint;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onWarning: (warning: LogHost['warning']) => void;
};

/** A standby is promoted within seconds; then the caller tells what is wrong, and comes again. */
const promotionWaitMs = 30_000;
const pollMs = 500;
const watchMs = 5_000;

/** @throws engine-unreachable when there is none, engine-refused when nobody can tell which */
export async function findLogHost(
  connection: Connection,
  { resume, clock, signal, log }: FindOptions,
): Promise<LogHost> {
  const name = describeServer(connection);
  if (connection.standbys.length === 0) return { connection, name, warning: null };
  const followed = resume && followedOf(resume);
  const untilMs = clock.monotonicMs() + promotionWaitMs;
  let isTold = false;
  for (;;) {
    const looks = await lookAtAll(connection, { signal });
    try {
      const host = planLogHost(looks, followed);
      log.info({ host: host.name }, 'the log is taken from the primary');
      return host;
    } catch (error) {
      const mayCome = looks.some(({ found }) => found.kind === 'standby');
      if (!isErrorKind(error, 'engine-unreachable') || !mayCome) throw error;
      if (clock.monotonicMs() >= untilMs) throw error;
      if (!isTold) log.warn({ err: error }, 'waiting for a primary');
      isTold = true;
    }
    await clock.sleep(pollMs, signal);
  }
}

/**
 * Until the signal fires. Standbys keep what is not stored, in case that they are promoted.
 * @throws engine-unreachable when another is the primary by now
 */
export async function watchLogHosts(
  all: Connection,
  name: string,
  options: WatchOptions,
): Promise<never> {
  const { followed, clock, signal, onWarning } = options;
  const slots = new StandbySlots(options);
  for (;;) {
    if (all.standbys.length > 0) {
      const looks = await lookAtAll(all, { signal });
      const host = tryPlan(looks, followed);
      if (host) onWarning(host.warning);
      if (host && host.name !== name) {
        throw new CairnError('engine-unreachable', `${host.name} is the primary, not ${name}`, {
          hint: 'the log goes on from there',
        });
      }
      await slots.keep(
        looks.filter((look) => look.name !== name),
        options.storedLsn(),
      );
    }
    await clock.sleep(watchMs, signal);
  }
}

/** Null: nobody can tell. The one that is followed says by itself when it is gone. */
function tryPlan(looks: readonly HostLook[], followed: Followed): LogHost | null {
  try {
    return planLogHost(looks, followed);
  } catch (error) {
    if (error instanceof CairnError) return null;
    throw error;
  }
}

function followedOf({ facts, position }: LogResumePoint): Followed | null {
  if (position.engine !== 'postgresql') return null;
  return { systemIdentifier: facts.systemIdentifier, timeline: position.timeline };
}
