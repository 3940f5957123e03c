// Follows a server's log (PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Streaming
// Replication Protocol"): a slot keeps what is not stored, START_REPLICATION sends it from where
// the storage ends, and a second connection tells which moments the positions stand for. A log that
// cannot go on where the storage ends is a gap, and only that is: whatever else goes wrong, the
// next attempt goes on.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { formatLogPosition, parseLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { FollowLogOptions, LogResumePoint } from '../engine.ts';
import { LogClock } from '../log-clock.ts';
import { withQueries } from './connection.ts';
import { hostsOf } from './host-look.ts';
import { findLogHost, watchLogHosts } from './log-hosts.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { probeServer } from './log-probe.ts';
import type { SessionStart } from './log-session.ts';
import { commandLimits, LogSession, readHistory } from './log-session.ts';
import type { Slot } from './log-slot.ts';
import { planWarning, prepareSlot, removeSlot } from './log-slot.ts';
import type { ServerBranch } from './log-timelines.ts';
import { planNewStart, planResume } from './log-timelines.ts';
import type { LogHost } from './plan-hosts.ts';
import { ReplicationStream } from './replication-stream.ts';
import type { ServerSettings } from './server-settings.ts';
import { majorVersionMin, readServerSettings } from './server-settings.ts';

export type LogLimits = {
  /** Between two looks at the server, and between two confirmations. */
  readonly tickMs: number;
  /** The server answers at least every ten ticks; silent for longer, it is given up. */
  readonly silenceTimeoutMs: number;
  /** How long another connection may go on holding the slot: longer than `wal_sender_timeout`. */
  readonly slotWaitMs: number;
};

export const defaultLogLimits: LogLimits = {
  tickMs: 1000,
  silenceTimeoutMs: 60_000,
  slotWaitMs: 75_000,
};

export type LogArchiveParts = { readonly clock: Clock; readonly limits: LogLimits };

/** Where the log comes from, and all servers of the instance. */
type FollowedHost = LogHost & { readonly all: Connection };

type ServerIdentity = { readonly systemIdentifier: string; readonly branch: ServerBranch };

const ticksPerAnswer = 10;
const releaseWaitMs = 10_000;
const undefinedFile = '58P01';
const newStreamHint = 'the archive begins anew, which needs a full backup';

/** @throws cancelled, log-gap, engine-unreachable, engine-refused, conflict, the sink's errors */
export async function followLog(
  connection: Connection,
  options: FollowLogOptions,
  parts: LogArchiveParts,
): Promise<never> {
  const host = await findLogHost(connection, { ...options, clock: parts.clock });
  return await followHost({ ...host, all: connection }, options, parts);
}

async function followHost(
  host: FollowedHost,
  options: FollowLogOptions,
  parts: LogArchiveParts,
): Promise<never> {
  const { signal, log, resume } = options;
  const { connection } = host;
  const { settings, slot } = await withQueries(connection, { signal }, async (query) => {
    const found = await readServerSettings(query);
    assertFollowable(found);
    const slotOptions = { keeperName: options.keeperName, waitMs: parts.limits.slotWaitMs };
    return {
      settings: found,
      slot: await prepareSlot(query, { ...slotOptions, clock: parts.clock, signal }),
    };
  });
  await using stream = await ReplicationStream.open(connection, {
    ...{ signal, log, clock: parts.clock },
  });
  const server = await identifyServer(stream, settings.walSegmentBytes);
  if (resume) assertSameServer(server, resume);
  const start = planStart(server.branch, slot, resume);
  if (!resume) {
    await options.sink.beginStream({
      serverVersion: settings.serverVersion,
      systemIdentifier: server.systemIdentifier,
      startPosition: start.position,
      notes: { version: 1, walSegmentBytes: settings.walSegmentBytes },
    });
  }
  try {
    return await run({ ...host, server }, { stream, start }, options, parts);
  } catch (error) {
    throw explainRemoval(error, resume, slot);
  }
}

/**
 * From each host, so that none keeps log for us. @throws engine-unreachable, engine-refused,
 * conflict when a stranger holds the slot; after all others were told
 */
