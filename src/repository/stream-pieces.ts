// Reads pieces of files in order, for who sends them on. A window of runs is planned at once, so
// that a frame is unsealed once for all that the window takes from it, however the pages of
// several backups are mixed; threads unseal and compare. While one window is handed out the next
// is read, and no more: two windows are all the memory that a reader needs.
import { MiB } from '../model/units.ts';
import { runBounded } from '../platform/bounded.ts';
import { damaged } from './format.ts';
import type { FileEntry, Manifest } from './manifest.ts';
import type { MapStore } from './map-store.ts';
import type { PackStore } from './pack-store.ts';
import type { FilePiece } from './repository.ts';
import type { FrameTakes, Run } from './stream-plan.ts';
import { cutHoles, fitsFile, groupByFrame, partsOf, planRuns } from './stream-plan.ts';
import type { ThreadPool } from './thread-pool.ts';

const windowBytes = 8 * MiB;
const runsMax = 4096;
/** Two frames a thread: one is read while the other is unsealed. */
const framesPerThread = 2;

export type StreamParts = {
  readonly manifest: Manifest;
  readonly maps: MapStore;
  readonly packs: PackStore;
  readonly pool: ThreadPool;
  /** @throws not-found */
  readonly find: (path: string) => FileEntry;
  readonly signal: AbortSignal;
};

/** The runs of a window, and the lengths of the pieces that they belong to. */
type Window = { readonly runs: Run[]; readonly lengths: number[]; bytes: number };

/** @throws not-found, repository-damaged naming the object */
export async function* streamPieces(
  pieces: Iterable<FilePiece>,
  parts: StreamParts,
): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const inside = { ...parts, signal: AbortSignal.any([parts.signal, stop.signal]) };
  const windows = planWindows(pieces, inside);
  const read = async (): Promise<Uint8Array[] | null> => {
    const next = await windows.next();
    return next.done ? null : await readWindow(next.value, inside);
  };
  let ahead = read();
  // Who waits learns of its failure below; until then it must not count as nobody's.
  ahead.catch(() => undefined);
  try {
    for (let chunks = await ahead; chunks !== null; chunks = await ahead) {
      ahead = read();
      ahead.catch(() => undefined);
      yield* chunks;
    }
  } finally {
    stop.abort();
    await ahead.catch(() => undefined);
  }
}

async function* planWindows(
  pieces: Iterable<FilePiece>,
  parts: StreamParts,
): AsyncGenerator<Window> {
  let window: Window = { runs: [], lengths: [], bytes: 0 };
  for (const piece of pieces) {
    window.lengths.push(0);
    for await (const run of runsOf(piece, parts)) {
      window.runs.push(run);
      window.bytes += run.lengthBytes;
      window.lengths.push((window.lengths.pop() ?? 0) + run.lengthBytes);
      if (window.bytes < windowBytes && window.runs.length < runsMax) continue;
      yield window;
      window = { runs: [], lengths: [0], bytes: 0 };
    }
  }
  if (window.bytes > 0) yield window;
}

async function* runsOf(piece: FilePiece, parts: StreamParts): AsyncGenerator<Run> {
  const { manifest, maps, signal } = parts;
  const file = parts.find(piece.path);
  let left = piece.endBytes - piece.startBytes;
  const { first, end } = partsOf(file, piece);
  for (let partIndex = first; partIndex < end; partIndex++) {
    signal.throwIfAborted();
    const reference = file.parts[partIndex];
    if (!reference) throw damaged('manifest', `${file.path} has no file map there`);
    const part = await maps.read(manifest.header, reference, signal);
    if (!fitsFile(file, partIndex, part)) {
      const name = manifest.header.maps[reference.map]?.name ?? 'manifest';
      throw damaged(name, `the file map does not fit ${file.path}`);
    }
    for (const run of cutHoles(planRuns(file, { partIndex, part }, piece), windowBytes)) {
      left -= run.lengthBytes;
      yield run;
    }
  }
  if (left !== 0) throw damaged('manifest', `the file map does not cover ${file.path}`);
}

/** One chunk for each piece that has bytes in the window. */
async function readWindow(window: Window, parts: StreamParts): Promise<Uint8Array[]> {
  const content = new Uint8Array(window.bytes);
  const work = groupByFrame(window.runs);
  await runBounded(work, parts.pool.threadCount * framesPerThread, async (frame) => {
    await takeFrame(frame, content, parts);
  });
  let at = 0;
  return window.lengths.flatMap((length) => {
    at += length;
    return length === 0 ? [] : [content.subarray(at - length, at)];
  });
}

async function takeFrame(
  { packName, frame, takes }: FrameTakes,
  content: Uint8Array,
  { packs, pool, manifest, signal }: StreamParts,
): Promise<void> {
  signal.throwIfAborted();
  const pack = await packs.open(packName, manifest.header, signal);
  const sealed = await pack.readSealed(frame, signal);
  const task = { kind: 'take', sealed, name: packName, key: pack.key, frame, takes } as const;
  const { taken } = await pool.run(task, [sealed.buffer as ArrayBuffer]);
  let done = 0;
  for (const { lengthBytes, skipBytes, wantedBytes, positionBytes } of takes) {
    content.set(new Uint8Array(taken, done + skipBytes, wantedBytes), positionBytes);
    done += lengthBytes;
  }
}
