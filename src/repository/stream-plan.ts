// Decides, purely, which pages of which frames a piece of a file is made of, and gathers such runs
// into windows. Digests are of whole pages, so a run takes whole pages and says how much of them
// the reader wants.
import type { MapPart } from './file-map.ts';
import { digestBytes, partPagesMax } from './format.ts';
import type { FileEntry } from './manifest.ts';
import type { PageTake } from './pages.ts';

/** Bytes that lie side by side in a file. */
export type Run = {
  /** Bytes that are wanted. */
  readonly lengthBytes: number;
  /** Null: zeros. */
  readonly from: {
    readonly packName: string;
    readonly frame: number;
    readonly take: PageTake;
    /** Of the pages taken, what lies before the first wanted byte. */
    readonly skipBytes: number;
  } | null;
};

/** What is to be taken from one frame, and which runs of the window it is for. */
export type FrameTakes = {
  readonly packName: string;
  readonly frame: number;
  readonly takes: Array<
    PageTake & {
      readonly skipBytes: number;
      readonly wantedBytes: number;
      readonly runIndex: number;
    }
  >;
};

/** The parts of a file map that a piece touches: first, and the one after the last. */
export function partsOf(
  file: FileEntry,
  piece: { readonly startBytes: number; readonly endBytes: number },
): { readonly first: number; readonly end: number } {
  const partBytes = partPagesMax * file.page;
  return {
    first: Math.floor(piece.startBytes / partBytes),
    end: Math.ceil(piece.endBytes / partBytes),
  };
}

/** Whether a part of the map covers as many pages as its place in the file demands. */
export function fitsFile(file: FileEntry, partIndex: number, part: MapPart): boolean {
  const firstPage = partIndex * partPagesMax;
  const pages = Math.min(partPagesMax, Math.ceil(file.size / file.page) - firstPage);
  return part.pageCount === pages;
}

/** The runs of one part that lie in the piece, in order. */
export function* planRuns(
  file: FileEntry,
  place: { readonly partIndex: number; readonly part: MapPart },
  piece: { readonly startBytes: number; readonly endBytes: number },
): Generator<Run> {
  const { partIndex, part } = place;
  const pageBytes = file.page;
  let page = 0;
  for (const extent of part.extents) {
    const extentStart = (partIndex * partPagesMax + page) * pageBytes;
    const extentEnd = Math.min(extentStart + extent.pageCount * pageBytes, file.size);
    const start = Math.max(piece.startBytes, extentStart);
    const end = Math.min(piece.endBytes, extentEnd);
    if (start < end && extent.kind === 'zero') yield { lengthBytes: end - start, from: null };
    else if (start < end && extent.kind === 'pages') {
      const firstPage = Math.floor((start - extentStart) / pageBytes);
      const pagesEnd = Math.ceil((end - extentStart) / pageBytes);
      const takeStart = extentStart + firstPage * pageBytes;
      const digestsAt = page + firstPage;
      const digestsEnd = page + pagesEnd;
      yield {
        lengthBytes: end - start,
        from: {
          packName: part.packs[extent.pack] ?? '',
          frame: extent.frame,
          skipBytes: start - takeStart,
          take: {
            offsetBytes: extent.offsetBytes + firstPage * pageBytes,
            lengthBytes: Math.min(extentStart + pagesEnd * pageBytes, file.size) - takeStart,
            pageBytes,
            digests: part.digests.slice(digestsAt * digestBytes, digestsEnd * digestBytes),
          },
        },
      };
    }
    page += extent.pageCount;
  }
}

/** Runs cut where a hole is longer than `bytesMax`, so that windows stay bounded. */
export function* cutHoles(runs: Iterable<Run>, bytesMax: number): Generator<Run> {
  for (const run of runs) {
    if (run.from !== null) yield run;
    else {
      for (let left = run.lengthBytes; left > 0; left -= bytesMax) {
        yield { lengthBytes: Math.min(left, bytesMax), from: null };
      }
    }
  }
}

/** What each frame gives to the runs. */
export function groupByFrame(runs: readonly Run[]): FrameTakes[] {
  const work = new Map<string, FrameTakes>();
  for (const [runIndex, { lengthBytes, from }] of runs.entries()) {
    if (!from) continue;
    const { packName, frame, take, skipBytes } = from;
    const key = `${packName}#${frame}`;
    const known = work.get(key) ?? { packName, frame, takes: [] };
    work.set(key, known);
    known.takes.push({ ...take, skipBytes, wantedBytes: lengthBytes, runIndex });
  }
  return [...work.values()];
}
