// Follows a server's binary log as a replica does. The servers keep nothing for an archive: what is
// purged before it was stored is gone, so danger is told early, and a log that cannot go on where
// the storage ends is a gap. Only that is: whatever else goes wrong, the next attempt goes on.
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';
import type { GtidSet } from '../../model/gtid-set.ts';
import { parseGtidSet } from '../../model/gtid-set.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { describePlace, formatLogPosition } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { FollowLogOptions, LogResumePoint, LogStreamFacts } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { LogClock } from '../log-clock.ts';
import type { DumpConnection } from './binlog-client.ts';
import { openDump } from './binlog-client.ts';
import { withQueries } from './connection.ts';
import { flavors } from './flavor.ts';
import { explainDumpError } from './log-errors.ts';
import { probeServer } from './log-probe.ts';
import { LogReceiver } from './log-receiver.ts';
import type { BinlogPosition, DumpStart } from './log-resume.ts';
import { planDumpStart, planFileStart } from './log-resume.ts';
import type { BinlogEnd, BinlogFile, LogServer } from './log-server.ts';
import { readBinlogEnd, readBinlogFiles, readLogServer } from './log-server.ts';
import { LogTrack } from './log-track.ts';

export type LogLimits = {
  /** Between two looks at the server, and between two marks while little is written. */
  readonly tickMs: number;
  /** The server says four times as often that it lives; silent for longer, it is given up. */
  readonly silenceTimeoutMs: number;
};

export const defaultLogLimits: LogLimits = { tickMs: 1000, silenceTimeoutMs: 60_000 };

export type LogArchiveParts = { readonly clock: Clock; readonly limits: LogLimits };

type Session = {
  readonly server: LogServer;
  readonly dump: DumpConnection;
  readonly start: DumpStart;
  /** Where the log of the server ended before. */
  readonly end: BinlogEnd;
};

const newStreamHint = 'the archive begins anew, which needs a full backup';

/** @throws cancelled, log-gap, engine-unreachable, engine-refused, the sink's errors */
export async function followLog(
  connection: Connection,
  options: FollowLogOptions,
  parts: LogArchiveParts,
): Promise<never> {
  const { signal, resume } = options;
  using dump = await openDump(connection, { signal });
  const failure = { connection, storedPlace: resume && describePlace(resume.position) };
  try {
    const server = await readLogServer(dump.query);
    if (resume) assertSameServer(server, resume);
    const files = await readBinlogFiles(dump.query, server.flavor);
    const end = await readBinlogEnd(dump.query, server.flavor);
    const start = planStart(files, end, resume);
    return await run(connection, { server, dump, start, end }, options, parts);
  } catch (error) {
    throwIfAborted(signal);
    throw explainDumpError(error, { ...failure, hasFollowed: false });
  }
}

export async function releaseLog(): Promise<void> {
  // The servers keep nothing for us, so there is nothing to remove.
}

export function releaseLogByHand(): string {
  return 'nothing is left to do on the server: it keeps no binary log for an archive';
}

/** The dump and the looks at the server: the first to fail ends both. */
async function run(
  connection: Connection,
  { server, dump, start, end }: Session,
  options: FollowLogOptions,
  { clock, limits }: LogArchiveParts,
): Promise<never> {
  const { sink, resume } = options;
  const { flavor } = server;
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const logClock = new LogClock();
  const track = trackOf(start, server, resume);
  const receiver = new LogReceiver({
    ...{ sink, track, start, signal, clock: logClock },
    beginStream: resume ? null : (position) => sink.beginStream(factsOf(server, position)),
  });
  const probe = withQueries(connection, { signal }, (query) =>
    probeServer(query, {
      ...{ flavor, clock, signal, end, threadId: dump.threadId, intervalMs: limits.tickMs },
      onMoment: (position, clockAt) => logClock.add(position, clockAt),
      onLag: options.onLag,
      storedPosition: () => placeOf(sink.storedPosition ?? resume?.position ?? null, start),
    }),
  );
  const dumping = dump.receive({
    ...{ flavor, file: start.file, offsetBytes: start.offsetBytes, clock, signal },
    serverId: replicaId(options.keeperName, server.serverId),
    silenceTimeoutMs: limits.silenceTimeoutMs,
    onEvent: (bytes) => receiver.take(bytes),
  });
  try {
    return await Promise.race([dumping, probe, keepTicking()]);
  } catch (error) {
    throwIfAborted(options.signal);
    const stored = sink.storedPosition ?? resume?.position ?? null;
    const storedPlace = stored && describePlace(stored);
    throw explainDumpError(error, { connection, storedPlace, hasFollowed: track.hasFollowed });
  } finally {
    over.abort();
    await Promise.allSettled([dumping, probe]);
  }

  async function keepTicking(): Promise<never> {
    for (;;) {
      await clock.sleep(limits.tickMs, signal);
      receiver.tick();
    }
  }
}

