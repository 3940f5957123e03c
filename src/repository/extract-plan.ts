// Decides, purely, what a window of file parts needs from which frame.

import type { MapPart } from './file-map.ts';
import { digestBytes, partPagesMax } from './format.ts';
import type { FileEntry } from './manifest.ts';
import type { PageWrite } from './pages.ts';

/** A part of one file that is being written. */
export type Unit<Target> = {
  readonly file: FileEntry;
  readonly partIndex: number;
  readonly target: Target;
};

export type FrameWork<Target> = {
  readonly packName: string;
  readonly frame: number;
  readonly writes: Array<Omit<PageWrite, 'descriptor'> & { readonly target: Target }>;
};

/**
 * The items of several lists at a time, one of each in turn: of the first `width` lists, and when
 * one is used up, of the next in its place.
 */
export function* interleave<Item>(lists: Iterable<Iterable<Item>>, width: number): Generator<Item> {
  const waiting = Iterator.from(lists);
  const lanes: Array<Iterator<Item> | null> = Array.from({ length: width }, () => beginNext());
  while (lanes.some((lane) => lane !== null)) {
    for (const [index] of lanes.entries()) {
      let next = lanes[index]?.next();
      while (next?.done) {
        lanes[index] = beginNext();
        next = lanes[index]?.next();
      }
      if (next) yield next.value;
    }
  }

  function beginNext(): Iterator<Item> | null {
    const list = waiting.next();
    return list.done ? null : Iterator.from(list.value);
  }
}

/** Bytes of a file that one part covers. */
export function unitBytes({ file, partIndex }: Unit<unknown>): number {
  const partBytes = partPagesMax * file.page;
  return Math.min(partBytes, file.size - partIndex * partBytes);
}

/** Units of all files in order, in windows of about `windowBytes` and at most `unitsMax`. */
export function* planWindows<Target>(
  units: Iterable<Unit<Target>>,
  limits: { readonly windowBytes: number; readonly unitsMax: number },
): Generator<Unit<Target>[]> {
  let window: Unit<Target>[] = [];
  let bytes = 0;
  for (const unit of units) {
    window.push(unit);
    bytes += unitBytes(unit);
    if (bytes < limits.windowBytes && window.length < limits.unitsMax) continue;
    yield window;
    window = [];
    bytes = 0;
  }
  if (window.length > 0) yield window;
}

/**
 * Adds what the unit needs to the work per frame: all of its pages, or those that are marked with 1
 * in `wanted`. Answers false when part and file do not fit together.
 */
export function addFrameWork<Target>(
  unit: Unit<Target>,
  part: MapPart,
  into: Map<string, FrameWork<Target>>,
  wanted: Uint8Array | null = null,
): boolean {
  const { file, partIndex, target } = unit;
  const firstPage = partIndex * partPagesMax;
  if (part.pageCount !== Math.ceil(unitBytes(unit) / file.page)) return false;
  let page = 0;
  for (const extent of part.extents) {
    if (extent.kind === 'pages') {
      const packName = part.packs[extent.pack] ?? '';
      const key = `${packName}#${extent.frame}`;
      for (const run of wantedRuns({ from: page, to: page + extent.pageCount }, wanted)) {
        const work = into.get(key) ?? { packName, frame: extent.frame, writes: [] };
        into.set(key, work);
        const positionBytes = (firstPage + run.from) * file.page;
        work.writes.push({
          target,
          positionBytes,
          offsetBytes: extent.offsetBytes + (run.from - page) * file.page,
          lengthBytes: Math.min((run.to - run.from) * file.page, file.size - positionBytes),
          pageBytes: file.page,
          digests: part.digests.slice(run.from * digestBytes, run.to * digestBytes),
        });
      }
    }
    page += extent.pageCount;
  }
  return true;
}

type PageRun = { readonly from: number; readonly to: number };

/** The stretches of a run that are marked; all of it where nothing is. */
function* wantedRuns(run: PageRun, wanted: Uint8Array | null): Generator<PageRun> {
  if (!wanted) return yield run;
  let from = run.from;
  for (let page = run.from; page <= run.to; page++) {
    if (page < run.to && wanted[page] === 1) continue;
    if (page > from) yield { from, to: page };
    from = page + 1;
  }
}

/**
 * Frames in an order in which neighbours write to different files: two threads that write to one
 * file wait for each other.
 */
export function alternateTargets<Target>(
  work: Iterable<FrameWork<Target>>,
): Iterable<FrameWork<Target>> {
  const byTarget = Map.groupBy(work, ({ writes }) => writes[0]?.target);
  return interleave(byTarget.values(), byTarget.size);
}
