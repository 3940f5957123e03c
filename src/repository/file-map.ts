// A file map says where every page of one file is. It is cut into parts of at most `partPagesMax`
// pages, so that neither reading nor writing one needs memory that grows with the file, and so that
// a part in which nothing changed is shared by the next backup as it stands. A part names its packs
// itself, which makes it free of the manifest that points to it.
//
//   varint page count · varint pack count · packs (varint length, UTF-8 name) ·
//   varint extent count · extents · digests (16 bytes per page that is not a hole, in page order)
//   extent: varint pages << 1 | 0                    a run of all-zero pages
//           varint pages << 1 | 1, varint pack,      a run of pages that lie side by side in a
//             varint frame, varint offset in bytes   frame
import { CairnError } from '../model/errors.ts';
import { digestBytes, partPagesMax } from './format.ts';

export type Extent =
  | { readonly kind: 'zero'; readonly pageCount: number }
  | {
      readonly kind: 'pages';
      readonly pageCount: number;
      /** Index into the part's own `packs`. */
      readonly pack: number;
      readonly frame: number;
      readonly offsetBytes: number;
    };

export type MapPart = {
  readonly pageCount: number;
  /** Full object names. */
  readonly packs: readonly string[];
  readonly extents: readonly Extent[];
  /** One digest per page in page order; those of holes are zero bytes. */
  readonly digests: Uint8Array;
  /** 1 where the page is a hole. */
  readonly holes: Uint8Array;
};

/** Where one page lies, in terms of a part. */
export type PageLocation = {
  readonly packName: string;
  readonly frame: number;
  readonly offsetBytes: number;
};

/** Builds one part, page by page. */
export class MapPartBuilder {
  readonly #packs = new Map<string, number>();
  readonly #extents: Array<Extent & { pageCount: number }> = [];
  readonly #digests: Uint8Array;
  readonly #holes: Uint8Array;
  #pageCount = 0;

  constructor(pagesMax: number) {
    this.#digests = new Uint8Array(pagesMax * digestBytes);
    this.#holes = new Uint8Array(pagesMax);
  }

  get pageCount(): number {
    return this.#pageCount;
  }

  addHole(): void {
    const last = this.#extents.at(-1);
    if (last?.kind === 'zero') last.pageCount++;
    else this.#extents.push({ kind: 'zero', pageCount: 1 });
    this.#holes[this.#pageCount++] = 1;
  }

  /** `digests` holds the page's digest at `digestOffset`. */
  addPage(
    location: PageLocation,
    pageBytes: number,
    digests: Uint8Array,
    digestOffset: number,
  ): void {
    const pack = this.#packIndex(location.packName);
    const last = this.#extents.at(-1);
    const continues =
      last?.kind === 'pages' &&
      last.pack === pack &&
      last.frame === location.frame &&
      last.offsetBytes + last.pageCount * pageBytes === location.offsetBytes;
    if (continues) last.pageCount++;
    else {
      const { frame, offsetBytes } = location;
      this.#extents.push({ kind: 'pages', pageCount: 1, pack, frame, offsetBytes });
    }
    const digest = digests.subarray(digestOffset, digestOffset + digestBytes);
    this.#digests.set(digest, this.#pageCount++ * digestBytes);
  }

  build(): MapPart {
    return {
      pageCount: this.#pageCount,
      packs: [...this.#packs.keys()],
      extents: this.#extents,
      digests: this.#digests.subarray(0, this.#pageCount * digestBytes),
      holes: this.#holes.subarray(0, this.#pageCount),
    };
  }

  #packIndex(name: string): number {
    const known = this.#packs.get(name);
    if (known !== undefined) return known;
    this.#packs.set(name, this.#packs.size);
    return this.#packs.size - 1;
  }
}

/** Walks a part's pages in order: where each lies, or null for a hole. */
export function* locatePages(part: MapPart, pageBytes: number): Generator<PageLocation | null> {
  for (const extent of part.extents) {
    for (let i = 0; i < extent.pageCount; i++) {
      yield extent.kind === 'zero'
        ? null
        : {
            packName: part.packs[extent.pack] ?? '',
            frame: extent.frame,
            offsetBytes: extent.offsetBytes + i * pageBytes,
          };
    }
  }
}

export function encodeMapPart(part: MapPart): Buffer {
  const numbers: number[] = [];
  putVarint(numbers, part.pageCount);
  putVarint(numbers, part.packs.length);
  for (const name of part.packs) {
    const bytes = Buffer.from(name);
    putVarint(numbers, bytes.byteLength);
    for (const byte of bytes) numbers.push(byte);
  }
  putVarint(numbers, part.extents.length);
  for (const extent of part.extents) {
    putVarint(numbers, extent.pageCount * 2 + (extent.kind === 'pages' ? 1 : 0));
    if (extent.kind === 'zero') continue;
    putVarint(numbers, extent.pack);
    putVarint(numbers, extent.frame);
    putVarint(numbers, extent.offsetBytes);
  }
  const head = Buffer.from(numbers);
  const bytes = Buffer.allocUnsafe(head.byteLength + part.pageCount * digestBytes);
  let at = head.copy(bytes);
  for (let page = 0; page < part.pageCount; page++) {
    if (part.holes[page]) continue;
    bytes.set(part.digests.subarray(page * digestBytes, (page + 1) * digestBytes), at);
    at += digestBytes;
  }
  return bytes.subarray(0, at);
}

/** @throws repository-damaged; `name` says of which object, for the message */
export function decodeMapPart(bytes: Uint8Array, name: string): MapPart {
  const reader = new VarintReader(bytes, name);
  const pageCount = reader.next(partPagesMax);
  const packCount = reader.next(partPagesMax);
  const packs = Array.from({ length: packCount }, () => reader.text());
  const extentCount = reader.next(partPagesMax);
  const extents = Array.from({ length: extentCount }, () => readExtent(reader, packCount));
  const digests = new Uint8Array(pageCount * digestBytes);
  const holes = new Uint8Array(pageCount);
  let page = 0;
  for (const extent of extents) {
    if (page + extent.pageCount > pageCount) throw reader.broken();
    if (extent.kind === 'zero') holes.fill(1, page, page + extent.pageCount);
    else digests.set(reader.bytes(extent.pageCount * digestBytes), page * digestBytes);
    page += extent.pageCount;
  }
  if (page !== pageCount || !reader.atEnd()) throw reader.broken();
  return { pageCount, packs, extents, digests, holes };
}

function readExtent(reader: VarintReader, packCount: number): Extent {
  const head = reader.next(partPagesMax * 2 + 1);
  const pageCount = head >> 1;
  if (pageCount === 0) throw reader.broken();
  if ((head & 1) === 0) return { kind: 'zero', pageCount };
  const pack = reader.next(packCount - 1);
  return {
    kind: 'pages',
    pageCount,
    pack,
    frame: reader.next(2 ** 32),
    offsetBytes: reader.next(2 ** 32),
  };
}

function putVarint(into: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    into.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  into.push(rest);
}

/** LEB128 without sign. */
class VarintReader {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #at = 0;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  next(max: number): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw this.broken();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > max) throw this.broken();
        return value;
      }
    }
    throw this.broken();
  }

  bytes(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.byteLength) throw this.broken();
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  text(): string {
    return Buffer.from(this.bytes(this.next(512))).toString('utf8');
  }

  atEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  broken(): CairnError {
    return new CairnError('repository-damaged', `object ${this.#name} holds a broken file map`);
  }
}
