// Checks the archived log of an instance: streams without gaps, every piece what its name says,
// and, where data is read, every byte. A stream grows and shrinks while it is looked at: what is
// missing counts only if it is missing at a second look as well.
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { runBounded } from '../platform/bounded.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import { samplePacks } from './check-data.ts';
import type { CheckCounts, FindingBook } from './check-report.ts';
import { damaged } from './format.ts';
import { listReplaced } from './log-chain.ts';
import type { LogInterval } from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { parseLogObject, pieceObject, streamFolder } from './log-names.ts';
import type { StreamParts } from './log-problems.ts';
import { backupsOf, findLogProblems } from './log-problems.ts';
import { sortStream } from './log-reader.ts';
import { decodeInterval, decodeStream } from './log-records.ts';
import type { LogParts } from './log-store.ts';
import { nullIfGone, readDescription, readPiece, readRecord } from './log-store.ts';

const requestsInFlight = 16;
const piecesInFlight = 2;

export type LogCheckParts = LogParts & {
  readonly instanceId: InstanceId;
  readonly findings: FindingBook;
  readonly counts: CheckCounts;
  /** Which pieces are read through; null: none. */
  readonly readData: { readonly percent: number; readonly seed: string } | null;
  readonly onProgress: (progress: { readonly doneBytes: number }) => void;
  readonly signal: AbortSignal;
};

/**
 * Findings go to the book; answers the backups that are intervals of log.
 * @throws what is no finding: as `checkRepository`
 */
export async function checkLog(
  parts: LogCheckParts,
  listing: readonly ObjectInfo[],
): Promise<readonly BackupId[]> {
  const { instanceId, counts } = parts;
  const ids = listing.flatMap((info) => parseLogObject(info)?.streamId ?? []);
  const backupIds: BackupId[] = [];
  for (const streamId of new Set(ids)) {
    const place = { instanceId, streamId };
    const stream = await readStreamParts(parts, place);
    counts.logStreams++;
    counts.logIntervals += stream.intervals.length;
    counts.logPieces += stream.pieces.length;
    counts.logBytes += stream.pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    backupIds.push(...stream.intervals.flatMap(({ interval }) => interval?.backupId ?? []));
    await checkGaps(parts, stream);
    await checkPieces(parts, stream);
  }
  return backupIds;
}

type Stream = StreamParts & { readonly place: LogPlace };

/** Pieces that were replaced are left out. What cannot be read is a finding. */
async function readStreamParts(parts: LogCheckParts, place: LogPlace): Promise<Stream> {
  const { storage, signal } = parts;
  const objects = await Array.fromAsync(storage.list(streamFolder(place), signal));
  const listed = sortStream(objects, place.streamId);
  const replaced = listReplaced(objects);
  const { record } = listed;
  if (record) {
    await attempt(parts, record, () =>
      readRecord(parts, { ...record, kind: 'log-stream' }, decodeStream, signal),
    );
  }
  const intervals: { sequence: number; interval: LogInterval | null; isGone: boolean }[] = [];
  await runBounded(listed.intervals.entries(), requestsInFlight, async ([index, info]) => {
    const { sequence, ...object } = info;
    const read = await attempt(parts, object, () =>
      readRecord(parts, { ...object, kind: 'log-interval' }, decodeInterval, signal),
    );
    const interval = read === 'broken' ? null : read;
    intervals[index] = { sequence, interval, isGone: read === null };
  });
  return {
    ...{ place, hasRecord: record !== null },
    pieces: listed.pieces.filter(({ name }) => !replaced.has(name)),
    intervals: intervals.filter(({ isGone }) => !isGone),
  };
}

/** Null: it is gone. `broken`: the book says how. */
async function attempt<T>(
  { storage, findings, signal }: LogCheckParts,
  { name }: ObjectInfo,
  read: () => Promise<T>,
  backupIds: readonly BackupId[] = [],
): Promise<T | null | 'broken'> {
  try {
    return await nullIfGone(read(), { storage, name, signal });
  } catch (error) {
    for (const backupId of backupIds.length > 0 ? backupIds : [null]) {
      findings.note(error, name, backupId);
    }
    return 'broken';
  }
}

async function checkGaps(parts: LogCheckParts, stream: Stream): Promise<void> {
  const problems = findLogProblems(stream);
  if (problems.length === 0) return;
  const again = await readStreamParts(parts, stream.place);
  const isEmpty = !again.hasRecord && again.pieces.length + again.intervals.length === 0;
  const stands = isEmpty ? [] : findLogProblems(again);
  for (const { object, why } of problems) {
    if (!stands.some((other) => other.object === object && other.why === why)) continue;
    const error = new CairnError('repository-damaged', `object ${object} is damaged: ${why}`, {
      hint: 'copy it back from a second copy, or make a full backup: no time before can be reached',
      details: { object },
    });
    const backupIds = backupsOf(object, again.intervals);
    for (const id of backupIds.length > 0 ? backupIds : [null])
      parts.findings.note(error, object, id);
  }
}

async function checkPieces(parts: LogCheckParts, stream: Stream): Promise<void> {
  const { readData } = parts;
  const names = stream.pieces.map(({ name }) => name);
  const sampled = readData ? samplePacks(names, readData) : new Set<string>();
  const described = stream.pieces.filter(({ name }) => !sampled.has(name));
  await runBounded(described, requestsInFlight, async (piece) => {
    await checkPiece(parts, { stream, piece }, async () => {
      return await readDescription(parts, piece, parts.signal);
    });
  });
  const read = stream.pieces.filter(({ name }) => sampled.has(name));
  await runBounded(read, piecesInFlight, async (piece) => {
    await checkPiece(parts, { stream, piece }, async () => {
      const found = await readPiece(parts, piece, parts.signal);
      parts.counts.bytesRead += piece.sizeBytes;
      parts.counts.logPiecesRead++;
      parts.onProgress({ doneBytes: parts.counts.bytesRead });
      return found;
    });
  });
}

/** Whether the piece can be read, and is what its name says. */
async function checkPiece(
  parts: LogCheckParts,
  { stream, piece }: { readonly stream: Stream; readonly piece: PieceObject },
  read: () => ReturnType<typeof readDescription>,
): Promise<void> {
  parts.signal.throwIfAborted();
  const check = async (): Promise<void> => {
    const found = await read();
    if (pieceObject(stream.place, found) === piece.name) return;
    throw damaged(piece.name, 'it is another piece than its name says');
  };
  await attempt(parts, piece, check, backupsOf(piece.name, stream.intervals));
}
