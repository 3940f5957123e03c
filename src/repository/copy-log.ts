// Copies archived log into the second copy of a repository: the record of a stream, its pieces,
// made durable, and its intervals last, so that an interval of the copy has all of its files. Only
// log is copied that a backup of the copy can be rolled forward with.
import { CairnError, isErrorKind, toCairnError } from '../model/errors.ts';
import type { InstanceId, LogStreamId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { compareLogPositions } from '../model/log-position.ts';
import { runBounded } from '../platform/bounded.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import type { CopyOptions, FailedLogCopy } from './copy-door.ts';
import type { PassParts } from './copy-instance.ts';
import { copyWraps } from './copy-keys.ts';
import type { CopyableObject } from './copy-object.ts';
import { copyObject } from './copy-object.ts';
import { assertCopy } from './copy-target.ts';
import { damaged } from './format.ts';
import { KeyRing } from './keys.ts';
import { listReplaced, planFilesFrom } from './log-chain.ts';
import type { LogInterval } from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { intervalsFolder, logFolder, parseLogObject, streamFolder } from './log-names.ts';
import { readIntervals, sortStream } from './log-reader.ts';
import { decodeStream } from './log-records.ts';
import { nullIfGone, readRecord } from './log-store.ts';
import { isPresent } from './object-presence.ts';
import { readBackups } from './read-backups.ts';

const objectsInFlight = 4;
const intervalsAtOnce = 64;
/** Pieces are replaced at the source all the time, but seldom while they are copied. */
const attemptsMax = 5;

export type LogPass = {
  objects: number;
  bytes: number;
  readonly failed: FailedLogCopy[];
};

type Scene = PassParts & {
  readonly instanceId: InstanceId;
  readonly options: CopyOptions;
  readonly sourceKeys: KeyRing;
  readonly pass: LogPass;
  readonly progress: { doneBytes: number; totalBytes: number };
};

/** Where log of one server begins to be of use, by system identifier. */
export type LogBegins = ReadonlyMap<string, LogPosition>;

/** The earliest position at which a backup of the copy begins, of each server. */
export async function readLogBegins(
  parts: { readonly storage: Storage; readonly keys: KeyRing; readonly instanceId: InstanceId },
  signal: AbortSignal,
): Promise<LogBegins> {
  const begins = new Map<string, LogPosition>();
  for await (const { stored } of readBackups(parts, signal)) {
    if (!stored) continue;
    const { systemIdentifier, startPosition } = stored.facts.base;
    const known = begins.get(systemIdentifier);
    if (known && compareLogPositions(known, startPosition) <= 0) continue;
    begins.set(systemIdentifier, startPosition);
  }
  return begins;
}

/**
 * Copies what the copy lacks. A stream that fails keeps no other from being copied. Safe to repeat.
 * @throws storage errors; what `assertLease` throws; conflict when the target is no copy
 */
export async function copyLog(
  parts: PassParts,
  instanceId: InstanceId,
  options: CopyOptions,
): Promise<LogPass> {
  const { source, target, masterKey } = parts;
  const { signal } = options;
  const pass: LogPass = { objects: 0, bytes: 0, failed: [] };
  const sourceKeys = new KeyRing(source, masterKey);
  const progress = { doneBytes: 0, totalBytes: 0 };
  const scene: Scene = { ...parts, instanceId, options, sourceKeys, pass, progress };
  const streamIds = await listStreamIds(source, instanceId, signal);
  if (streamIds.length === 0) return pass;
  const keys = new KeyRing(target, masterKey);
  const begins = await readLogBegins({ storage: target, keys, instanceId }, signal);
  for (const streamId of streamIds) {
    try {
      await copyStream(scene, { instanceId, streamId }, begins);
    } catch (error) {
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      pass.failed.push({ streamId, error: toCairnError(error) });
    }
  }
  return pass;
}

export async function listStreamIds(
  storage: Storage,
  instanceId: InstanceId,
  signal: AbortSignal,
): Promise<readonly LogStreamId[]> {
  const ids = new Set<LogStreamId>();
  for await (const info of storage.list(logFolder(instanceId), signal)) {
    const streamId = parseLogObject(info)?.streamId;
    if (streamId) ids.add(streamId);
  }
  return [...ids].sort();
}

async function copyStream(scene: Scene, place: LogPlace, begins: LogBegins): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    if (await copyOnce(scene, place, begins)) return;
  }
  const text = `log in ${streamFolder(place)} vanishes while it is copied`;
  throw new CairnError('storage-unavailable', text, { hint: 'copy again when that has ended' });
}

