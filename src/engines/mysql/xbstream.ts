// Reads the stream that mariadb-backup and XtraBackup write, piece by piece. It is a row of chunks
// without header or trailer, each of one file; chunks of several files may alternate. Nothing in it
// says that it has ended: a stream that was cut between two chunks looks whole. Numbers are
// little-endian:
//
//   8 bytes `XBSTCK01`, 1 byte flags, 1 byte type, u32 length and text of the path, then by type
//   P payload   u64 length, u64 offset in the file, u32 CRC-32, the bytes
//   E end of the file
//   MariaDB:  R rename: u32 length and text of the new path · D remove · S seek: u64 offset
//   Percona:  S sparse payload: u32 count of the map, u64 length, u64 offset, u32 CRC-32 of map and
//             bytes, the map (u32 bytes left out, u32 bytes that come), the bytes
//
// Flag 1 allows a reader to ignore a type that it does not know, which nobody can, for what follows
// is not known either. Flag 2 (MariaDB) begins the file anew. Facts from the sources of both
// programs; a test has MariaDB's own reader beside this one.
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';

export type XbstreamDialect = 'mariadb' | 'percona';

export type PayloadPlace = {
  readonly offsetBytes: number;
  /** The file is begun anew, unless it is open: every chunk of a rewritten file says so. */
  readonly isRewrite: boolean;
};

/** Gets the chunks in the order of the stream. Paths are relative and stay in their folder. */
export interface XbstreamHandler {
  /** What `write` gets from here on belongs there, in order. */
  payload(path: string, place: PayloadPlace): void;
  /** Never empty; a view that is overwritten later. A promise stops the reader. */
  write(bytes: Uint8Array): undefined | Promise<void>;
  end(path: string, how: Pick<PayloadPlace, 'isRewrite'>): void;
  rename(path: string, newPath: string): void;
  remove(path: string): void;
  seek(path: string, offsetBytes: number): void;
}

/** So many zeros, then so many bytes that come. */
type Span = { readonly zeroBytes: number; readonly bytes: number };

type ChunkHead =
  | ({ readonly kind: 'payload'; readonly path: string } & PayloadPlace & {
        readonly spans: readonly Span[];
        readonly crc: number;
        /** Of what comes before the bytes and counts. */
        readonly crcBefore: number;
      })
  | { readonly kind: 'end'; readonly path: string; readonly isRewrite: boolean }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'rename'; readonly path: string; readonly newPath: string }
  | { readonly kind: 'seek'; readonly path: string; readonly offsetBytes: number };

const magic = Buffer.from('XBSTCK01');
const leadBytes = magic.length + 1 + 1 + 4;
const payloadHeadBytes = 8 + 8 + 4;
const sparseHeadBytes = 4 + payloadHeadBytes;
const spanBytes = 4 + 4;
const flagBits = { ignorable: 1, rewrite: 2 } as const;
/** `FN_REFLEN` of both servers, which counts a zero at the end. */
const pathBytesMax = 511;
/** One for each page of a payload; the writers end one at 10 MiB. */
const spansMax = 65_536;
const zeros = Buffer.alloc(64 * 1024);

export class XbstreamReader {
  readonly #handler: XbstreamHandler;
  readonly #dialect: XbstreamDialect;
  #head = Buffer.alloc(2 * (leadBytes + pathBytesMax));
  #headFilled = 0;
  #headNeeded = leadBytes;
  /** The payload that is being read: what is left of it. */
  #spans: readonly Span[] = [];
  #spanIndex = 0;
  #bytesLeft = 0;
  #crc = { expected: 0, actual: 0, path: '' };

  constructor(dialect: XbstreamDialect, handler: XbstreamHandler) {
    this.#dialect = dialect;
    this.#handler = handler;
  }

