// Reads a tar stream piece by piece, as the server writes it (PostgreSQL documentation, chapter
// "Frontend/Backend Protocol", "Streaming Replication Protocol": "in the ustar interchange format
// specified in the POSIX 1003.1-2008 standard"). Pieces may be cut anywhere. Content is handed on
// as views, never gathered. Sizes are octal or, from 8 GiB on, base-256. Every header's checksum is
// verified, and no path may leave its folder.
import { CairnError } from '../../model/errors.ts';

export type TarEntry = {
  readonly path: string;
  readonly mode: number;
  readonly modifiedAt: Date;
  readonly sizeBytes: number;
};

export interface TarHandler {
  directory(entry: TarEntry): void;
  symlink(entry: TarEntry, target: string): void;
  beginFile(entry: TarEntry): void;
  /** A promise stops the reader until it resolves. */
  write(bytes: Buffer): undefined | Promise<void>;
  endFile(): void;
}

const blockBytes = 512;

export class TarReader {
  readonly #handler: TarHandler;
  readonly #header = Buffer.alloc(blockBytes);
  #headerFilled = 0;
  #contentLeft = 0;
  #paddingLeft = 0;
  #isInFile = false;
  #endBlocks = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Call again only after a returned promise has resolved. @throws engine-refused */
  push(bytes: Buffer, from = 0): undefined | Promise<void> {
    let at = from;
    while (at < bytes.length) {
      if (this.#contentLeft > 0) {
        const end = Math.min(bytes.length, at + this.#contentLeft);
        const wait = this.#takeContent(bytes.subarray(at, end));
        at = end;
        if (wait) return wait.then(() => this.#resume(bytes, end));
        if (this.#contentLeft === 0) this.#endFile();
      } else if (this.#paddingLeft > 0) {
        const skipped = Math.min(this.#paddingLeft, bytes.length - at);
        this.#paddingLeft -= skipped;
        at += skipped;
      } else {
        at += this.#takeHeader(bytes, at);
      }
    }
    return undefined;
  }

  /** @throws engine-refused when the stream stops in mid-entry or lacks its end blocks */
  end(): void {
    const left = this.#contentLeft + this.#paddingLeft;
    if (left > 0 || this.#headerFilled > 0 || this.#isInFile) throw unreadable('it is cut off');
    if (this.#endBlocks < 2) throw unreadable('its end is missing');
  }

  #takeContent(piece: Buffer): undefined | Promise<void> {
    this.#contentLeft -= piece.length;
    return this.#handler.write(piece);
  }

  #resume(bytes: Buffer, at: number): undefined | Promise<void> {
    if (this.#contentLeft === 0) this.#endFile();
    return this.push(bytes, at);
  }

  #endFile(): void {
    this.#isInFile = false;
    this.#handler.endFile();
  }

  #takeHeader(bytes: Buffer, at: number): number {
    const taken = Math.min(blockBytes - this.#headerFilled, bytes.length - at);
    bytes.copy(this.#header, this.#headerFilled, at, at + taken);
    this.#headerFilled += taken;
    if (this.#headerFilled === blockBytes) {
      this.#headerFilled = 0;
      this.#readHeader();
    }
    return taken;
  }

  #readHeader(): void {
    const header = this.#header;
    if (header.every((byte) => byte === 0)) {
      this.#endBlocks++;
      return;
    }
    if (this.#endBlocks > 0) throw unreadable('data follows its end');
    verifyChecksum(header);
    const entry = readEntry(header);
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === '5') return this.#handler.directory(entry);
    if (type === '2') return this.#handler.symlink(entry, readText(header, 157, 100));
    if (type !== '0' && type !== '\0') throw unreadable(`${entry.path} is of type ${type}`);
    this.#isInFile = true;
    this.#contentLeft = entry.sizeBytes;
    this.#paddingLeft = (blockBytes - (entry.sizeBytes % blockBytes)) % blockBytes;
    this.#handler.beginFile(entry);
    if (entry.sizeBytes === 0) this.#endFile();
  }
}

function readEntry(header: Buffer): TarEntry {
  const prefix = readText(header, 345, 155);
  const name = readText(header, 0, 100);
  return {
    path: checkPath(prefix === '' ? name : `${prefix}/${name}`),
    mode: readNumber(header, 100, 8) & 0o7777,
    modifiedAt: new Date(readNumber(header, 136, 12) * 1000),
    sizeBytes: readNumber(header, 124, 12),
  };
}

/** The checksum field itself counts as eight spaces. */
function verifyChecksum(header: Buffer): void {
  let sum = 8 * 0x20;
  for (let at = 0; at < blockBytes; at++) {
    if (at < 148 || at >= 156) sum += header[at] ?? 0;
  }
  if (sum !== readNumber(header, 148, 8)) throw unreadable('a header is damaged');
}

function checkPath(path: string): string {
  const clean = path.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
  const parts = clean.split('/');
  if (clean === '' || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw unreadable(`path ${JSON.stringify(path)} is not allowed`);
  }
  return clean;
}

function readText(header: Buffer, at: number, lengthMax: number): string {
  const field = header.subarray(at, at + lengthMax);
  const end = field.indexOf(0);
  const bytes = end < 0 ? field : field.subarray(0, end);
  const text = bytes.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(bytes)) throw unreadable('a path is not valid UTF-8');
  return text;
}

/** Octal text, or big-endian base-256 when the first bit is set. */
function readNumber(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  let value = 0;
  if (first & 0x80) {
    value = first & 0x7f;
    for (let index = at + 1; index < at + length; index++) {
      value = value * 256 + (header[index] ?? 0);
    }
  } else {
    const text = header.toString('latin1', at, at + length).replace(/^ +|[ \0]+$/g, '');
    if (!/^[0-7]*$/.test(text)) throw unreadable(`number ${JSON.stringify(text)} is not octal`);
    value = text === '' ? 0 : Number.parseInt(text, 8);
  }
  if (!Number.isSafeInteger(value)) throw unreadable('a number is out of range');
  return value;
}

function unreadable(why: string): CairnError {
  return new CairnError('engine-refused', `the server sent an unreadable archive: ${why}`);
}
