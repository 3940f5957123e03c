// Takes up a stream that an earlier job has followed. Where it goes on is what the storage says:
// the catalog may be some seconds behind, and the server has forgotten what the storage holds.
import { isErrorKind } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import type { LogPoint, LogStream, LogStreamProgress } from '../../model/log-stream.ts';
import type {
  LogInterval,
  LogPiece,
  LogStreamSurvey,
  StoredLogPiece,
} from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { endUnread } from './end-stream.ts';
import { insertInterval } from './interval-backup.ts';
import type { StoredSoFar } from './log-collector.ts';
import { lastBytesMax, planWhole, usualCollectorLimits } from './log-collector.ts';
import type { OpenInterval } from './plan-interval.ts';
import { addPiece, emptyInterval } from './plan-interval.ts';
import type { SessionParts } from './stream-session.ts';
import { StreamSession } from './stream-session.ts';

export type ResumedStream = {
  readonly session: StreamSession;
  /** Null: nothing is. */
  readonly stored: StoredSoFar | null;
  /** What is left to be made of complete files that lie in pieces. */
  readonly wholes: readonly LogPiece[];
};

/**
 * Null when there is none to go on with. Intervals that the catalog does not know are told to it.
 * @throws repository-damaged, storage-unavailable
 */
export async function resumeStream(
  instanceId: InstanceId,
  { catalog, repository }: Pick<WorkerParts, 'catalog' | 'repository'>,
  parts: SessionParts,
): Promise<ResumedStream | null> {
  const stream = await catalog.logStreams.findFollowing(instanceId);
  if (!stream) return null;
  const { context, clock, jobId } = parts;
  const { signal, log } = context;
  try {
    const writer = await repository.log.resumeStream(instanceId, stream.id, signal);
    // The last one that the catalog knows, and those that it was not told of.
    const from = stream.progress.closed?.sequence ?? 0;
    const survey = await repository.log.surveyStream(instanceId, stream.id, signal, from);
    await tellIntervals(stream, survey, parts);
    const { closed, open, last, coveredUntil } = planResume(stream, survey);
    const session = new StreamSession(parts, { writer, closed, open });
    // Until something is stored again nothing is well again.
    session.noteTrouble(stream.progress.trouble);
    const ends = survey.pieces.filter(({ isLast }) => isLast);
    const wholes = ends.flatMap((piece) => planWhole(piece, usualCollectorLimits) ?? []);
    const end = last && (await readEnd(last, stream, repository, signal));
    const stored = end && { ...end, coveredUntil };
    return { session, stored, wholes };
  } catch (error) {
    if (!isErrorKind(error, 'not-found')) throw error;
    log.error({ err: error, streamId: stream.id, jobId }, 'a stream of log is not in the storage');
    const reason = `the storage does not hold it: ${error.message}`;
    await endUnread(stream.id, reason, { context, clock });
    return null;
  }
}

async function tellIntervals(
  stream: LogStream,
  { record, intervals }: LogStreamSurvey,
  { context, jobId }: SessionParts,
): Promise<void> {
  const ids = intervals.map(({ backupId }) => backupId);
  await context.commit(async (tx) => {
    const known = await tx.intervals.findKnown(stream.id, ids);
    for (const interval of intervals) {
      if (known.has(interval.backupId) || isTrimmed(stream, interval)) continue;
      await insertInterval(tx, { record, interval, jobId });
    }
  });
}

/** Its deletion has begun. */
function isTrimmed({ keptFrom }: LogStream, { endPosition }: LogInterval): boolean {
  return compareLogPositions(endPosition, keptFrom) <= 0;
}

/** Pure. */
export function planResume(
  { progress }: Pick<LogStream, 'progress'>,
  { pieces, intervals }: Pick<LogStreamSurvey, 'pieces' | 'intervals'>,
): {
  readonly closed: LogStreamProgress['closed'];
  readonly open: OpenInterval;
  readonly last: StoredLogPiece | null;
  readonly coveredUntil: Date | null;
} {
  const logs = pieces.filter(({ file }) => file.kind === 'log');
  const last = logs.reduce<StoredLogPiece | null>(laterOf, null);
  const closed = laterClosed(progress.closed, intervals.at(-1) ?? null);
  const open = logs
    .filter(({ endPosition }) => {
      return closed === null || compareLogPositions(endPosition, closed.position) > 0;
    })
    .reduce(addPiece, emptyInterval);
  const ends = last && { position: last.endPosition, at: last.endAt };
  const coveredUntil = [closed, ends, progress.covered].reduce(furtherOf, null)?.at ?? null;
  return { closed, open, last, coveredUntil };
}

/** As the piece itself tells it, and not its name alone. */
async function readEnd(
  piece: StoredLogPiece,
  stream: LogStream,
  { log }: WorkerParts['repository'],
  signal: AbortSignal,
): Promise<Omit<StoredSoFar, 'coveredUntil'>> {
  const { file, endPosition, bytes } = await log.readPiece(piece, signal);
  const lastBytes = await readLastBytes(piece, bytes, stream, log, signal);
  return { position: endPosition, fileStart: file.startPosition, lastBytes };
}

/** Of a file that is not complete. Of a very large one as much as its last piece holds. */
async function readLastBytes(
  { file, isLast, offsetBytes, lengthBytes }: StoredLogPiece,
  ownBytes: Buffer,
  { instanceId, id }: LogStream,
  log: WorkerParts['repository']['log'],
  signal: AbortSignal,
): Promise<Uint8Array> {
  const none = new Uint8Array();
  const endBytes = offsetBytes + lengthBytes;
  if (isLast) return none;
  if (endBytes > usualCollectorLimits.wholeBytesMax) {
    return new Uint8Array(ownBytes.subarray(-lastBytesMax));
  }
  const { bytes } = await log.readFile(instanceId, id, file.name, signal);
  return bytes.byteLength < endBytes
    ? none
    : new Uint8Array(bytes.subarray(Math.max(0, endBytes - lastBytesMax), endBytes));
}

function laterOf(a: StoredLogPiece | null, b: StoredLogPiece): StoredLogPiece {
  return a && compareLogPositions(a.endPosition, b.endPosition) >= 0 ? a : b;
}

/**
 * Not the later moment: a clock that was set back has later ones behind it that hold no more. Of
 * one position the last told counts, when the server said that nothing had happened since.
 */
function furtherOf(a: LogPoint | null, b: LogPoint | null): LogPoint | null {
  if (!a || !b) return a ?? b;
  return compareLogPositions(a.position, b.position) > 0 ? a : b;
}

/** The storage knows intervals that the catalog was never told of, and none that are gone. */
function laterClosed(
  told: LogStreamProgress['closed'],
  stored: LogInterval | null,
): LogStreamProgress['closed'] {
  if (!stored || (told && told.sequence >= stored.sequence)) return told;
  return { sequence: stored.sequence, position: stored.endPosition, at: stored.endAt };
}
