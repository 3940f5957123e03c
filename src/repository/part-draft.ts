// One part of a file map while its pages come in. When nothing in it changed, the previous backup's
// part is shared as it stands; otherwise a new part mixes references to old pages with the places
// of fresh ones.
import { assert } from '../model/assert.ts';
import type { MapPart, PageLocation } from './file-map.ts';
import { locatePages, MapPartBuilder } from './file-map.ts';
import { digestBytes } from './format.ts';
import { pageFates, priors } from './pages.ts';

/** What was stored before in the place of a part. */
export type PriorMapPart = MapPart & {
  /** 1 for each page that is stored again even when it is equal. */
  readonly again: Uint8Array | null;
};

export class PartDraft {
  readonly #prior: MapPart | null;
  readonly #pageBytes: number;
  readonly #fates: Uint8Array;
  readonly #digests: Uint8Array;
  readonly #places: PageLocation[] = [];
  #pageCount = 0;
  #changed = false;

  /** `pagesMax`: as many pages as will come. */
  constructor(prior: MapPart | null, pageBytes: number, pagesMax: number) {
    this.#prior = prior;
    this.#pageBytes = pageBytes;
    this.#fates = new Uint8Array(pagesMax);
    this.#digests = new Uint8Array(pagesMax * digestBytes);
  }

  get pageCount(): number {
    return this.#pageCount;
  }

  addHole(): void {
    this.#changed ||= this.#prior?.holes[this.#pageCount] !== 1;
    this.#fates[this.#pageCount++] = pageFates.hole;
  }

  addSame(): void {
    this.#fates[this.#pageCount++] = pageFates.same;
  }

  /** Pages of the previous part, unseen; a hole where it has none. */
  keep(pageCount: number): void {
    for (let i = 0; i < pageCount; i++) {
      const page = this.#pageCount;
      const isPage = this.#prior && page < this.#prior.pageCount && this.#prior.holes[page] !== 1;
      if (isPage) this.addSame();
      else this.addHole();
    }
  }

  addFresh(place: PageLocation, digests: Uint8Array, digestOffset: number): void {
    const digest = digests.subarray(digestOffset, digestOffset + digestBytes);
    this.#digests.set(digest, this.#pageCount * digestBytes);
    this.#places.push(place);
    this.#changed = true;
    this.#fates[this.#pageCount++] = pageFates.fresh;
  }

  /** The previous part, when it says all there is to say. */
  get unchanged(): MapPart | null {
    const isSame = !this.#changed && this.#prior?.pageCount === this.#pageCount;
    return isSame ? this.#prior : null;
  }

  build(): MapPart {
    const builder = new MapPartBuilder(this.#pageCount);
    const old = this.#prior ? locatePages(this.#prior, this.#pageBytes) : null;
    let fresh = 0;
    for (let page = 0; page < this.#pageCount; page++) {
      const place = old?.next().value ?? null;
      const fate = this.#fates[page];
      if (fate === pageFates.hole) builder.addHole();
      else if (fate === pageFates.same) {
        assert(place && this.#prior, 'a page is the same as none');
        builder.addPage(place, this.#pageBytes, this.#prior.digests, page * digestBytes);
      } else {
        const freshPlace = this.#places[fresh++];
        assert(freshPlace, 'a fresh page has no place');
        builder.addPage(freshPlace, this.#pageBytes, this.#digests, page * digestBytes);
      }
    }
    return builder.build();
  }
}

/** Where a page lies, and its digest among others. */
export type PlacedPage = {
  readonly place: PageLocation;
  readonly digests: Uint8Array;
  readonly digestOffset: number;
};

/** The same part with another first page; null: a hole. */
export function replaceFirstPage(
  part: MapPart,
  pageBytes: number,
  first: PlacedPage | null,
): MapPart {
  const builder = new MapPartBuilder(part.pageCount);
  for (const old of locatePages(part, pageBytes)) {
    const page = builder.pageCount;
    if (page === 0 && first) {
      builder.addPage(first.place, pageBytes, first.digests, first.digestOffset);
    } else if (page === 0 || !old) builder.addHole();
    else builder.addPage(old, pageBytes, part.digests, page * digestBytes);
  }
  return builder.build();
}

/** Fills in what a previous part has at the given pages, for the comparison in a thread. */
export function notePriors(
  prior: PriorMapPart | null,
  pages: { readonly first: number; readonly count: number },
  into: { readonly priors: Uint8Array; readonly digests: Uint8Array; readonly at: number },
): void {
  if (!prior) return;
  const count = Math.min(pages.count, prior.pageCount - pages.first);
  if (count <= 0) return;
  const from = pages.first * digestBytes;
  into.digests.set(prior.digests.subarray(from, from + count * digestBytes), into.at * digestBytes);
  for (let i = 0; i < count; i++) {
    const page = pages.first + i;
    if (prior.again?.[page] === 1) continue;
    into.priors[into.at + i] = prior.holes[page] === 1 ? priors.hole : priors.page;
  }
}
