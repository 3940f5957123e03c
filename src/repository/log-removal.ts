// Removes archived log that nothing needs any more. Intervals go before the files that they have
// bytes of, and the record of a stream goes last: what is left of an interrupted removal tells
// nothing that is not so, and is found by the next one.

import type { LogPosition } from '../model/log-position.ts';
import { compareLogPositions } from '../model/log-position.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import { groupFiles, planFilesFrom } from './log-chain.ts';
import type { LogDeletion, LogInterval } from './log-door.ts';
import type { LogPlace } from './log-names.ts';
import { streamFolder } from './log-names.ts';
import type { StreamListing } from './log-reader.ts';
import { readIntervals, sortStream } from './log-reader.ts';
import type { LogParts } from './log-store.ts';

const batchSize = 500;
const intervalsAtOnce = 64;

/** What `RepositoryLog.removeBefore` promises. */
export async function removeLog(
  parts: LogParts,
  place: LogPlace,
  { position, ...options }: LogDeletion & { readonly position: LogPosition | null },
): Promise<{ readonly freedBytes: number }> {
  const { storage } = parts;
  // Before the listing: that of an unmounted volume is empty, and nothing of it has gone.
  await options.assertLease();
  const objects = await Array.fromAsync(storage.list(streamFolder(place), options.signal));
  const plan = position
    ? await planBefore(parts, { ...sortStream(objects, place.streamId), position }, options.signal)
    : planAll(objects, place);
  let freedBytes = 0;
  for (let at = 0; at < plan.length; at += batchSize) {
    await options.assertLease();
    for (const { name, sizeBytes } of plan.slice(at, at + batchSize)) {
      await storage.delete(name, options.signal);
      freedBytes += sizeBytes;
    }
  }
  return { freedBytes };
}

/** In the order in which it goes; also what no name of log belongs to. */
function planAll(objects: readonly ObjectInfo[], place: LogPlace): readonly ObjectInfo[] {
  const { intervals, pieces, record } = sortStream(objects, place.streamId);
  const ordered = [...intervals, ...groupFiles(pieces).flatMap((file) => file.pieces)];
  const known = new Set([...ordered, ...(record ? [record] : [])].map(({ name }) => name));
  const others = objects.filter(({ name }) => !known.has(name));
  return [...ordered, ...others, ...(record ? [record] : [])];
}

async function planBefore(
  parts: LogParts,
  of: StreamListing & { readonly position: LogPosition },
  signal: AbortSignal,
): Promise<readonly ObjectInfo[]> {
  const { intervals, pieces, position } = of;
  const { gone, kept } = await findEnded(parts, { intervals, position }, signal);
  const limit = kept ? earlierOf(position, kept.startPosition) : position;
  const stay = new Set(planFilesFrom(pieces, limit));
  const files = groupFiles(pieces.filter((piece) => !stay.has(piece)));
  return [...gone, ...files.flatMap((file) => file.pieces)];
}

/** The intervals that end at the position or before, and the first that does not. */
async function findEnded(
  parts: LogParts,
  { intervals, position }: Pick<StreamListing, 'intervals'> & { readonly position: LogPosition },
  signal: AbortSignal,
): Promise<{ readonly gone: readonly ObjectInfo[]; readonly kept: LogInterval | null }> {
  for (let at = 0; at < intervals.length; at += intervalsAtOnce) {
    const read = await readIntervals(parts, intervals.slice(at, at + intervalsAtOnce), signal);
    const index = read.findIndex(
      (one) => one !== null && compareLogPositions(one.endPosition, position) > 0,
    );
    const kept = read[index];
    if (kept) return { gone: intervals.slice(0, at + index), kept };
  }
  return { gone: intervals, kept: null };
}

function earlierOf(a: LogPosition, b: LogPosition): LogPosition {
  return compareLogPositions(a, b) <= 0 ? a : b;
}
