// What streams of log there are, and what each consists of.
import { CairnError } from '../model/errors.ts';
import type { InstanceId, LogStreamId } from '../model/ids.ts';
import { compareLogPositions } from '../model/log-position.ts';
import { runBounded } from '../platform/bounded.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import { findReplaced, groupFiles } from './log-chain.ts';
import type { LogInterval, LogStreamRecord, LogStreamSurvey, StoredLogPiece } from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { logFolder, parseLogObject, streamFolder, streamObject } from './log-names.ts';
import { decodeInterval, decodeStream } from './log-records.ts';
import type { LogParts, SealedParts } from './log-store.ts';
import { nullIfGone, readDescription, readRecord } from './log-store.ts';
import { statIfPresent } from './object-presence.ts';

const requestsInFlight = 16;
/** A piece is replaced or removed while it is read once in a while, not again and again. */
const attemptsMax = 5;

/** Again when the answer is null: what was listed was gone when it was to be read. */
async function untilStill<T>(folder: string, look: () => Promise<T | null>): Promise<T> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await look();
    if (found !== null) return found;
  }
  throw new CairnError('storage-unavailable', `pieces in ${folder} vanish while they are read`, {
    hint: 'somebody removes them: try again when that has ended',
  });
}

/** Oldest first. What `RepositoryLog.listStreams` promises. */
export async function listStreams(
  parts: LogParts,
  instanceId: InstanceId,
  signal: AbortSignal,
): Promise<readonly LogStreamRecord[]> {
  const records: LogStreamRecord[] = [];
  const { storage } = parts;
  for await (const info of storage.list(logFolder(instanceId), signal)) {
    if (parseLogObject(info)?.kind !== 'stream') continue;
    const { name } = info;
    const record = await nullIfGone(readStream(parts, info, signal), { storage, name, signal });
    if (record) records.push(record);
  }
  return records.sort((a, b) => {
    return a.beganAt.getTime() - b.beganAt.getTime() || (a.streamId < b.streamId ? -1 : 1);
  });
}

async function readStream(
  parts: LogParts,
  { name, sizeBytes }: ObjectInfo,
  signal: AbortSignal,
): Promise<LogStreamRecord> {
  const where = { name, sizeBytes, kind: 'log-stream' } as const;
  return await readRecord(parts, where, decodeStream, signal);
}

/** @throws not-found, repository-damaged */
export async function getStream(
  parts: LogParts,
  place: LogPlace,
  signal: AbortSignal,
): Promise<LogStreamRecord> {
  const info = await statIfPresent(parts.storage, streamObject(place), signal);
  if (info) return await readStream(parts, info, signal);
  throw new CairnError('not-found', `there is no log stream ${place.streamId}`, {
    details: { instanceId: place.instanceId },
  });
}

/** Everything of one stream by its kind; intervals by their sequence. */
export type StreamListing = {
  readonly pieces: readonly PieceObject[];
  readonly intervals: ReadonlyArray<ObjectInfo & { readonly sequence: number }>;
  readonly totalBytes: number;
};

export function sortStream(
  objects: Iterable<ObjectInfo>,
  streamId: LogStreamId,
): StreamListing & { readonly record: ObjectInfo | null } {
  const pieces: PieceObject[] = [];
  const intervals: (ObjectInfo & { sequence: number })[] = [];
  let record: ObjectInfo | null = null;
  let totalBytes = 0;
  for (const info of objects) {
    const object = parseLogObject(info);
    if (object?.streamId !== streamId) continue;
    totalBytes += info.sizeBytes;
    if (object.kind === 'piece') pieces.push(object.piece);
    else if (object.kind === 'interval') intervals.push({ ...info, sequence: object.sequence });
    else record = info;
  }
  intervals.sort((a, b) => a.sequence - b.sequence);
  return { pieces, intervals, totalBytes, record };
}