  /** Call again only after the promise has resolved. @throws engine-refused */
  async push(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#bytesLeft > 0) {
        const piece = bytes.subarray(at, at + this.#bytesLeft);
        at += piece.length;
        await this.#takePayload(piece);
      } else {
        const piece = bytes.subarray(at, at + this.#headNeeded - this.#headFilled);
        at += piece.length;
        await this.#takeHead(piece);
      }
    }
  }

  /** @throws engine-refused when the stream stops within a chunk */
  end(): void {
    if (this.#headFilled > 0 || this.#bytesLeft > 0) throw unreadable('it is cut off');
  }

  async #takeHead(piece: Buffer): Promise<void> {
    if (this.#headNeeded > this.#head.length) {
      const larger = Buffer.alloc(this.#headNeeded);
      this.#head.copy(larger, 0, 0, this.#headFilled);
      this.#head = larger;
    }
    piece.copy(this.#head, this.#headFilled);
    this.#headFilled += piece.length;
    if (this.#headFilled < this.#headNeeded) return;
    const head = readHead(this.#head.subarray(0, this.#headFilled), this.#dialect);
    if (typeof head === 'number') {
      this.#headNeeded = head;
      return;
    }
    this.#headFilled = 0;
    this.#headNeeded = leadBytes;
    await this.#begin(head);
  }

  async #begin(head: ChunkHead): Promise<void> {
    switch (head.kind) {
      case 'payload': {
        const { path, offsetBytes, isRewrite, spans, crc, crcBefore } = head;
        this.#crc = { expected: crc, actual: crcBefore, path };
        this.#spans = spans;
        this.#spanIndex = 0;
        this.#handler.payload(path, { offsetBytes, isRewrite });
        return await this.#nextSpan();
      }
      case 'end':
        return this.#handler.end(head.path, head);
      case 'remove':
        return this.#handler.remove(head.path);
      case 'rename':
        return this.#handler.rename(head.path, head.newPath);
      case 'seek':
        return this.#handler.seek(head.path, head.offsetBytes);
    }
  }

  async #takePayload(piece: Buffer): Promise<void> {
    this.#crc.actual = crc32(piece, this.#crc.actual);
    this.#bytesLeft -= piece.length;
    const wait = this.#handler.write(piece);
    if (wait) await wait;
    if (this.#bytesLeft === 0) await this.#nextSpan();
  }

  /** Goes on to the next bytes that come, or to the end of the payload. */
  async #nextSpan(): Promise<void> {
    for (let span = this.#spans[this.#spanIndex]; span; span = this.#spans[this.#spanIndex]) {
      this.#spanIndex++;
      for (let left = span.zeroBytes; left > 0; left -= zeros.length) {
        await this.#handler.write(zeros.subarray(0, left));
      }
      this.#bytesLeft = span.bytes;
      if (span.bytes > 0) return;
    }
    const { expected, actual, path } = this.#crc;
    if (expected !== actual) throw unreadable(`the checksum of a part of ${path} is wrong`);
  }
}

/** The head of a chunk, or how long what holds it has to be. @throws engine-refused */
function readHead(bytes: Buffer, dialect: XbstreamDialect): ChunkHead | number {
  if (!bytes.subarray(0, magic.length).equals(magic)) throw unreadable('a chunk has no mark');
  const flags = bytes.readUInt8(magic.length);
  const type = String.fromCharCode(bytes.readUInt8(magic.length + 1));
  const pathBytes = checkPathLength(bytes.readUInt32LE(magic.length + 2));
  const bodyAt = leadBytes + pathBytes;
  if (bytes.length < bodyAt) return bodyAt;
  const path = readPath(bytes.subarray(leadBytes, bodyAt));
  const flagsKnown = dialect === 'mariadb' && (type === 'P' || type === 'E') ? flagBits.rewrite : 0;
  if ((flags & ~flagBits.ignorable & ~flagsKnown) !== 0) {
    throw unreadable(`a chunk of ${path} of type ${JSON.stringify(type)} has the flags ${flags}`);
  }
  const isRewrite = (flags & flagBits.rewrite) !== 0;
  const chunk = { bytes, bodyAt, path };
  switch (`${dialect} ${type}`) {
    case 'mariadb P':
    case 'percona P':
      return readPayload(chunk, isRewrite);
    case 'mariadb E':
    case 'percona E':
      return { kind: 'end', path, isRewrite };
    case 'mariadb D':
      return { kind: 'remove', path };
    case 'mariadb R':
      return readRename(chunk);
    case 'mariadb S':
      if (bytes.length < bodyAt + 8) return bodyAt + 8;
      return { kind: 'seek', path, offsetBytes: readSize(bytes, bodyAt) };
    case 'percona S':
      return readSparse(chunk);
    default:
      throw unreadable(`a chunk of ${path} is of type ${JSON.stringify(type)}`);
  }
}

type Chunk = { readonly bytes: Buffer; readonly bodyAt: number; readonly path: string };

function readPayload({ bytes, bodyAt, path }: Chunk, isRewrite: boolean): ChunkHead | number {
  if (bytes.length < bodyAt + payloadHeadBytes) return bodyAt + payloadHeadBytes;
  return {
    kind: 'payload',
    ...{ path, isRewrite },
    offsetBytes: readSize(bytes, bodyAt + 8),
    spans: [{ zeroBytes: 0, bytes: readSize(bytes, bodyAt) }],
    crc: bytes.readUInt32LE(bodyAt + 16),
    crcBefore: 0,
  };
}

function readSparse({ bytes, bodyAt, path }: Chunk): ChunkHead | number {
  if (bytes.length < bodyAt + sparseHeadBytes) return bodyAt + sparseHeadBytes;
  const count = bytes.readUInt32LE(bodyAt);
  if (count > spansMax) throw unreadable(`a chunk of ${path} has ${count} holes`);
  const mapAt = bodyAt + sparseHeadBytes;
  const end = mapAt + count * spanBytes;
  if (bytes.length < end) return end;
  const spans = Array.from({ length: count }, (_, index): Span => {
    const at = mapAt + index * spanBytes;
    return { zeroBytes: bytes.readUInt32LE(at), bytes: bytes.readUInt32LE(at + 4) };
  });
  const sum = spans.reduce((total, span) => total + span.bytes, 0);
  const sizeBytes = readSize(bytes, bodyAt + 4);
  if (sum !== sizeBytes) {
    throw unreadable(`the holes of ${path} leave ${sum} bytes, and ${sizeBytes} come`);
  }
  return {
    kind: 'payload',
    ...{ path, spans, isRewrite: false },
    offsetBytes: readSize(bytes, bodyAt + 12),
    crc: bytes.readUInt32LE(bodyAt + 20),
    crcBefore: crc32(bytes.subarray(mapAt, end)),
  };
}

function readRename({ bytes, bodyAt, path }: Chunk): ChunkHead | number {
  const newAt = bodyAt + 4;
  if (bytes.length < newAt) return newAt;
  const end = newAt + checkPathLength(bytes.readUInt32LE(bodyAt));
  if (bytes.length < end) return end;
  return { kind: 'rename', path, newPath: readPath(bytes.subarray(newAt, end)) };
}

function checkPathLength(pathBytes: number): number {
  if (pathBytes >= 1 && pathBytes <= pathBytesMax) return pathBytes;
  throw unreadable(`a path has ${pathBytes} bytes`);
}

function readPath(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  const path = text.replace(/^(\.\/)+/, '');
  const isOdd = path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (isOdd || path.includes('\0') || !Buffer.from(text, 'utf8').equals(bytes)) {
    throw unreadable(`the path ${JSON.stringify(text)} is not allowed`);
  }
  return path;
}

function readSize(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw unreadable('a number is out of range');
  return value;
}

function unreadable(why: string): CairnError {
  return new CairnError('engine-refused', `the backup program sent an unreadable stream: ${why}`, {
    hint: 'take the backup again; check memory and disk of this host when it happens again',
  });
}
