// Takes the rows of `COPY … TO STDOUT (FORMAT binary)` apart (PostgreSQL documentation, "COPY",
// "Binary Format"): a header of 19 bytes and an extension, then for each row the number of fields
// (-1: the end) and for each field its length (-1: null) and its bytes. Rows here have two fields,
// the number of the piece that was asked for and its content, which is copied once, from the
// socket's buffer to where it is used.
import { CairnError } from '../../model/errors.ts';
import type { CopyReceiver } from './replication-stream.ts';

export type CopyRowsOptions = {
  /** The most that the content of each row may have. */
  readonly sizesMax: readonly number[];
  /** Gives memory for a content; it is the caller's again afterwards. */
  readonly allocate: (sizeBytes: number) => Buffer;
};

type State = 'header' | 'extension' | 'fields' | 'number' | 'length' | 'content' | 'end';

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const headBytes: Readonly<Partial<Record<State, number>>> = {
  header: 19,
  fields: 2,
  // Of the number: its length and itself.
  number: 8,
  length: 4,
};

export class CopyRows implements CopyReceiver {
  readonly #options: CopyRowsOptions;
  readonly #contents: (Buffer | null)[] = [];
  readonly #head = Buffer.alloc(19);
  #state: State = 'header';
  #filled = 0;
  /** Of the extension or the content. */
  #left = 0;
  #content: Buffer | null = null;

  constructor(options: CopyRowsOptions) {
    this.#options = options;
  }

  begin(): undefined {
    return undefined;
  }

  messageBegin(): undefined {
    return undefined;
  }

  /** The pieces of messages are one sequence: rows may begin and end anywhere in it. */
  messagePiece(bytes: Buffer): undefined {
    for (let at = 0; at < bytes.length; ) {
      const needed = headBytes[this.#state];
      at += needed === undefined ? this.#takeBody(bytes, at) : this.#takeHead(bytes, at, needed);
    }
  }

  /**
   * The content of every row in order, null for a file that was not there. @throws engine-refused
   * when rows are missing
   */
  end(): readonly (Buffer | null)[] {
    if (this.#state !== 'end' || this.#contents.length !== this.#options.sizesMax.length) {
      throw unexpected(`${this.#contents.length} rows`);
    }
    return this.#contents;
  }

  #takeHead(bytes: Buffer, at: number, needed: number): number {
    const taken = Math.min(needed - this.#filled, bytes.length - at);
    bytes.copy(this.#head, this.#filled, at, at + taken);
    this.#filled += taken;
    if (this.#filled === needed) {
      this.#filled = 0;
      this.#onHead();
    }
    return taken;
  }

  #takeBody(bytes: Buffer, at: number): number {
    if (this.#state === 'end') throw unexpected('bytes after its end');
    const taken = Math.min(this.#left, bytes.length - at);
    const content = this.#content;
    if (content) bytes.copy(content, content.length - this.#left, at, at + taken);
    this.#left -= taken;
    if (this.#left === 0) this.#endBody();
    return taken;
  }

  #onHead(): void {
    switch (this.#state) {
      case 'header':
        if (!this.#head.subarray(0, 11).equals(signature)) throw unexpected('no signature');
        return this.#beginBody('extension', this.#head.readUInt32BE(15), null);
      case 'fields':
        return this.#onFieldCount(this.#head.readInt16BE(0));
      case 'number':
        if (this.#head.readInt32BE(4) !== this.#contents.length)
          throw unexpected('rows in disorder');
        this.#state = 'length';
        return;
      default:
        return this.#onContentLength(this.#head.readInt32BE(0));
    }
  }

  #onFieldCount(count: number): void {
    if (count !== -1 && count !== 2) throw unexpected(`a row of ${count} fields`);
    this.#state = count === -1 ? 'end' : 'number';
  }

  #onContentLength(sizeBytes: number): void {
    const row = this.#contents.length;
    if (sizeBytes > (this.#options.sizesMax[row] ?? -1)) {
      throw unexpected(`${sizeBytes} bytes in row ${row}`);
    }
    const content = sizeBytes < 0 ? null : this.#options.allocate(sizeBytes);
    this.#contents.push(content);
    this.#beginBody('content', Math.max(sizeBytes, 0), content);
  }

  #beginBody(state: 'extension' | 'content', sizeBytes: number, content: Buffer | null): void {
    this.#state = state;
    this.#left = sizeBytes;
    this.#content = content;
    if (sizeBytes === 0) this.#endBody();
  }

  #endBody(): void {
    this.#content = null;
    this.#state = 'fields';
  }
}

function unexpected(what: string): CairnError {
  return new CairnError('engine-refused', `the server's answer with file content has ${what}`, {
    hint: 'check that the connection leads to PostgreSQL itself, not to another program',
  });
}
