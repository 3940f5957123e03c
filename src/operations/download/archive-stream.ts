// A layout becomes a tar stream that can be entered anywhere: where each entry begins follows from
// the lengths before it, so a span of the stream reads nothing but what lies in it.
import type { ArchiveEntry, ArchiveLayout } from '../../engines/engine.ts';
import type { Span } from '../../platform/raw-zstd.ts';
import type { TarEntry } from '../../platform/tar-header.ts';
import {
  encodeTarHeader,
  tarEndBytes,
  tarHeaderLength,
  tarPaddingLength,
} from '../../platform/tar-header.ts';
import type { FilePiece } from '../../repository/repository.ts';

export type Archive = {
  readonly layout: ArchiveLayout;
  /** Of entries that are no files of the backup. */
  readonly madeAt: Date;
  /** Where each entry begins. */
  readonly starts: Float64Array;
  /** Of the whole tar stream. */
  readonly sizeBytes: number;
};

/** One entry: its head, and where its bytes come from. */
type TarSource = {
  readonly head: TarEntry;
  readonly body: { readonly file: string } | { readonly text: Buffer } | null;
};

export function planArchiveStream(layout: ArchiveLayout, madeAt: Date): Archive {
  const starts = new Float64Array(layout.entries.length);
  let at = 0;
  layout.entries.forEach((entry, index) => {
    // Made again when it is read: a million of them would be kept for nothing.
    const { head } = toTarSource(entry, layout.owner, madeAt);
    starts[index] = at;
    at += tarHeaderLength(head) + head.sizeBytes + tarPaddingLength(head.sizeBytes);
  });
  return { layout, madeAt, starts, sizeBytes: at + tarEndBytes };
}

/** Bytes of the stream that are known, or a piece of a file that is to be fetched. */
type Segment = { readonly bytes: Uint8Array } | { readonly piece: FilePiece };

/**
 * A span of the stream, chunk by chunk. `readPieces` is asked once and gives the bytes of the
 * pieces one after another; its chunks are passed on as they are.
 */
export async function* readArchive(
  archive: Archive,
  span: Span,
  readPieces: (pieces: Iterable<FilePiece>) => AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  await using content = readPieces(piecesOf(archive, span));
  for (const segment of segmentsOf(archive, span)) {
    if ('bytes' in segment) yield segment.bytes;
    else {
      const { startBytes, endBytes } = segment.piece;
      for (let left = endBytes - startBytes; left > 0; ) {
        const next = await content.next();
        if (next.done) throw new RangeError(`${segment.piece.path} ended too early`);
        left -= next.value.byteLength;
        yield next.value;
      }
    }
  }
}

function* piecesOf(archive: Archive, span: Span): Generator<FilePiece> {
  for (const segment of segmentsOf(archive, span)) if ('piece' in segment) yield segment.piece;
}

function* segmentsOf(archive: Archive, span: Span): Generator<Segment> {
  const { layout, madeAt, starts, sizeBytes } = archive;
  const endAt = sizeBytes - tarEndBytes;
  for (let index = findEntry(starts, span.startBytes); index < starts.length; index++) {
    const at = starts[index] ?? endAt;
    if (at >= span.endBytes) return;
    const entry = layout.entries[index];
    if (entry) yield* segmentsOfEntry(toTarSource(entry, layout.owner, madeAt), at, span);
  }
  const end = clip(span, endAt, tarEndBytes);
  if (end) yield { bytes: new Uint8Array(end.to - end.from) };
}

function* segmentsOfEntry({ head, body }: TarSource, at: number, span: Span): Generator<Segment> {
  const { sizeBytes } = head;
  const headBytes = tarHeaderLength(head);
  const inHead = clip(span, at, headBytes);
  if (inHead) yield { bytes: encodeTarHeader(head).subarray(inHead.from, inHead.to) };
  const inBody = clip(span, at + headBytes, sizeBytes);
  if (inBody && body && 'text' in body) yield { bytes: body.text.subarray(inBody.from, inBody.to) };
  if (inBody && body && 'file' in body) {
    yield { piece: { path: body.file, startBytes: inBody.from, endBytes: inBody.to } };
  }
  const padding = clip(span, at + headBytes + sizeBytes, tarPaddingLength(sizeBytes));
  if (padding) yield { bytes: new Uint8Array(padding.to - padding.from) };
}

/** What of the `length` bytes at `at` lies in the span, counted from `at`; null for nothing. */
function clip(span: Span, at: number, length: number): { from: number; to: number } | null {
  const from = Math.max(0, span.startBytes - at);
  const to = Math.min(length, span.endBytes - at);
  return from < to ? { from, to } : null;
}

/** The last entry that begins at or before the place. */
function findEntry(starts: Float64Array, place: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= place) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

function toTarSource(entry: ArchiveEntry, owner: string, madeAt: Date): TarSource {
  const { path } = entry;
  const base = { path, owner, modifiedAt: madeAt, sizeBytes: 0, target: '' };
  switch (entry.kind) {
    case 'directory':
      return { head: { ...base, type: 'directory', mode: entry.mode }, body: null };
    case 'symlink':
      return { head: { ...base, type: 'symlink', mode: 0o777, target: entry.target }, body: null };
    case 'text': {
      const text = Buffer.from(entry.content);
      const sizeBytes = text.byteLength;
      return { head: { ...base, type: 'file', mode: entry.mode, sizeBytes }, body: { text } };
    }
    case 'file': {
      const { mode, modifiedAt, sizeBytes } = entry.source;
      // Nobody unpacks programs that run as another user.
      const head = { ...base, type: 'file', mode: mode & 0o777, modifiedAt, sizeBytes } as const;
      return { head, body: { file: entry.source.path } };
    }
  }
}
