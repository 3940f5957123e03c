// Which files of log a recovery may ask for, decided before the server starts. From the segment in
// which the backup ends the archive is asked; what lies before is in the backup itself. A segment
// is taken from the newest timeline that has it, as the server does (PostgreSQL documentation,
// chapter "Continuous Archiving and Point-in-Time Recovery", "Timelines"): the first segment of a
// timeline begins with a copy of what came before the fork.
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { formatLsn } from '../../model/log-position.ts';
import type { LogSource, Recovery } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { historyFileName, segmentFileName, segmentStart } from './log-position.ts';
import type { EndedTimeline } from './log-timelines.ts';
import { parseHistory } from './log-timelines.ts';

export type PlannedSegment = {
  readonly name: string;
  /** What may be replayed of it; the rest is handed over as zeros. */
  readonly usedBytes: number;
};

/** Goes through JSON unchanged. */
export type RecoveryFiles = {
  readonly timeline: number;
  readonly segmentBytes: number;
  /** In the order of replay. */
  readonly segments: readonly PlannedSegment[];
  /** Histories of timelines, by the names of their files. */
  readonly histories: Readonly<Record<string, string>>;
};

/**
 * Without log nothing is planned but what keeps the numbers of timelines apart. @throws as
 * `planRecoveryFiles`
 */
export async function planFiles(
  { log, newestTimeline }: Pick<Recovery, 'log' | 'newestTimeline'>,
  notes: PostgresNotes,
  signal: AbortSignal,
): Promise<RecoveryFiles> {
  const segmentBytes = notes.walSegmentBytes;
  const files = log
    ? await planRecoveryFiles(log, notes, signal)
    : { timeline: notes.timeline, segmentBytes, segments: [], histories: {} };
  // The server looks which timelines there are by asking for their histories.
  const taken: Record<string, string> = {};
  for (let timeline = files.timeline + 1; timeline <= newestTimeline; timeline++) {
    taken[historyFileName(timeline)] = '';
  }
  return { ...files, histories: { ...taken, ...files.histories } };
}

/**
 * @throws log-gap when what is archived does not continue the backup; storage-unavailable,
 * repository-damaged
 */
export async function planRecoveryFiles(
  log: LogSource,
  notes: Pick<PostgresNotes, 'walSegmentBytes' | 'systemIdentifier'>,
  signal: AbortSignal,
): Promise<RecoveryFiles> {
  if (log.systemIdentifier !== notes.systemIdentifier) {
    throw new CairnError('log-gap', 'the archived log is that of another server than the backup', {
      details: { backup: notes.systemIdentifier, log: log.systemIdentifier },
    });
  }
  const start = requirePostgres(log.startPosition);
  const end = requirePostgres(log.endPosition);
  const segmentBytes = notes.walSegmentBytes;
  const { timeline } = end;
  const name = historyFileName(timeline);
  const history = timeline === 1 ? null : await readHistory(log, name, signal);
  const ended = history === null ? [] : parseHistory(history);
  assertOnBranch(start, timeline, ended);
  return {
    ...{ timeline, segmentBytes },
    segments: planSegmentFiles({ start, end, ended, segmentBytes }),
    histories: history === null ? {} : { [name]: history },
  };
}

/** Pure. */
export function planSegmentFiles(range: {
  readonly start: PostgresLogPosition;
  readonly end: PostgresLogPosition;
  readonly ended: readonly EndedTimeline[];
  readonly segmentBytes: number;
}): PlannedSegment[] {
  const { start, end, ended, segmentBytes } = range;
  const files: PlannedSegment[] = [];
  const size = BigInt(segmentBytes);
  for (let at = segmentStart(start.lsn, segmentBytes); at < end.lsn; at += size) {
    // It still belongs to a timeline that ends in a later segment.
    const holder = ended.find(({ endLsn }) => segmentStart(endLsn, segmentBytes) > at);
    const timeline = holder?.timeline ?? end.timeline;
    const left = end.lsn - at;
    files.push({
      name: segmentFileName({ timeline, lsn: at }, segmentBytes),
      usedBytes: left < size ? Number(left) : segmentBytes,
    });
  }
  return files;
}

/**
 * A planned segment as the server must get it: of its full size, zero behind what may be replayed.
 * @throws log-gap when less is stored than was planned; storage-unavailable, repository-damaged
 */
export async function readSegment(
  log: Pick<LogSource, 'readFile'>,
  { name, usedBytes }: PlannedSegment,
  segmentBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const bytes = await readPlanned(log, name, signal);
  if (bytes.byteLength < usedBytes || bytes.byteLength > segmentBytes) {
    const text = `${bytes.byteLength} bytes of log file ${name} are stored, not ${usedBytes}`;
    throw new CairnError('log-gap', text, { hint: 'cairn check says what else is missing' });
  }
  if (usedBytes === segmentBytes) return bytes;
  const padded = Buffer.alloc(segmentBytes);
  bytes.copy(padded, 0, 0, usedBytes);
  return padded;
}

async function readPlanned(
  log: Pick<LogSource, 'readFile'>,
  name: string,
  signal: AbortSignal,
): Promise<Buffer> {
  try {
    return (await log.readFile(name, signal)).bytes;
  } catch (cause) {
    if (!isErrorKind(cause, 'not-found')) throw cause;
    throw new CairnError('log-gap', `log file ${name} is missing in the storage`, {
      hint: 'cairn check says what else is missing',
      cause,
    });
  }
}

/** Null: the archive has none. The backup holds that of its own timeline. */
async function readHistory(
  log: LogSource,
  name: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    return (await log.readFile(name, signal)).bytes.toString('utf8');
  } catch (error) {
    if (isErrorKind(error, 'not-found')) return null;
    throw error;
  }
}

function assertOnBranch(
  start: PostgresLogPosition,
  timeline: number,
  ended: readonly EndedTimeline[],
): void {
  if (start.timeline === timeline) return;
  const fork = ended.find((entry) => entry.timeline === start.timeline);
  if (fork && start.lsn <= fork.endLsn) return;
  const place = `${formatLsn(start.lsn)} on timeline ${start.timeline}`;
  throw new CairnError('log-gap', `the backup ends at ${place}, where ${timeline} does not begin`, {
    hint: 'the server was recovered to another history meanwhile: choose another backup',
  });
}

function requirePostgres(position: LogPosition): PostgresLogPosition {
  if (position.engine === 'postgresql') return position;
  throw new CairnError('bug', `a position of ${position.engine} is none of PostgreSQL`);
}
