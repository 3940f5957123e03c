// The log of a server is a backup of the log of each database, taken every minute by the server
// itself: `log-round.ts`. Whatever ends an attempt, a lost connection or a killed process, the next
// one first sends what was taken and is not stored: `log-resume.ts`.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { FollowLogOptions, LogResumePoint, LogStreamFacts } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import type { Exchange } from './exchange.ts';
import type { Ground } from './ground.ts';
import type { ChainBounds } from './log-chains.ts';
import { LogChains } from './log-chains.ts';
import type { LogWarning } from './log-choice.ts';
import { joinWarnings } from './log-choice.ts';
import { getLogFile } from './log-files.ts';
import { LogHistory } from './log-history.ts';
import { logIntervalMs } from './log-interval.ts';
import { exchangePrefix, nextMoment, toExchangeName } from './log-names.ts';
import type { ResumePlan } from './log-resume.ts';
import { findStoredEnd, listNames, readResumePlan, toStreamNotes } from './log-resume.ts';
import { sendLog, takeRound } from './log-round.ts';
import type { LogLimits, LogScene } from './log-scene.ts';
import { LogSender, toPosition } from './log-sender.ts';
import type { ServerInfo } from './server-info.ts';
import { readServerInfo, systemIdentifierOf } from './server-info.ts';
import type { SqlSession } from './session.ts';
import { openSession } from './session.ts';

const usualLimits: Omit<LogLimits, 'intervalMs'> = {
  tickMs: 500,
  appearTries: 40,
  appearWaitMs: 1000,
};

/**
 * @throws cancelled, log-gap, engine-unreachable, engine-refused, storage-full or
 * storage-unavailable of the exchange, the sink's errors
 */
export async function followLog(
  connection: Connection,
  options: FollowLogOptions,
  ground: Ground,
  limits: LogLimits = { ...usualLimits, intervalMs: logIntervalMs(connection) },
): Promise<never> {
  const { signal, resume } = options;
  const { clock } = ground;
  try {
    const exchange = await ground.openExchange(connection);
    await using session = await openSession(connection, { signal });
    const parts = { ...{ options, exchange, session, limits, clock } };
    const scene = resume === null ? await beginLog(parts) : await resumeLog(parts, resume);
    for (;;) {
      const endsMs = clock.monotonicMs() + limits.intervalMs;
      const warnings = await takeRound(scene);
      await rest(scene, warnings, endsMs);
    }
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}

/** Of an archive that is given up: what lies in the exchange is of no use any more. */
export async function releaseLog(
  connection: Connection,
  keeperName: string,
  signal: AbortSignal,
  ground: Ground,
): Promise<void> {
  const exchange = await ground.openExchange(connection);
  for (const name of await listNames({ exchange, keeperName, signal })) {
    await exchange.remove(toExchangeName(keeperName, name), signal);
  }
}

export function releaseLogByHand(keeperName: string): string {
  return `remove what begins with ${exchangePrefix(keeperName)} from where backups are handed over`;
}

type Parts = {
  readonly options: FollowLogOptions;
  readonly exchange: Exchange;
  readonly session: SqlSession;
  readonly limits: LogLimits;
  readonly clock: Ground['clock'];
};

/** A new stream: it begins before anything is taken, so that what is taken belongs to one. */
async function beginLog(parts: Parts): Promise<LogScene> {
  const { options, session } = parts;
  const { sink, keeperName, signal } = options;
  const history = new LogHistory(session, keeperName, signal);
  const server = await readServerInfo(session, signal);
  const beganId = await history.readNewestId();
  const startPosition = toPosition(server.moment);
  throwIfAborted(signal);
  await sink.beginStream({ ...identify(server), startPosition, notes: toStreamNotes(beganId) });
  const bounds = { startMoment: server.moment, beganId, storedId: beganId };
  return toScene(parts, { server, history, startPosition, leftovers: [], bounds });
}

/** @throws log-gap */
async function resumeLog(parts: Parts, resume: LogResumePoint): Promise<LogScene> {
  const { options, exchange, session } = parts;
  const { keeperName, signal, log } = options;
  const history = new LogHistory(session, keeperName, signal);
  const server = await readServerInfo(session, signal);
  assertSameServer(server, resume);
  const plan = await readResumePlan(resume, { history, exchange, keeperName, signal });
  const scene = toScene(parts, {
    ...{ server, history, startPosition: resume.position },
    ...{ leftovers: plan.leftovers, bounds: plan },
  });
  const count = plan.pending.length + (plan.partial === null ? 0 : 1);
  if (count > 0) log.info({ count }, 'backups of the log that an earlier attempt took are stored');
  await sendPending(plan, resume, scene);
  return scene;
}

async function sendPending(
  { partial, pending, stored }: ResumePlan,
  resume: LogResumePoint,
  scene: LogScene,
): Promise<void> {
  for (const name of stored) await scene.sender.remove(name);
  const end = findStoredEnd(resume);
  if (partial !== null && end !== null) {
    const file = await getLogFile(partial, scene);
    await scene.sender.send(partial, file, end);
  }
  for (const log of pending) {
    await sendLog(log, scene);
    await scene.sender.removeStored();
  }
}

function toScene(
  { options, exchange, session, limits, clock }: Parts,
  more: Pick<LogScene, 'server' | 'history'> & {
    readonly startPosition: LogResumePoint['position'];
    readonly bounds: ChainBounds;
    readonly leftovers: ResumePlan['leftovers'];
  },
): LogScene {
  const { sink, keeperName, onLag, signal, log } = options;
  const { server, history, startPosition, bounds, leftovers } = more;
  const sender = new LogSender({ sink, exchange, keeperName, signal }, startPosition);
  let last =
    leftovers
      .map(({ moment }) => moment)
      .toSorted()
      .at(-1) ?? '';
  return {
    ...{ session, server, exchange, keeperName, history, sink, sender },
    ...{ onLag, limits, clock, signal, log, leftovers: [...leftovers] },
    chains: new LogChains(history, bounds),
    takeMoment: (now) => {
      const end = sender.end.engine === 'sqlserver' ? sender.end.moment : '';
      last = nextMoment(now, end > last ? end : last);
      return last;
    },
  };
}

/** Until the next round is due; it waits until the storage has all of this one. */
async function rest(
  { sender, onLag, limits, clock, signal }: LogScene,
  warnings: readonly LogWarning[],
  endsMs: number,
): Promise<void> {
  for (;;) {
    await sender.removeStored();
    onLag({ behindBytes: sender.behindBytes, warning: joinWarnings(warnings) });
    if (sender.isAllStored && clock.monotonicMs() >= endsMs) return;
    await clock.sleep(limits.tickMs, signal);
  }
}

function identify(server: ServerInfo): Pick<LogStreamFacts, 'serverVersion' | 'systemIdentifier'> {
  return { serverVersion: server.version, systemIdentifier: systemIdentifierOf(server) };
}

/** @throws log-gap */
function assertSameServer(server: ServerInfo, { facts }: LogResumePoint): void {
  const { systemIdentifier } = identify(server);
  if (systemIdentifier === facts.systemIdentifier) return;
  const text = `the connection leads to server ${systemIdentifier}`;
  throw new CairnError('log-gap', `${text}, the log is of ${facts.systemIdentifier}`, {
    hint: 'check the connection string; for a server that was made anew: a full backup is needed',
  });
}
