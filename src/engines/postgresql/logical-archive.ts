// Reads along while pg_dump writes an archive of its custom format, uncompressed, to a pipe (format
// 1.14 to 1.16, of pg_dump 14 to 18; PostgreSQL source, `pg_backup_archiver.c`: ReadHead, ReadToc;
// `pg_backup_custom.c`: _PrintTocData, _LoadLOs). Nothing is changed: it says where the data of a
// table begin, how many rows went by, and whether the archive is whole.
//
//   "PGDMP" version sizes … │ table of contents │ block │ block │ …   block: kind, entry, chunks
//
// Rows are counted as lines of COPY's text format, where a line break inside a value is escaped.
import { CairnError } from '../../model/errors.ts';

/** Data that the archive holds behind its table of contents. */
export type DumpedData =
  | { readonly kind: 'table'; readonly schema: string; readonly name: string; rows: number }
  | { readonly kind: 'large-objects'; objects: number };

/** A stretch of the archive. Many may follow each other that belong to the same data. */
export type DumpSegment = {
  readonly bytes: Uint8Array;
  /** Whose data begin here; null: it goes on as before. */
  readonly begins: DumpedData | null;
};

type Entry = { readonly data: DumpedData; isRead: boolean };
/** Asks for more bytes at each `yield`. */
type Reading<T> = Generator<undefined, T, undefined>;

const textBytesMax = 512 * 1024 * 1024;
const blockKinds = { table: 1, largeObjects: 3 } as const;
const newline = 0x0a;
/** Of `\.` and the two empty lines that pg_dump ends the rows with. */
const endMarker = Buffer.from('\\.\n\n\n');
const endMarkerLines = 3;

