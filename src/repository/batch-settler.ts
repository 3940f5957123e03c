// Puts the pages of compared batches where they belong: fresh ones into frames, and all of them, in
// stream order, into the parts of their files' maps.
import type { Batch, FileSegment } from './batch.ts';
import type { ComparedBatch, KnownParts } from './compare-batch.ts';
import type { PageLocation } from './file-map.ts';
import type { BufferShelf } from './flow-gate.ts';
import { digestBytes, partPagesMax } from './format.ts';
import type { FrameFiller } from './frame-filler.ts';
import type { PackWriter } from './pack.ts';
import { countPages, pageFates } from './pages.ts';
import type { PartDraft, PriorMapPart } from './part-draft.ts';
import type { OpenFile, PartWriter } from './part-writer.ts';

type Parts = {
  readonly frames: FrameFiller;
  readonly packs: PackWriter;
  readonly shelf: BufferShelf;
  readonly partWriter: PartWriter;
};

type Segment = FileSegment<OpenFile>;

type Settling = {
  readonly buffer: ArrayBuffer;
  readonly compared: ComparedBatch;
  /** The number of the segment's first page in the comparison. */
  readonly firstPage: number;
  readonly prior: PriorMapPart | null;
  /** The frame that the batch becomes as it stands; null when pages are collected. */
  readonly frame: Omit<PageLocation, 'offsetBytes'> | null;
};

export class BatchSettler {
  readonly #parts: Parts;
  #newBytes = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Of pages that went into frames. */
  get newBytes(): number {
    return this.#newBytes;
  }

  /** Takes the batch's buffer over. */
  settle(batch: Batch<OpenFile>, compared: ComparedBatch, known: KnownParts<OpenFile>): void {
    const { frames, packs, shelf } = this.#parts;
    const { buffer } = batch;
    const frame = frames.takeOver(batch, compared.fates);
    let firstPage = 0;
    for (const segment of batch.segments) {
      const prior = known.get(segment) ?? null;
      if (!segment.file.grown?.isGone) {
        this.#settleSegment(segment, { buffer, compared, firstPage, prior, frame });
      }
      if (segment.kind !== 'kept') firstPage += countPages(segment);
    }
    if (frame) packs.add(buffer, batch.lengthBytes);
    else shelf.giveBack(buffer);
  }

  #settleSegment(segment: Segment, settling: Settling): void {
    const { file, kind, lengthBytes, last } = segment;
    const { partWriter } = this.#parts;
    if (kind === 'head') return this.#settleHead(segment, settling);
    if (lengthBytes > 0) {
      const draft = partWriter.draftOf(segment, settling.prior);
      if (kind === 'kept') draft.keep(countPages(segment));
      else this.#settlePages({ ...segment, draft }, settling);
      file.settledBytes += lengthBytes;
    }
    if (last || file.draft?.pageCount === partPagesMax) partWriter.end(file);
  }

  #settlePages(
    { draft, pageBytes, offsetBytes, lengthBytes }: Segment & { readonly draft: PartDraft },
    settling: Settling,
  ): void {
    const { fates, digests } = settling.compared;
    const end = offsetBytes + lengthBytes;
    let page = settling.firstPage;
    for (let at = offsetBytes; at < end; at += pageBytes, page++) {
      const fate = fates[page];
      if (fate === pageFates.hole) draft.addHole();
      else if (fate === pageFates.same) draft.addSame();
      else {
        const place = this.#place({ at, length: Math.min(pageBytes, end - at) }, settling);
        draft.addFresh(place, digests, page * digestBytes);
      }
    }
  }

  /** Stored also where it is as before: it is one page, and of few files. */
  #settleHead({ file, offsetBytes, lengthBytes }: Segment, settling: Settling): void {
    const { firstPage, compared } = settling;
    const isHole = compared.fates[firstPage] === pageFates.hole;
    const place = isHole ? null : this.#place({ at: offsetBytes, length: lengthBytes }, settling);
    const digest = { digests: compared.digests, digestOffset: firstPage * digestBytes };
    this.#parts.partWriter.rewriteHead(file, place && { place, ...digest });
  }

  #place(
    { at, length }: { readonly at: number; readonly length: number },
    { buffer, frame }: Settling,
  ): PageLocation {
    this.#newBytes += length;
    if (frame) return { ...frame, offsetBytes: at };
    return this.#parts.frames.add(new Uint8Array(buffer, at, length));
  }
}
