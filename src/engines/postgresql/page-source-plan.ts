// How the files of a backup are asked for: what is kept takes no question, small files share one,
// large files are cut into ranges. Pure; the order of the steps is that of the files.
import { MiB } from '../../model/units.ts';
import type { ListedFile } from './page-source-list.ts';
import type { Range } from './page-source-read.ts';
import { rangeBytesMax, requestBytesMax } from './page-source-read.ts';

/** A file that the previous backup has as it is. */
export type KeepStep = { readonly kind: 'keep'; readonly file: ListedFile };

export type RangeStep = {
  readonly kind: 'range';
  readonly file: ListedFile;
  readonly range: Range;
  readonly isFirst: boolean;
  readonly isLast: boolean;
};

export type FileStep = KeepStep | RangeStep;

/** The ranges are those of the range steps, in order. */
export type PageRequest = {
  readonly steps: readonly FileStep[];
  readonly ranges: readonly Range[];
};

const rangesMax = 200;
const stepsMax = 10_000;
/**
 * A file that is no relation may have grown since it was listed, and half a configuration file is
 * none: a small one is taken as it is found.
 */
const wholeBytesMax = MiB;
const growthBytes = 64 * 1024;

export function* planRequests(
  files: Iterable<ListedFile>,
  isKept: (file: ListedFile) => boolean,
): Generator<PageRequest> {
  let steps: FileStep[] = [];
  let ranges: Range[] = [];
  let bytes = 0;
  for (const file of files) {
    for (const step of isKept(file) ? [{ kind: 'keep', file } as const] : rangeSteps(file)) {
      const sizeBytes = step.kind === 'range' ? step.range.sizeBytes : 0;
      const isFull = ranges.length === rangesMax || steps.length === stepsMax;
      if (steps.length > 0 && (isFull || bytes + sizeBytes > requestBytesMax)) {
        yield { steps, ranges };
        [steps, ranges, bytes] = [[], [], 0];
      }
      steps.push(step);
      if (step.kind === 'range') ranges.push(step.range);
      bytes += sizeBytes;
    }
  }
  if (steps.length > 0) yield { steps, ranges };
}

/** Whether the file is sent with the size that it was listed with, whatever it has now. */
export function hasFixedSize(file: ListedFile): boolean {
  return file.relation !== null || file.sizeBytes > wholeBytesMax;
}

function* rangeSteps(file: ListedFile): Generator<RangeStep> {
  const isFixed = hasFixedSize(file);
  const totalBytes = isFixed ? file.sizeBytes : file.sizeBytes + growthBytes;
  const pieceBytes = isFixed ? rangeBytesMax : totalBytes;
  let offsetBytes = 0;
  do {
    const sizeBytes = Math.min(pieceBytes, totalBytes - offsetBytes);
    const end = offsetBytes + sizeBytes;
    const range = { path: file.path, offsetBytes, sizeBytes };
    yield { kind: 'range', file, range, isFirst: offsetBytes === 0, isLast: end === totalBytes };
    offsetBytes = end;
  } while (offsetBytes < totalBytes);
}