export class DumpReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** The head of a block that has not come as a whole. */
  #carry: Uint8Array = new Uint8Array(0);
  #segments: DumpSegment[] = [];
  #segmentAt = 0;
  #begins: DumpedData | null = null;
  #intBytes = 4;
  #isBetweenBlocks = false;
  readonly #entries = new Map<number, Entry>();
  readonly #owners = new Set<string>();
  readonly #feed: Reading<never>;

  constructor() {
    this.#feed = this.#read();
    this.#feed.next();
  }

  /** Roles that own something in the dump; complete once the first data have begun. */
  get owners(): readonly string[] {
    return [...this.#owners].sort();
  }

  /** All that was pushed comes out again, some of it with the next call. @throws engine-refused */
  push(bytes: Uint8Array): readonly DumpSegment[] {
    this.#bytes = this.#carry.byteLength === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    this.#at = 0;
    this.#segmentAt = 0;
    this.#segments = [];
    this.#feed.next();
    this.#cut(null);
    this.#carry = Uint8Array.from(this.#bytes.subarray(this.#at));
    return this.#segments;
  }

  /** What the archive held, in its order. @throws engine-refused when it is not whole */
  end(): readonly DumpedData[] {
    if (!this.#isBetweenBlocks || this.#carry.byteLength > 0) throw malformed('it ends midway');
    const entries = [...this.#entries.values()];
    const missing = entries.find(({ isRead }) => !isRead);
    if (missing) throw malformed(`it ends without the data of ${describe(missing.data)}`);
    return entries.map(({ data }) => data);
  }

  /** Ends the segment before the place that was read up to. */
  #cut(begins: DumpedData | null): void {
    const bytes = this.#bytes.subarray(this.#segmentAt, this.#at);
    if (bytes.byteLength > 0) this.#segments.push({ bytes, begins: this.#begins });
    if (bytes.byteLength > 0 || begins) this.#begins = begins;
    this.#segmentAt = this.#at;
  }

  *#read(): Reading<never> {
    yield;
    yield* this.#readHead();
    for (;;) {
      this.#isBetweenBlocks = true;
      while (this.#bytes.byteLength - this.#at < 2 + this.#intBytes) yield;
      this.#isBetweenBlocks = false;
      yield* this.#readBlock();
    }
  }

  *#readBlock(): Reading<void> {
    const beginsAt = this.#at;
    const kind = yield* this.#byte();
    const entry = this.#entries.get(yield* this.#int());
    if (!entry || entry.isRead) throw malformed('a block belongs to no entry');
    const { data } = entry;
    this.#at = beginsAt;
    this.#cut(data);
    this.#at = beginsAt + 2 + this.#intBytes;
    if (data.kind === 'table' && kind === blockKinds.table) {
      data.rows = yield* this.#countRows(data);
    } else if (data.kind === 'large-objects' && kind === blockKinds.largeObjects) {
      for (; (yield* this.#int()) !== 0; data.objects++) yield* this.#readChunks(() => undefined);
    } else throw malformed(`a block of kind ${kind} holds ${describe(data)}`);
    entry.isRead = true;
  }

  *#countRows(data: DumpedData): Reading<number> {
    let lines = 0;
    let tail: Uint8Array = new Uint8Array(0);
    yield* this.#readChunks((bytes) => {
      for (let at = bytes.indexOf(newline); at >= 0; at = bytes.indexOf(newline, at + 1)) lines++;
      // Most rows are a chunk each: nothing is copied for them.
      const whole = bytes.byteLength < endMarker.length ? Buffer.concat([tail, bytes]) : bytes;
      tail = whole.subarray(-endMarker.length);
    });
    if (endMarker.equals(tail)) return lines - endMarkerLines;
    throw malformed(`the rows of ${describe(data)} do not end as COPY ends`);
  }

  *#readChunks(take: (bytes: Uint8Array) => void): Reading<void> {
    for (let left = yield* this.#int(); left !== 0; left = yield* this.#int()) {
      if (left < 0) throw malformed('a chunk has a negative length');
      while (left > 0) {
        if (this.#at === this.#bytes.byteLength) yield;
        const bytes = this.#bytes.subarray(this.#at, this.#at + left);
        take(bytes);
        this.#at += bytes.byteLength;
        left -= bytes.byteLength;
      }
    }
  }

  *#readHead(): Reading<void> {
    const magic = yield* this.#raw(5);
    const major = yield* this.#byte();
    const minor = yield* this.#byte();
    yield* this.#byte();
    if (magic.toString('latin1') !== 'PGDMP' || major !== 1 || minor < 14) {
      throw malformed('it does not begin as an archive of a known version');
    }
    this.#intBytes = yield* this.#byte();
    const offsetBytes = yield* this.#byte();
    const format = yield* this.#byte();
    const compression = minor >= 15 ? yield* this.#byte() : yield* this.#int();
    if (format !== 1 || compression !== 0) throw malformed('it is not plain custom format');
    // When it was made: seconds to years, and daylight saving.
    for (let field = 0; field < 7; field++) yield* this.#int();
    // Database, version of the server, version of pg_dump.
    for (let field = 0; field < 3; field++) yield* this.#text();
    const count = yield* this.#int();
    for (let index = 0; index < count; index++) yield* this.#readEntry(minor, offsetBytes);
  }

  *#readEntry(minor: number, offsetBytes: number): Reading<void> {
    const id = yield* this.#int();
    const hasData = (yield* this.#int()) !== 0;
    yield* this.#text(); // The OIDs of its catalogue and itself.
    yield* this.#text();
    const tag = yield* this.#text();
    const kind = yield* this.#text();
    yield* this.#int(); // Its section.
    for (let field = 0; field < 3; field++) yield* this.#text(); // To make, drop and fill it.
    const schema = yield* this.#text();
    yield* this.#text(); // Tablespace and access method.
    yield* this.#text();
    if (minor >= 16) yield* this.#int(); // The kind of relation.
    const owner = yield* this.#text();
    yield* this.#text(); // Always `false`.
    while ((yield* this.#text()) !== null);
    yield* this.#raw(1 + offsetBytes); // Where its data lie: a pipe cannot tell.
    if (owner) this.#owners.add(owner);
    if (hasData) this.#entries.set(id, { data: toData(kind ?? '', schema, tag), isRead: false });
  }

  /** A sign, then the value, the least byte first. */
  *#int(): Reading<number> {
    const length = 1 + this.#intBytes;
    const bytes =
      this.#bytes.byteLength - this.#at >= length ? this.#take(length) : yield* this.#raw(length);
    let value = 0;
    for (let place = this.#intBytes; place >= 1; place--) value = value * 256 + (bytes[place] ?? 0);
    return bytes[0] === 0 ? value : -value;
  }

  *#text(): Reading<string | null> {
    const length = yield* this.#int();
    if (length < 0) return null;
    if (length > textBytesMax) throw malformed(`it has a text of ${length} bytes`);
    return (yield* this.#raw(length)).toString('utf8');
  }

  *#byte(): Reading<number> {
    while (this.#at === this.#bytes.byteLength) yield;
    return this.#take(1)[0] ?? 0;
  }

  *#raw(length: number): Reading<Buffer> {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      if (this.#at === this.#bytes.byteLength) yield;
      const part = Uint8Array.from(this.#take(Math.min(left, this.#bytes.byteLength - this.#at)));
      parts.push(part);
      left -= part.byteLength;
    }
    return Buffer.concat(parts);
  }

  #take(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

function toData(kind: string, schema: string | null, tag: string | null): DumpedData {
  if (kind === 'TABLE DATA') {
    return { kind: 'table', schema: schema ?? '', name: tag ?? '', rows: 0 };
  }
  if (kind === 'BLOBS') return { kind: 'large-objects', objects: 0 };
  throw malformed(`it has data of the unknown kind ${kind}`);
}

function describe(data: DumpedData): string {
  return data.kind === 'table' ? `table ${data.schema}.${data.name}` : 'large objects';
}

function malformed(what: string): CairnError {
  return new CairnError('engine-refused', `pg_dump wrote an archive that is not whole: ${what}`, {
    hint: 'look into the log of the worker and of the server, and take the backup again',
  });
}