function trackOf(start: DumpStart, { flavor }: LogServer, resume: LogResumePoint | null): LogTrack {
  const setOf = (position: LogPosition | undefined): GtidSet | null => {
    const text = position ? asMysql(position).gtidSet : null;
    return text === null ? null : parseGtidSet(text, flavors[flavor].gtidDialect);
  };
  return new LogTrack({
    file: start.file,
    offsetBytes: start.offsetBytes,
    setBefore: setOf(resume?.fileStart),
    set: setOf(resume?.position),
    isResumed: start.storedBytes > 0,
  });
}

/**
 * A new stream begins with the file that the server writes, so that it holds the description of the
 * file's format. Pure. @throws log-gap when what comes next is not there
 */
export function planStart(
  files: readonly BinlogFile[],
  end: BinlogEnd,
  resume: LogResumePoint | null,
): DumpStart {
  if (!resume) return planFileStart(end.file);
  const stored = asMysql(resume.position);
  const place = describePlace(stored);
  const file = files.find(({ name }) => name === stored.file);
  if (!file) {
    const oldest = files[0]?.name ?? 'none';
    const text = `the server has removed the log behind ${place}: its oldest file is ${oldest}`;
    throw new CairnError('log-gap', text, {
      hint: `${newStreamHint}; a longer binlog_expire_logs_seconds keeps more for the archive`,
    });
  }
  const sizeBytes = file.name === end.file ? end.offsetBytes : file.sizeBytes;
  if (sizeBytes < stored.offsetBytes) {
    const text = `the log is stored up to ${place}, but the server's ${file.name} ends at`;
    throw new CairnError('log-gap', `${text} ${sizeBytes}`, {
      hint: `it was reset, or lost log in a crash (sync_binlog = 1 prevents it): ${newStreamHint}`,
    });
  }
  return planDumpStart(stored, resume.lastBytes);
}

/** One of the upper half, the same for as long as the archive has its name. */
export function replicaId(keeperName: string, serverId: number): number {
  const id = 0x8000_0000 + (crc32(keeperName) >>> 1);
  return id === serverId ? id - 1 : id;
}

function factsOf(server: LogServer, startPosition: BinlogPosition): LogStreamFacts {
  const { flavor, serverVersion, systemIdentifier } = server;
  return { serverVersion, systemIdentifier, startPosition, notes: { version: 1, flavor } };
}

/** @throws log-gap */
function assertSameServer(server: LogServer, { facts }: LogResumePoint): void {
  if (server.systemIdentifier !== facts.systemIdentifier) {
    const text = `the connection leads to server ${server.systemIdentifier}`;
    throw new CairnError('log-gap', `${text}, the log is of ${facts.systemIdentifier}`, {
      hint: 'check the connection string; for a server that was made anew: a full backup is needed',
    });
  }
}

function placeOf(position: LogPosition | null, start: DumpStart): BinlogEnd {
  if (position) return asMysql(position);
  return { file: start.file, offsetBytes: 0 };
}

function asMysql(position: LogPosition): BinlogPosition {
  if (position.engine === 'mysql') return position;
  throw new CairnError('bug', `position ${formatLogPosition(position)} is none of MySQL`);
}
