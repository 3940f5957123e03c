// Writes files out of a backup. A window of file parts is planned at once, so that a frame is read
// and unsealed once for all the pages that the window takes from it; threads write the pages
// straight into the files. Over files that exist, the pages that are there are compared first, and
// only those that differ are read and written.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError } from '../model/errors.ts';
import { MiB } from '../model/units.ts';
import { runBounded } from '../platform/bounded.ts';
import { syncFolder } from '../platform/sync-folder.ts';
import type { FrameRun, FrameWork, Unit } from './extract-plan.ts';
import {
  addFrameWork,
  alternateTargets,
  interleave,
  planRuns,
  planWindows,
  unitBytes,
} from './extract-plan.ts';
import type { MapPart } from './file-map.ts';
import { damaged, partPagesMax } from './format.ts';
import type { FileEntry, Manifest } from './manifest.ts';
import type { MapStore } from './map-store.ts';
import type { PackStore } from './pack-store.ts';
import type { ThreadPool } from './thread-pool.ts';

const windowLimits = { windowBytes: 256 * MiB, unitsMax: 512 };
const filesClosingMax = 8;
const permissionBits = 0o777;
/** Two a thread: one is read while the other is written. */
const runsPerThread = 2;
const packsOpeningMax = 8;

export type ExtractParts = {
  readonly manifest: Manifest;
  readonly maps: MapStore;
  readonly packs: PackStore;
  readonly pool: ThreadPool;
  /** `differences`: files may exist, and get the pages that they lack. */
  readonly write: 'new-files' | 'differences';
  readonly onProgress: (doneBytes: number) => void;
  readonly signal: AbortSignal;
};

type Target = {
  readonly file: FileEntry;
  readonly handle: FileHandle;
  /** It was there, with bytes of its own. */
  readonly isOld: boolean;
  partsLeft: number;
};

/** @throws repository-damaged naming the object; storage-full; invalid when a target exists */
export async function extractFiles(
  files: readonly { readonly file: FileEntry; readonly targetPath: string }[],
  parts: ExtractParts,
): Promise<void> {
  const opened = new Set<Target>();
  const progress = { doneBytes: 0 };
  const waiting = interleave(unitsOf(files), parts.pool.threadCount);
  let closing: Promise<void> = Promise.resolve();
  try {
    // Files are opened window by window: their number is bounded by the units of two windows, since
    // one goes to the disk while the next is written.
    for (const window of planWindows(waiting, windowLimits)) {
      const units = await openTargets(window, opened, parts.write);
      await writeWindow(units, parts, progress);
      await closing;
      closing = closeFinished(units, opened);
      closing.catch(() => undefined);
      parts.onProgress(progress.doneBytes);
    }
    await closing;
  } finally {
    await closing.catch(() => undefined);
    await Promise.all([...opened].map(({ handle }) => handle.close()));
  }
  const folders = new Set(files.map(({ targetPath }) => dirname(targetPath)));
  for (const folder of folders) await syncFolder(folder);
}

type Place = { readonly targetPath: string; target: Target | null };

/** The parts of each file. */
function* unitsOf(
  files: Iterable<{ readonly file: FileEntry; readonly targetPath: string }>,
): Generator<Iterable<Unit<Place>>> {
  for (const { file, targetPath } of files) {
    const target: Place = { targetPath, target: null };
    // An empty file has no part, yet it must be made.
    const count = Math.max(1, file.parts.length);
    yield Array.from({ length: count }, (_, partIndex) => ({ file, partIndex, target }));
  }
}

async function openTargets(
  window: readonly Unit<Place>[],
  opened: Set<Target>,
  write: ExtractParts['write'],
): Promise<Unit<Target>[]> {
  const units: Unit<Target>[] = [];
  for (const { file, partIndex, target: place } of window) {
    if (!place.target) {
      const old = write === 'differences' ? await openOld(place.targetPath, file.size) : null;
      const handle = old ?? (await openTarget(place.targetPath, file.size));
      const partsLeft = Math.max(1, file.parts.length);
      place.target = { file, handle, isOld: old !== null, partsLeft };
      opened.add(place.target);
    }
    units.push({ file, partIndex, target: place.target });
  }
  return units;
}

async function openTarget(path: string, sizeBytes: number): Promise<FileHandle> {
  const handle = await open(path, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    throw new CairnError('invalid', `cannot create ${path}: ${cause.message}`, {
      hint: 'restore into a new or empty folder that Cairn may write to',
      cause,
    });
  });
  return await withSize(handle, sizeBytes);
}

