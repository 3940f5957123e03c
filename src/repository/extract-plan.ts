// Decides, purely, what a window of file parts needs from which frame.

import { MiB } from '../model/units.ts';
import type { ByteRange } from '../storage/storage.ts';
import type { MapPart } from './file-map.ts';
import { damaged, digestBytes, partPagesMax } from './format.ts';
import type { FileEntry } from './manifest.ts';
import type { PageWrite } from './pages.ts';
import type { FrameSpan } from './sealed-object.ts';

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

/** Frames of one pack that are read at once, since they lie side by side. */
export type FrameRun<Target> = ByteRange & {
  readonly packName: string;
  /** From `startBytes` to `endBytes` of what is read. */
  readonly frames: readonly (FrameWork<Target> & {
    readonly startBytes: number;
    readonly endBytes: number;
  })[];
};

/**
 * Frames of one pack in runs of neighbours whose first pages go to the same file. `spans` tells
 * where each frame lies. @throws repository-damaged when there is no such frame
 */
export function planRuns<Target>(
  packName: string,
  frames: readonly FrameWork<Target>[],
  spans: readonly FrameSpan[],
): readonly FrameRun<Target>[] {
  const runs: GrowingRun<Target>[] = [];
  for (const work of frames.toSorted((a, b) => a.frame - b.frame)) {
    const span = spans[work.frame];
    if (!span) throw damaged(packName, `it has no frame ${work.frame}`);
    const { offsetBytes, sealedBytes: lengthBytes } = span;
    const run = runs.at(-1);
    const continues =
      run !== undefined &&
      run.offsetBytes + run.lengthBytes === offsetBytes &&
      run.lengthBytes + lengthBytes <= runBytesMax &&
      run.frames.length < runFramesMax &&
      targetOf(run.frames[0]) === targetOf(work);
    const startBytes = continues ? run.lengthBytes : 0;
    const placed = { ...work, startBytes, endBytes: startBytes + lengthBytes };
    if (continues) {
      run.lengthBytes = placed.endBytes;
      run.frames.push(placed);
    } else runs.push({ packName, offsetBytes, lengthBytes, frames: [placed] });
  }
  return runs;
}

type GrowingRun<Target> = FrameRun<Target> & {
  lengthBytes: number;
  readonly frames: FrameRun<Target>['frames'][number][];
};

/** A few, or one thread would be left with the last run of a window for long. */
const runFramesMax = 8;
const runBytesMax = 2 * MiB;

const targetOf = <Target>(work: FrameWork<Target> | undefined): Target | undefined =>
  work?.writes[0]?.target;

/**
 * Runs in an order in which neighbours write to different files: two threads that write to one file
 * wait for each other.
 */
export function alternateTargets<Target>(
  runs: Iterable<FrameRun<Target>>,
): Iterable<FrameRun<Target>> {
  const byTarget = Map.groupBy(runs, ({ frames }) => targetOf(frames[0]));
  return interleave(byTarget.values(), byTarget.size);
}