/** False: something was gone at the source that had been listed. */
async function copyOnce(scene: Scene, place: LogPlace, begins: LogBegins): Promise<boolean> {
  const { source, target, options } = scene;
  const { signal } = options;
  // Before the files: whatever an interval needs was stored before it.
  const intervals = await Array.fromAsync(source.list(intervalsFolder(place), signal));
  const objects = await Array.fromAsync(source.list(streamFolder(place), signal));
  const { record, pieces } = sortStream(objects, place.streamId);
  const begin = record && (await findBegin(scene, record, begins));
  if (!record || !begin) return true;
  // After the listing: whatever sealed what it names is among them.
  await copyWraps(scene, `keys/${place.instanceId}.`, signal);
  const inTarget = new Map<string, number>();
  for await (const { name, sizeBytes } of target.list(streamFolder(place), signal)) {
    inTarget.set(name, sizeBytes);
  }
  const replaced = listReplaced(pieces);
  const wanted = planFilesFrom(pieces, begin).filter(({ name }) => !replaced.has(name));
  const first = await copyObjects(scene, inTarget, [{ ...record, kind: 'log-stream' }]);
  if (first.failure !== null) throw first.failure;
  const copied = await copyObjects(
    ...([scene, inTarget, wanted.map((piece) => ({ ...piece, kind: 'log' as const }))] as const),
  );
  if (first.isAnyGone || copied.isAnyGone) return false;
  await target.flush([...first.names, ...copied.names], signal);
  const lacking = intervals.filter(({ name }) => !inTarget.has(name));
  const stored = wanted.filter(({ name }) => !copied.broken.has(name));
  await copyIntervals(scene, { lacking, begin, pieces: stored });
  await removeReplaced(scene, [...inTarget.keys(), ...copied.names]);
  if (copied.failure !== null) throw copied.failure;
  return true;
}

/** Null: no backup of the copy can be rolled forward with the stream, or it is being removed. */
async function findBegin(
  { source, sourceKeys: keys, options }: Scene,
  record: ObjectInfo,
  begins: LogBegins,
): Promise<LogPosition | null> {
  const { signal } = options;
  const where = { ...record, kind: 'log-stream' } as const;
  const reading = readRecord({ storage: source, keys }, where, decodeStream, signal);
  const stream = await nullIfGone(reading, { storage: source, name: record.name, signal });
  return (stream && begins.get(stream.facts.systemIdentifier)) ?? null;
}

type Copied = {
  readonly names: readonly string[];
  /** What the source has, but not whole, and how the first of it is damaged. */
  readonly broken: ReadonlySet<string>;
  readonly failure: unknown;
  /** Something is gone at the source. */
  readonly isAnyGone: boolean;
};

