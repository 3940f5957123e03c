// Has a thread compare the written pages of a batch with what was stored before in their places.
import type { Batch, FileSegment } from './batch.ts';
import { digestBytes, partPagesMax } from './format.ts';
import { countPages } from './pages.ts';
import type { PriorMapPart } from './part-draft.ts';
import { notePriors } from './part-draft.ts';
import type { ThreadPool } from './thread-pool.ts';

export type KnownParts<File> = ReadonlyMap<FileSegment<File>, PriorMapPart | null>;

/** Fates and digests of the written pages, counted through; kept ones have none. */
export type ComparedBatch = {
  /** The batch's own went to the thread and came back. */
  readonly buffer: ArrayBuffer;
  readonly fates: Uint8Array;
  readonly digests: Uint8Array;
};

export async function compareBatch<File>(
  { buffer, segments }: Batch<File>,
  known: KnownParts<File>,
  pool: ThreadPool,
): Promise<ComparedBatch> {
  const written = segments.filter(({ kind }) => kind !== 'kept');
  const pageCount = written.reduce((total, segment) => total + countPages(segment), 0);
  const notes = {
    priors: new Uint8Array(pageCount),
    digests: new Uint8Array(pageCount * digestBytes),
  };
  if (pageCount === 0) return { buffer, fates: notes.priors, digests: notes.digests };
  let at = 0;
  for (const segment of written) {
    const count = countPages(segment);
    const pages = { first: segment.firstPage % partPagesMax, count };
    notePriors(known.get(segment) ?? null, pages, { ...notes, at });
    at += count;
  }
  const places = written.map(({ offsetBytes, lengthBytes, pageBytes }) => ({
    ...{ offsetBytes, lengthBytes, pageBytes },
  }));
  const task = { kind: 'compare', buffer, segments: places, known: notes } as const;
  return await pool.run(task, [buffer]);
}
