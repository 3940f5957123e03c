// Pages that a backup takes over from the previous one on trust, because the server says that they
// have not changed. Most are only referred to, without reading a byte of them. Read and written
// anew are those that lie in a pack that is to be left behind (`copy-forward.ts`), those at an end
// of a file that has moved within a page, and all of a file whose pages had another size.
import { assert } from '../model/assert.ts';
import { markPages } from './copy-forward.ts';
import { partPagesMax } from './format.ts';
import type { FileEntry, PartReference } from './manifest.ts';
import type { MapStore } from './map-store.ts';
import type { PriorFile, PriorFiles } from './prior-files.ts';
import type { FilePiece, RepositoryReader } from './repository.ts';

/** Bytes of a file, of whole pages or up to its end. */
export type Span = { readonly startBytes: number; readonly endBytes: number };
type PartSpan = Span & { readonly part: number };
type Shape = Pick<FileEntry, 'size' | 'page'>;

export type KeptRun = Span & { readonly kind: 'refer' | 'read' };

/**
 * How the pages of a span get into the new file; `again` has a 1 for each page of the part that is
 * to be stored again.
 */
export function planKept(
  { startBytes, endBytes }: Span,
  files: { readonly file: Shape; readonly prior: Shape },
  again: Uint8Array | null,
): KeptRun[] {
  const pageBytes = files.file.page;
  const runs: (KeptRun & { endBytes: number })[] = [];
  for (let at = startBytes; at < endBytes; at += pageBytes) {
    const page = { startBytes: at, endBytes: Math.min(at + pageBytes, endBytes) };
    const kind = mustRead(page, files, again) ? 'read' : 'refer';
    const last = runs.at(-1);
    if (last?.kind === kind) last.endBytes = page.endBytes;
    else runs.push({ kind, ...page });
  }
  return runs;
}

function mustRead(
  { startBytes, endBytes }: Span,
  { file, prior }: { readonly file: Shape; readonly prior: Shape },
  again: Uint8Array | null,
): boolean {
  if (startBytes >= prior.size) return false;
  if (prior.page !== file.page) return true;
  const priorEnd = Math.min(startBytes + file.page, prior.size);
  return priorEnd !== endBytes || again?.[(startBytes / file.page) % partPagesMax] === 1;
}

type Parts = {
  readonly priors: PriorFiles;
  readonly previous: RepositoryReader | null;
  readonly maps: MapStore;
  /** Packs whose pages are stored again. */
  readonly copyForward: ReadonlySet<string>;
  readonly signal: AbortSignal;
};

export type KeptInto = {
  /** The next bytes are what the previous backup has there, or zeros where it has nothing. */
  readonly refer: (sizeBytes: number) => void;
  readonly write: (bytes: Uint8Array) => undefined | Promise<void>;
};

type Kept = {
  readonly file: FileEntry;
  readonly prior: PriorFile;
  readonly reader: RepositoryReader;
};

/** As large as a page can be. */
const zeros = new Uint8Array(64 * 1024);

export class KeptPages {
  readonly #parts: Parts;
  /** Of the part that was looked at last. */
  #last: { readonly reference: PartReference; readonly again: Uint8Array | null } | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /**
   * Hands on a span of a file in order. Answers at once when nothing must be read.
   * @throws bug without a previous backup; repository-damaged naming the object
   */
  keep(file: FileEntry, span: Span, into: KeptInto): undefined | Promise<void> {
    const { priors, previous } = this.#parts;
    assert(previous, 'there is no previous backup to keep pages of');
    const prior = priors.findPrevious(file.path);
    const pieces = cutAtParts(file, span);
    const isReferred = (piece: PartSpan): boolean =>
      prior === null ||
      (this.#copiedPart(piece, file, prior) === null &&
        planKept(piece, { file, prior: prior.entry }, null).every(({ kind }) => kind === 'refer'));
    if (prior && !pieces.every(isReferred)) {
      return this.#keepPieces(pieces, { file, prior, reader: previous }, into);
    }
    into.refer(span.endBytes - span.startBytes);
    return undefined;
  }

  async #keepPieces(pieces: readonly PartSpan[], kept: Kept, into: KeptInto): Promise<void> {
    const { file, prior, reader } = kept;
    for (const piece of pieces) {
      const again = await this.#findAgain(piece, kept);
      const runs = planKept(piece, { file, prior: prior.entry }, again);
      const wanted = runs.filter(({ kind }) => kind === 'read').map((run) => cut(run, prior.entry));
      const chunks = reader.stream(wanted, this.#parts.signal);
      try {
        for (const run of runs) {
          if (run.kind === 'refer') into.refer(run.endBytes - run.startBytes);
          else await copyRun(chunks, run, prior.entry, into);
        }
      } finally {
        await chunks.return(undefined);
      }
    }
  }

  /** Where the map of the part is, when pages of it lie in a pack that is to be left behind. */
  #copiedPart({ part }: PartSpan, file: FileEntry, prior: PriorFile): PartReference | null {
    const reference = prior.entry.parts[part];
    if (!reference || prior.entry.page !== file.page) return null;
    const names = reference.packs.map((pack) => prior.header.packs[pack]?.name ?? '');
    return names.some((name) => this.#parts.copyForward.has(name)) ? reference : null;
  }

  async #findAgain(piece: PartSpan, { file, prior }: Kept): Promise<Uint8Array | null> {
    const reference = this.#copiedPart(piece, file, prior);
    if (!reference) return null;
    if (this.#last?.reference !== reference) {
      const { maps, copyForward, signal } = this.#parts;
      const read = await maps.read(prior.header, reference, signal);
      this.#last = { reference, again: markPages(read, copyForward) };
    }
    return this.#last.again;
  }
}

/** What of a run the previous backup has. */
function cut({ startBytes, endBytes }: Span, { path, size }: FileEntry): FilePiece {
  return { path, startBytes, endBytes: Math.min(endBytes, size) };
}

function cutAtParts({ page }: Shape, { startBytes, endBytes }: Span): PartSpan[] {
  const partBytes = partPagesMax * page;
  const pieces: PartSpan[] = [];
  for (let at = startBytes; at < endBytes; ) {
    const part = Math.floor(at / partBytes);
    const end = Math.min((part + 1) * partBytes, endBytes);
    pieces.push({ part, startBytes: at, endBytes: end });
    at = end;
  }
  return pieces;
}

/** Where the previous file ends within the last page, zeros follow. */
async function copyRun(
  chunks: AsyncGenerator<Uint8Array>,
  run: Span,
  prior: FileEntry,
  into: KeptInto,
): Promise<void> {
  const { startBytes, endBytes } = cut(run, prior);
  for (let left = endBytes - startBytes; left > 0; ) {
    const { value } = await chunks.next();
    assert(value, 'the previous backup has fewer bytes than its file map');
    left -= value.byteLength;
    await into.write(value);
  }
  if (run.endBytes > endBytes) await into.write(zeros.subarray(0, run.endBytes - endBytes));
}