export async function releaseLog(
  connection: Connection,
  options: { readonly keeperName: string; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { signal } = options;
  const told = await Promise.allSettled(
    hostsOf(connection).map((host) =>
      withQueries(host, { signal }, (query) =>
        removeSlot(query, { ...options, waitMs: releaseWaitMs }),
      ),
    ),
  );
  for (const each of told) if (each.status === 'rejected') throw each.reason;
}

/** The stream, the looks at the server and the confirmations: the first to fail ends all. */
async function run(
  host: FollowedHost & { readonly server: ServerIdentity },
  from: { readonly stream: ReplicationStream; readonly start: SessionStart },
  options: FollowLogOptions,
  { clock, limits }: LogArchiveParts,
): Promise<never> {
  const { sink, keeperName, log } = options;
  const { stream, start } = from;
  const { branch, systemIdentifier } = host.server;
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const logClock = new LogClock();
  const session = new LogSession({
    ...{ stream, sink, keeperName, branch, signal },
    clock: logClock,
    silenceTimeoutMs: limits.silenceTimeoutMs,
  });
  let hostWarning = host.warning;
  const watch = watchLogHosts(host.all, host.name, {
    ...{ keeperName, clock, signal, log },
    followed: { systemIdentifier, timeline: branch.timeline },
    storedLsn: () => lsnOf(sink.storedPosition) ?? start.position.lsn,
    onWarning: (warning) => {
      hostWarning = warning;
    },
  });
  const probe = withQueries(host.connection, { signal }, (query) =>
    probeServer(query, {
      ...{ keeperName, clock, signal },
      timeline: branch.timeline,
      segmentBytes: branch.segmentBytes,
      intervalMs: limits.tickMs,
      onMoment: (position, clockAt) => logClock.add(position, clockAt),
      onState: (flushedLsn, state) => {
        const storedLsn = lsnOf(sink.storedPosition) ?? start.position.lsn;
        const behind = Number(flushedLsn - storedLsn);
        const warning = hostWarning ?? planWarning(state);
        options.onLag({ behindBytes: Math.max(0, behind), warning });
      },
    }),
  );
  try {
    const ticking = keepTicking(session, signal);
    return await Promise.race([session.follow(start), probe, ticking, watch]);
  } finally {
    over.abort();
  }

  async function keepTicking(ticking: LogSession, until: AbortSignal): Promise<never> {
    for (let count = 1; ; count++) {
      await clock.sleep(limits.tickMs, until);
      ticking.tick({ wantsAnswer: count % ticksPerAnswer === 0 });
    }
  }
}

function assertFollowable(settings: ServerSettings): void {
  const { serverVersion } = settings;
  if (settings.major < majorVersionMin) {
    const text = `PostgreSQL ${serverVersion} is too old for a log archive`;
    throw new CairnError('engine-refused', text, {
      hint: `upgrade the server to PostgreSQL ${majorVersionMin} or newer`,
    });
  }
  if (settings.values.wal_level === 'minimal') {
    throw new CairnError('engine-refused', 'the log cannot be archived: wal_level is minimal', {
      hint: 'set wal_level = replica and restart',
    });
  }
  if (settings.isInRecovery) {
    throw new CairnError('engine-refused', 'the log cannot be archived: the server is a standby', {
      hint: 'name the primary in the connection string; after a failover archiving goes on there',
    });
  }
}

async function identifyServer(
  stream: ReplicationStream,
  segmentBytes: number,
): Promise<ServerIdentity> {
  const [result] = await stream.query(
    'IDENTIFY_SYSTEM',
    commandLimits('the system identification'),
  );
  const [systemIdentifier, timelineText, lsnText] = result?.rows[0] ?? [];
  const timeline = Number(timelineText);
  const flushedLsn = parseLsn(lsnText ?? '');
  if (!systemIdentifier || !Number.isSafeInteger(timeline) || timeline < 1 || flushedLsn === null) {
    throw new CairnError('engine-refused', 'the server did not tell who it is', {
      hint: 'check that the connection leads to PostgreSQL itself',
    });
  }
  const ended = timeline > 1 ? (await readHistory(stream, timeline)).ended : [];
  return { systemIdentifier, branch: { timeline, flushedLsn, ended, segmentBytes } };
}

/** @throws log-gap */
function assertSameServer(server: ServerIdentity, { facts }: LogResumePoint): void {
  if (server.systemIdentifier !== facts.systemIdentifier) {
    const text = `the connection leads to system ${server.systemIdentifier}`;
    throw new CairnError('log-gap', `${text}, the log is of ${facts.systemIdentifier}`, {
      hint: 'check the connection string; for a server that was made anew: a full backup is needed',
    });
  }
  const { walSegmentBytes } = facts.notes;
  if (walSegmentBytes === server.branch.segmentBytes) return;
  const text = `WAL segments have ${server.branch.segmentBytes} bytes`;
  throw new CairnError('log-gap', `${text}, those of the log ${String(walSegmentBytes)}`, {
    hint: newStreamHint,
  });
}

/** Pure. @throws log-gap */
export function planStart(
  branch: ServerBranch,
  slot: Pick<Slot, 'restartLsn'>,
  resume: LogResumePoint | null,
): SessionStart {
  if (!resume) {
    const position = planNewStart(branch, slot.restartLsn);
    return { position, hasHistory: false, lastBytes: new Uint8Array() };
  }
  const stored = asPostgres(resume.position);
  const position = planResume(branch, stored);
  const isSame = position.timeline === stored.timeline;
  // Where nothing is stored yet, whoever began the stream may have died before its history.
  const isBegun = formatLogPosition(stored) !== formatLogPosition(resume.facts.startPosition);
  const inSegment = Number(stored.lsn % BigInt(branch.segmentBytes));
  const bytes = isSame ? (resume.lastBytes ?? new Uint8Array()) : new Uint8Array();
  return {
    position,
    hasHistory: isSame && isBegun,
    lastBytes: bytes.subarray(Math.max(0, bytes.length - inSegment)),
  };
}

/** The server says so before the first byte, or later when the slot could not hold the log. */
function explainRemoval(error: unknown, resume: LogResumePoint | null, slot: Slot): unknown {
  if (!(error instanceof CairnError) || error.details.code !== undefinedFile) return error;
  if (!resume) return error;
  const why = slot.loss === null ? '' : `: ${slot.loss}`;
  const text = `the server has removed log behind ${formatLogPosition(resume.position)}${why}`;
  return new CairnError('log-gap', text, {
    hint: `${newStreamHint}; a larger max_slot_wal_keep_size keeps more for the archive`,
    cause: error,
  });
}

function lsnOf(position: LogPosition | null): bigint | null {
  return position?.engine === 'postgresql' ? position.lsn : null;
}

function asPostgres(position: LogPosition): PostgresLogPosition {
  if (position.engine === 'postgresql') return position;
  throw new CairnError('bug', `position ${formatLogPosition(position)} is none of PostgreSQL`);
}
