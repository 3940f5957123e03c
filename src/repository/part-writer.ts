// Ends the parts of file maps in the order in which their last pages are settled. A part in which
// nothing changed is shared as it stands with what stored it before; any other is stored.
import { assert } from '../model/assert.ts';
import type { FileSegment } from './batch.ts';
import type { CheckpointWriter } from './checkpoint-writer.ts';
import { LiveBytes } from './copy-forward.ts';
import type { MapPart } from './file-map.ts';
import type { GrownFile } from './file-table.ts';
import { partPagesMax } from './format.ts';
import type { FileEntry } from './manifest.ts';
import type { MapWriter } from './map-writer.ts';
import type { ObjectLists } from './object-lists.ts';
import type { PlacedPage, PriorMapPart } from './part-draft.ts';
import { PartDraft, replaceFirstPage } from './part-draft.ts';
import { findPriorPart } from './prior-files.ts';
import type { ComparedFile } from './prior-parts.ts';
import type { StoredFile } from './repository.ts';

/** A file of which something is on its way. */
export type OpenFile = ComparedFile & {
  readonly entry: FileEntry;
  /** Null: its size was known from the beginning. */
  readonly grown: GrownFile | null;
  /** Null as long as nobody knows. */
  sizeBytes: number | null;
  /** From its beginning to where its pages are settled. */
  settledBytes: number;
  draft: PartDraft | null;
  /** Of a growing file: its first page may come once more. */
  firstPart: MapPart | null;
};

export function openFile(
  meta: Omit<StoredFile, 'sizeBytes'> & Pick<OpenFile, 'sizeBytes'>,
  compared: Pick<OpenFile, 'priors' | 'isTrusting'>,
): OpenFile {
  const { path, mode, sizeBytes, pageSizeBytes } = meta;
  const modified = meta.modifiedAt.getTime();
  const rest = { size: sizeBytes ?? 0, mode, modified, page: pageSizeBytes, parts: [] };
  const entry: FileEntry = { type: 'file', path, ...rest };
  const blank = { priorPart: null, grown: null, settledBytes: 0, draft: null, firstPart: null };
  return { ...blank, ...compared, entry, sizeBytes };
}

type Parts = {
  readonly maps: MapWriter;
  readonly lists: ObjectLists;
  readonly checkpoints: CheckpointWriter;
};

export class PartWriter {
  readonly #parts: Parts;
  readonly #live = new LiveBytes();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The part that a segment's pages come into. */
  draftOf(
    { file, firstPage, pageBytes }: FileSegment<OpenFile>,
    prior: PriorMapPart | null,
  ): PartDraft {
    if (!file.draft) {
      const pages = file.sizeBytes === null ? Infinity : Math.ceil(file.sizeBytes / pageBytes);
      file.draft = new PartDraft(prior, pageBytes, Math.min(partPagesMax, pages - firstPage));
    }
    return file.draft;
  }

  /** Ends the part that the file is at, if there is one. */
  end(file: OpenFile): void {
    const { draft, entry, grown } = file;
    if (!draft) return;
    file.draft = null;
    const index = entry.parts.length;
    const { unchanged } = draft;
    const part = unchanged ?? draft.build();
    const live = grown?.live ?? this.#live;
    live.add(part, entry.page, file.settledBytes - index * partPagesMax * entry.page);
    if (grown) entry.size = file.settledBytes;
    if (grown && index === 0) file.firstPart = part;
    const prior = findPriorPart(file.priors, index);
    if (unchanged && prior) entry.parts.push(this.#parts.lists.share(prior));
    else entry.parts.push(this.#store(part, entry));
  }

  /** Of a growing file that has ended. Null: the page is a hole. */
  rewriteHead({ entry, grown, firstPart }: OpenFile, page: PlacedPage | null): void {
    assert(grown && firstPart, 'there is no first page to replace');
    const part = replaceFirstPage(firstPart, entry.page, page);
    grown.live.remove(firstPart, entry.page, entry.size);
    grown.live.add(part, entry.page, entry.size);
    entry.parts[0] = this.#store(part, entry);
  }

  /** Raw bytes of each pack that the backup refers to, given the growing files that are left. */
  liveBytes(grown: Iterable<GrownFile>): LiveBytes {
    const total = new LiveBytes();
    total.addAll(this.#live);
    for (const { live } of grown) total.addAll(live);
    return total;
  }

  #store(part: MapPart, entry: FileEntry): FileEntry['parts'][number] {
    this.#parts.checkpoints.noteStored(entry);
    return this.#parts.lists.refer(this.#parts.maps.add(part), part.packs);
  }
}
