// Keeps old packs from lingering. A pack stays as long as one page in it is needed; so a new backup
// does not refer to packs of which little is needed any more, but stores those pages again. When
// the backups that use such a pack are deleted, it goes with them. No pack is ever rewritten.
import { MiB } from '../model/units.ts';
import type { MapPart } from './file-map.ts';
import type { ObjectReference } from './object-presence.ts';

export type CopyForwardLimits = {
  /** A pack is copied forward when less of its raw bytes than this share is needed. */
  readonly liveShareMin: number;
  /**
   * One backup copies at most this share of its bytes, so that none is suddenly twice as large…
   */
  readonly logicalShareMax: number;
  /** …or so many bytes, when that is more: packs of small databases must be able to go too. */
  readonly bytesMin: number;
};

export const copyForwardLimits: CopyForwardLimits = {
  liveShareMin: 0.4,
  logicalShareMax: 0.1,
  bytesMin: 64 * MiB,
};

/**
 * Names of the packs whose pages are to be stored again. Where the limit leaves a choice, those go
 * first of which the least is live: they give back most for each byte copied. Packs of unknown
 * content stay.
 */
export function planCopyForward(
  previous: { readonly packs: readonly ObjectReference[]; readonly logicalBytes: number },
  limits: CopyForwardLimits,
): ReadonlySet<string> {
  const sparse: { name: string; liveBytes: number; share: number }[] = [];
  for (const { name, raw = 0, live } of previous.packs) {
    if (live === undefined || raw === 0 || live / raw >= limits.liveShareMin) continue;
    sparse.push({ name, liveBytes: live, share: live / raw });
  }
  sparse.sort((a, b) => a.share - b.share);
  let leftBytes = Math.max(limits.bytesMin, previous.logicalBytes * limits.logicalShareMax);
  const chosen = new Set<string>();
  for (const { name, liveBytes } of sparse) {
    if (liveBytes > leftBytes) continue;
    leftBytes -= liveBytes;
    chosen.add(name);
  }
  return chosen;
}

/** 1 for each page of the part that lies in one of the packs; null when there is none. */
export function markPages(part: MapPart, packs: ReadonlySet<string>): Uint8Array | null {
  if (!part.packs.some((name) => packs.has(name))) return null;
  const marks = new Uint8Array(part.pageCount);
  let page = 0;
  for (const extent of part.extents) {
    const isMarked = extent.kind === 'pages' && packs.has(part.packs[extent.pack] ?? '');
    if (isMarked) marks.fill(1, page, page + extent.pageCount);
    page += extent.pageCount;
  }
  return marks;
}

/** Counts how many raw bytes of each pack a backup refers to. */
export class LiveBytes {
  readonly #byPack = new Map<string, number>();

  /** `leftBytes`: of the file, from the part's first page on. */
  add(part: MapPart, pageBytes: number, leftBytes: number): void {
    for (const { name, bytes } of spansOf(part, pageBytes, leftBytes)) this.#count(name, bytes);
  }

  /** What was added with the same arguments counts no more. */
  remove(part: MapPart, pageBytes: number, leftBytes: number): void {
    for (const { name, bytes } of spansOf(part, pageBytes, leftBytes)) this.#count(name, -bytes);
  }

  addAll(other: LiveBytes): void {
    for (const [name, bytes] of other.#byPack) this.#count(name, bytes);
  }

  of(packName: string): number {
    return this.#byPack.get(packName) ?? 0;
  }

  #count(packName: string, bytes: number): void {
    this.#byPack.set(packName, (this.#byPack.get(packName) ?? 0) + bytes);
  }
}

function* spansOf(
  part: MapPart,
  pageBytes: number,
  leftBytes: number,
): Generator<{ readonly name: string; readonly bytes: number }> {
  let at = 0;
  for (const extent of part.extents) {
    const end = Math.min(at + extent.pageCount * pageBytes, leftBytes);
    if (extent.kind === 'pages') yield { name: part.packs[extent.pack] ?? '', bytes: end - at };
    at = end;
  }
}