/** Those that the copy lacks. Not durable yet. */
async function copyObjects(
  scene: Scene,
  inTarget: ReadonlyMap<string, number>,
  objects: ReadonlyArray<ObjectInfo & Pick<CopyableObject, 'kind'>>,
): Promise<Copied> {
  const { source, pass, options, progress, sourceKeys: keys } = scene;
  const { signal } = options;
  const missing = objects.filter((object) => isMissing(inTarget, scene, object));
  progress.totalBytes += missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const onBytes = (count: number): void => {
    progress.doneBytes += count;
    options.onProgress({ ...progress });
  };
  const names: string[] = [];
  const broken = new Set<string>();
  let failure: unknown = null;
  await runBounded(missing, objectsInFlight, async ({ name, kind, sizeBytes: size }) => {
    try {
      const bytes = await copyObject({ name, kind, size }, { ...scene, keys, signal }, onBytes);
      pass.objects++;
      pass.bytes += bytes;
      names.push(name);
    } catch (error) {
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      if (!(await isPresent(source, name, signal))) return;
      failure ??= error;
      broken.add(name);
    }
  });
  const isAnyGone = names.length + broken.size < missing.length;
  return { names, broken, failure, isAnyGone };
}

/** @throws repository-damaged when the copy has another object of that name */
function isMissing(
  inTarget: ReadonlyMap<string, number>,
  { target }: Pick<Scene, 'target'>,
  { name, sizeBytes }: ObjectInfo,
): boolean {
  const found = inTarget.get(name);
  if (found === undefined) return true;
  if (found === sizeBytes) return false;
  const where = `in ${target.location} it has ${found} bytes instead of ${sizeBytes}`;
  throw damaged(name, `${where}; delete it there`);
}

type Wanted = { readonly info: ObjectInfo; readonly interval: LogInterval };

/** Those of which the copy has every file, oldest first. */
async function copyIntervals(
  scene: Scene,
  of: {
    readonly lacking: readonly ObjectInfo[];
    readonly begin: LogPosition;
    readonly pieces: readonly PieceObject[];
  },
): Promise<void> {
  const { target, identity, options } = scene;
  const { signal } = options;
  const known = new Set(of.pieces.map(({ file }) => file.name));
  const wanted = (await readWanted(scene, of)).filter(({ interval }) =>
    interval.files.every((name) => known.has(name)),
  );
  if (wanted.length === 0) return;
  const files = new Set(wanted.flatMap(({ interval }) => interval.files));
  // Also what was there: the process that copied it may have died before it was durable.
  const needed = of.pieces.filter(({ file }) => files.has(file.name)).map(({ name }) => name);
  await target.flush(needed, signal);
  await assertCopy(target, identity, signal);
  await options.assertLease();
  for (const { info } of wanted) {
    const copied = await copyObjects(scene, new Map(), [{ ...info, kind: 'log-interval' }]);
    if (copied.failure !== null) throw copied.failure;
    await target.flush(copied.names, signal);
  }
}

/** From the newest back to the first that ends where no backup of the copy needs it. */
async function readWanted(
  { source, sourceKeys: keys, options }: Scene,
  of: { readonly lacking: readonly ObjectInfo[]; readonly begin: LogPosition },
): Promise<readonly Wanted[]> {
  const newestFirst = [...of.lacking].sort((a, b) => (a.name < b.name ? 1 : -1));
  const wanted: Wanted[] = [];
  for (let at = 0; at < newestFirst.length; at += intervalsAtOnce) {
    const infos = newestFirst.slice(at, at + intervalsAtOnce);
    const read = await readIntervals({ storage: source, keys }, infos, options.signal);
    for (const [index, interval] of read.entries()) {
      const info = infos[index];
      if (!info || !interval) continue;
      if (compareLogPositions(interval.endPosition, of.begin) <= 0) return wanted.reverse();
      wanted.push({ info, interval });
    }
  }
  return wanted.reverse();
}

/** Of pieces that the copy has from before the source had stored a longer one. */
async function removeReplaced(scene: Scene, names: readonly string[]): Promise<void> {
  const { target, options } = scene;
  const objects = [...new Set(names)].map((name) => ({ name, sizeBytes: 0 }));
  const replaced = [...listReplaced(objects)];
  if (replaced.length === 0) return;
  await options.assertLease();
  await runBounded(replaced, objectsInFlight, (name) => target.delete(name, options.signal));
}
