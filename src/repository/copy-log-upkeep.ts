// What becomes of log in the second copy of a repository: removed where no backup of the copy can
// be rolled forward with it any more, and looked at for gaps.
import { isErrorKind } from '../model/errors.ts';
import type { InstanceId, LogStreamId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import type { CopyComparison } from './copy-door.ts';
import type { LogBegins } from './copy-log.ts';
import { listStreamIds, readLogBegins } from './copy-log.ts';
import { KeyRing } from './keys.ts';
import { listReplaced } from './log-chain.ts';
import type { LogDeletion } from './log-door.ts';
import { streamFolder } from './log-names.ts';
import { findLogProblems } from './log-problems.ts';
import { readIntervals, sortStream } from './log-reader.ts';
import { decodeStream } from './log-records.ts';
import type { SealedParts } from './log-store.ts';
import { nullIfGone, readRecord } from './log-store.ts';
import type { Repository } from './repository.ts';

const problemsMax = 50;

/** @throws repository-damaged, storage errors, what `assertLease` throws; safe to repeat */
export async function removeCopiedLog(
  copy: Repository,
  of: { readonly instanceId: InstanceId; readonly begins: LogBegins },
  options: LogDeletion,
): Promise<void> {
  const { instanceId, begins } = of;
  for (const { streamId, facts } of await copy.log.listStreams(instanceId, options.signal)) {
    const begin = begins.get(facts.systemIdentifier) ?? null;
    await copy.log.removeBefore(instanceId, streamId, begin, options);
  }
}

type CompareParts = {
  readonly source: Storage;
  readonly target: Storage;
  readonly masterKey: MasterKey;
  readonly instanceId: InstanceId;
  readonly signal: AbortSignal;
};

/**
 * Streams of the copy that have gaps, and those of the source that a backup of the copy could be
 * rolled forward with and that the copy has nothing of.
 */
export async function compareLog(parts: CompareParts): Promise<CopyComparison['logGaps']> {
  const { source, target, masterKey, instanceId, signal } = parts;
  const copy = { storage: target, keys: new KeyRing(target, masterKey), instanceId };
  const begins = await readLogBegins(copy, signal);
  const gaps: { streamId: LogStreamId; problems: readonly string[] }[] = [];
  const copied = await listStreamIds(target, instanceId, signal);
  for (const streamId of copied) {
    const problems = await findProblems(copy, streamId, signal);
    if (problems.length > 0) gaps.push({ streamId, problems: problems.slice(0, problemsMax) });
  }
  const from = { storage: source, keys: new KeyRing(source, masterKey), instanceId };
  for (const streamId of await listStreamIds(source, instanceId, signal)) {
    if (copied.includes(streamId) || !(await isOfUse(from, { streamId, begins }, signal))) continue;
    gaps.push({ streamId, problems: ['nothing of the stream was copied'] });
  }
  return gaps;
}

type CopyParts = SealedParts & { readonly instanceId: InstanceId };

async function findProblems(
  copy: CopyParts,
  streamId: LogStreamId,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const place = { instanceId: copy.instanceId, streamId };
  const objects = await Array.fromAsync(copy.storage.list(streamFolder(place), signal));
  const { record, pieces, intervals } = sortStream(objects, streamId);
  const replaced = listReplaced(objects);
  try {
    const read = await readIntervals(copy, intervals, signal);
    const problems = findLogProblems({
      ...{ place, hasRecord: record !== null },
      pieces: pieces.filter(({ name }) => !replaced.has(name)),
      intervals: read.flatMap((interval) =>
        interval ? [{ sequence: interval.sequence, interval }] : [],
      ),
    });
    return problems.map(({ object, why }) => `${object}: ${why}`);
  } catch (error) {
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    return [error.message];
  }
}

async function isOfUse(
  source: CopyParts,
  of: { readonly streamId: LogStreamId; readonly begins: LogBegins },
  signal: AbortSignal,
): Promise<boolean> {
  const place = { instanceId: source.instanceId, streamId: of.streamId };
  const objects = await Array.fromAsync(source.storage.list(streamFolder(place), signal));
  const { record } = sortStream(objects, of.streamId);
  if (!record) return false;
  const reading = readRecord(source, { ...record, kind: 'log-stream' }, decodeStream, signal);
  const { storage } = source;
  const stream = await nullIfGone(reading, { storage, name: record.name, signal });
  return stream !== null && of.begins.has(stream.facts.systemIdentifier);
}