/** Null: it is not there. A link is not followed: it could lead out of the folder. */
async function openOld(path: string, sizeBytes: number): Promise<FileHandle | null> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  const handle = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return null;
    throw new CairnError('invalid', `cannot write to ${path}: ${cause.message}`, {
      hint: 'restore over a folder of plain files that Cairn may write to',
      cause,
    });
  });
  return handle && (await withSize(handle, sizeBytes));
}

async function withSize(handle: FileHandle, sizeBytes: number): Promise<FileHandle> {
  try {
    await handle.truncate(sizeBytes);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function writeWindow(
  units: readonly Unit<Target>[],
  parts: ExtractParts,
  progress: { doneBytes: number },
): Promise<void> {
  const { manifest, maps, signal } = parts;
  const work = new Map<string, FrameWork<Target>>();
  for (const unit of units) {
    if (unit.file.size === 0) continue;
    const reference = unit.file.parts[unit.partIndex];
    if (!reference) throw damaged('manifest', `${unit.file.path} has no file map`);
    const part = await maps.read(manifest.header, reference, signal);
    const wanted = unit.target.isOld ? await findWanted(unit, part, parts) : null;
    if (wanted) countKept(unit, wanted, progress);
    if (!addFrameWork(unit, part, work, wanted)) {
      const name = manifest.header.maps[reference.map]?.name ?? 'manifest';
      throw damaged(name, `the file map does not fit ${unit.file.path}`);
    }
  }
  const runs = alternateTargets(await planReads(work.values(), parts));
  await runBounded(runs, parts.pool.threadCount * runsPerThread, async (run) => {
    await writeRun(run, parts);
    for (const { writes } of run.frames)
      for (const { lengthBytes } of writes) progress.doneBytes += lengthBytes;
    parts.onProgress(progress.doneBytes);
  });
}

async function planReads(
  work: Iterable<FrameWork<Target>>,
  { packs, manifest, signal }: ExtractParts,
): Promise<readonly FrameRun<Target>[]> {
  const runs: FrameRun<Target>[] = [];
  const byPack = Map.groupBy(work, ({ packName }) => packName);
  await runBounded(byPack, packsOpeningMax, async ([packName, frames]) => {
    const pack = await packs.open(packName, manifest.header, signal);
    runs.push(...planRuns(packName, frames, pack.frames));
  });
  return runs;
}

/** Which pages of the part the file lacks. */
async function findWanted(
  unit: Unit<Target>,
  { digests, holes }: MapPart,
  { pool }: ExtractParts,
): Promise<Uint8Array> {
  const { file, partIndex, target } = unit;
  const task = {
    kind: 'differ',
    descriptor: target.handle.fd,
    positionBytes: partIndex * partPagesMax * file.page,
    lengthBytes: unitBytes(unit),
    pageBytes: file.page,
    ...{ digests, holes },
  } as const;
  return (await pool.run(task, [])).differs;
}

/** What need not be written is done. */
function countKept(unit: Unit<Target>, wanted: Uint8Array, progress: { doneBytes: number }): void {
  const writtenPages = wanted.reduce((sum, flag) => sum + flag, 0);
  progress.doneBytes += Math.max(0, unitBytes(unit) - writtenPages * unit.file.page);
}

async function writeRun(run: FrameRun<Target>, parts: ExtractParts): Promise<void> {
  const { signal, packs, pool, manifest } = parts;
  signal.throwIfAborted();
  const { packName: name } = run;
  const pack = await packs.open(name, manifest.header, signal);
  const sealed = await pack.readRange(run, signal);
  const frames = run.frames.map(({ frame, startBytes, endBytes, writes }) => ({
    ...{ frame, startBytes, endBytes },
    writes: writes.map(({ target, ...write }) => ({ ...write, descriptor: target.handle.fd })),
  }));
  const task = { kind: 'write', sealed, name, key: pack.key, frames } as const;
  await pool.run(task, [sealed.buffer as ArrayBuffer]);
}

/** Times, modes and fsync of the files whose last part was in the window. */
async function closeFinished(units: readonly Unit<Target>[], opened: Set<Target>): Promise<void> {
  const finished = new Set<Target>();
  for (const unit of units) {
    unit.target.partsLeft--;
    if (unit.target.partsLeft === 0) finished.add(unit.target);
  }
  await runBounded(finished, filesClosingMax, async (target) => {
    const { handle, file } = target;
    const modified = new Date(file.modified);
    // Whoever restores as root must not hand out programs that run as root.
    await handle.chmod(file.mode & permissionBits);
    await handle.utimes(modified, modified);
    await handle.sync();
    opened.delete(target);
    await handle.close();
  });
}