/** In the order given; null for one that is gone by now. @throws repository-damaged */
export async function readIntervals(
  parts: SealedParts,
  objects: readonly ObjectInfo[],
  signal: AbortSignal,
): Promise<readonly (LogInterval | null)[]> {
  const { storage } = parts;
  const found: (LogInterval | null)[] = objects.map(() => null);
  await runBounded(objects.entries(), requestsInFlight, async ([index, { name, sizeBytes }]) => {
    const where = { name, sizeBytes, kind: 'log-interval' } as const;
    const reading = readRecord(parts, where, decodeInterval, signal);
    found[index] = await nullIfGone(reading, { storage, name, signal });
  });
  return found;
}

type SurveyOf = LogPlace & { readonly sequenceFrom: number; readonly signal: AbortSignal };

/** What `RepositoryLog.surveyStream` promises. */
export async function surveyStream(parts: LogParts, of: SurveyOf): Promise<LogStreamSurvey> {
  const record = await getStream(parts, of, of.signal);
  return await untilStill(streamFolder(of), () => surveyOnce(parts, record, of));
}

async function surveyOnce(
  parts: LogParts,
  record: LogStreamRecord,
  of: SurveyOf,
): Promise<LogStreamSurvey | null> {
  const { signal, sequenceFrom } = of;
  const objects = await Array.fromAsync(parts.storage.list(streamFolder(of), signal));
  const listing = sortStream(objects, of.streamId);
  const wanted = listing.intervals.filter(({ sequence }) => sequence >= sequenceFrom);
  const intervals = (await readIntervals(parts, wanted, signal)).filter((one) => one !== null);
  const files = groupFiles(listing.pieces).filter(({ pieces }) => {
    return sequenceFrom === 0 || !endsBefore(pieces, intervals[0]);
  });
  const left = files.flatMap(({ pieces }) => {
    const replaced = new Set(findReplaced(pieces));
    return pieces.filter((piece) => !replaced.has(piece));
  });
  const pieces = await addTimes(parts, { pieces: left, intervals }, signal);
  return pieces && { record, pieces, intervals };
}

function endsBefore(pieces: readonly PieceObject[], interval: LogInterval | undefined): boolean {
  if (!interval) return false;
  const { startPosition } = interval;
  return pieces.every((piece) => compareLogPositions(piece.endPosition, startPosition) <= 0);
}

/** Pieces that lie in no interval must say themselves when they end. Null: one of these is gone. */
async function addTimes(
  parts: LogParts,
  of: Pick<LogStreamSurvey, 'intervals'> & { readonly pieces: readonly PieceObject[] },
  signal: AbortSignal,
): Promise<readonly StoredLogPiece[] | null> {
  const ends = of.pieces.map((piece) => findTime(piece, of.intervals));
  await runBounded(of.pieces.entries(), requestsInFlight, async ([index, piece]) => {
    if (ends[index]) return;
    const { name } = piece;
    const reading = readDescription(parts, piece, signal);
    const found = await nullIfGone(reading, { storage: parts.storage, name, signal });
    ends[index] = found?.endAt ?? null;
  });
  const dated = of.pieces.flatMap((piece, index) => {
    const { name, sizeBytes, endBytes, ...rest } = piece;
    const endAt = ends[index];
    const lengthBytes = endBytes - piece.offsetBytes;
    return endAt ? [{ ...rest, lengthBytes, endAt, objectName: name, storedBytes: sizeBytes }] : [];
  });
  return dated.length === of.pieces.length ? dated : null;
}

/** By the interval that the piece ends in. */
function findTime({ endPosition }: PieceObject, intervals: readonly LogInterval[]): Date | null {
  let [low, high] = [0, intervals.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const interval = intervals[middle];
    if (interval && compareLogPositions(interval.endPosition, endPosition) < 0) low = middle + 1;
    else high = middle;
  }
  const found = intervals[low];
  if (!found) return null;
  if (compareLogPositions(found.endPosition, endPosition) === 0) return found.endAt;
  return compareLogPositions(found.startPosition, endPosition) < 0 ? found.startAt : null;
}
