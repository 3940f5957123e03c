// Reads pieces of files in order, for who sends them on. A window of runs is planned at once, so
// that a frame is unsealed once for all that the window takes from it, however the pages of
// several backups are mixed; threads unseal and compare. While one window is handed out the next
// is read, and no more: a reader needs the memory of two windows, four when pages are very mixed.
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
/** Every hole is a view of these. */
const holeBytesMax = MiB;
const zeros = new Uint8Array(holeBytesMax);
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

type Window = { readonly runs: Run[]; bytes: number };

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
  let window: Window = { runs: [], bytes: 0 };
  for (const piece of pieces) {
    for await (const run of runsOf(piece, parts)) {
      window.runs.push(run);
      window.bytes += run.lengthBytes;
      if (window.bytes < windowBytes && window.runs.length < runsMax) continue;
      yield window;
      window = { runs: [], bytes: 0 };
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
    for (const run of cutHoles(planRuns(file, { partIndex, part }, piece), holeBytesMax)) {
      left -= run.lengthBytes;
      yield run;
    }
  }
  if (left !== 0) throw damaged('manifest', `the file map does not cover ${file.path}`);
}

/** One chunk for each run, as the threads have made them: nothing is copied here. */
async function readWindow({ runs }: Window, parts: StreamParts): Promise<Uint8Array[]> {
  const chunks = runs.map(({ lengthBytes }) => zeros.subarray(0, lengthBytes));
  const work = groupByFrame(runs);
  await runBounded(work, parts.pool.threadCount * framesPerThread, async (frame) => {
    await takeFrame(frame, chunks, parts);
  });
  return chunks;
}

async function takeFrame(
  { packName, frame, takes }: FrameTakes,
  chunks: Uint8Array[],
  { packs, pool, manifest, signal }: StreamParts,
): Promise<void> {
  signal.throwIfAborted();
  const pack = await packs.open(packName, manifest.header, signal);
  const sealed = await pack.readSealed(frame, signal);
  const task = { kind: 'take', sealed, name: packName, key: pack.key, frame, takes } as const;
  const { taken } = await pool.run(task, [sealed.buffer as ArrayBuffer]);
  let done = 0;
  for (const { offsetBytes, lengthBytes, skipBytes, wantedBytes, runIndex } of takes) {
    const at = (taken.isWhole ? offsetBytes : done) + skipBytes;
    chunks[runIndex] = new Uint8Array(taken.buffer, at, wantedBytes);
    done += lengthBytes;
  }
}
