// Loads what was stored before for the segments of a batch: in stream order, and one part of a file
// at a time, so that memory does not grow with the file.
import { CairnError } from '../model/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { FileSegment } from './batch.ts';
import { markPages } from './copy-forward.ts';
import type { MapPart } from './file-map.ts';
import { damaged, partPagesMax } from './format.ts';
import type { MapStore } from './map-store.ts';
import type { PriorMapPart } from './part-draft.ts';
import type { PriorFile, PriorPart } from './prior-files.ts';
import { findPriorPart } from './prior-files.ts';
import { fitsFile } from './stream-plan.ts';

export type ComparedFile = {
  readonly entry: { readonly path: string };
  readonly priors: readonly PriorFile[];
  /** Pages are taken over unseen: what cannot be read fails the backup. */
  readonly isTrusting: boolean;
  /** The last one loaded. */
  priorPart: { readonly index: number; readonly part: PriorMapPart | null } | null;
};

type Parts = {
  readonly maps: MapStore;
  /** Packs whose pages are stored again even when they are equal. */
  readonly copyForward: ReadonlySet<string>;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export class PriorParts<File extends ComparedFile> {
  readonly #parts: Parts;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Null where there is none, or none that can be read. @throws storage errors; repository-damaged
   * for a file that trusts it
   */
  async load(
    segments: readonly FileSegment<File>[],
  ): Promise<ReadonlyMap<FileSegment<File>, PriorMapPart | null>> {
    const loading = this.#queue.then(async () => {
      const known = new Map<FileSegment<File>, PriorMapPart | null>();
      for (const segment of segments) known.set(segment, await this.#find(segment));
      return known;
    });
    this.#queue = loading.catch(() => undefined);
    return await loading;
  }

  async #find({ file, firstPage }: FileSegment<File>): Promise<PriorMapPart | null> {
    const index = Math.floor(firstPage / partPagesMax);
    const found = findPriorPart(file.priors, index);
    if (!found) return null;
    if (file.priorPart?.index === index) return file.priorPart.part;
    const { maps, signal, copyForward } = this.#parts;
    const part = await maps
      .read(found.header, found.reference, signal)
      .then((read) => {
        if (file.isTrusting) assertFits(found, index, read);
        return { ...read, again: markPages(read, copyForward) };
      })
      .catch((err: unknown) => this.#without(file, err));
    file.priorPart = { index, part };
    return part;
  }

  /** A damaged map costs storing the pages again, never the backup. */
  #without(file: File, err: unknown): null {
    const tolerable =
      err instanceof CairnError && ['repository-damaged', 'not-found'].includes(err.kind);
    if (!tolerable || file.isTrusting) throw err;
    this.#parts.log.warn({ err, path: file.entry.path }, 'an earlier file map cannot be read');
    return null;
  }
}

function assertFits({ entry, header, reference }: PriorPart, index: number, part: MapPart): void {
  if (fitsFile(entry, index, part)) return;
  const name = header.maps[reference.map]?.name ?? 'manifest';
  throw damaged(name, `the file map does not fit ${entry.path}`);
}
