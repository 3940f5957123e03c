// Cuts the server's bytes into messages (PostgreSQL documentation, chapter "Frontend/Backend
// Protocol", "Message Formats"): one byte type, four bytes length that counts itself, body. The
// body of CopyData (`d`) is handed on in pieces, as views of the socket's own buffers: nothing is
// gathered and nothing copied on the hot path. Bodies of all other messages are small and gathered
// whole.
import { CairnError } from '../../model/errors.ts';
import { MiB } from '../../model/units.ts';

export interface MessageHandler {
  /** The body may be a view that is overwritten after the call. */
  message(type: string, body: Buffer): void;
  copyBegin(bodyBytes: number): void;
  /**
   * The pieces of one CopyData sum to its `bodyBytes`. A promise stops the framer until it
   * resolves.
   */
  copyPiece(bytes: Buffer): undefined | Promise<void>;
}

const copyData = 0x64;
const headerBytes = 5;
const bodyBytesMax = 16 * MiB;

export class MessageFramer {
  readonly #handler: MessageHandler;
  readonly #header = Buffer.alloc(headerBytes);
  #headerFilled = 0;
  #isCopy = false;
  #left = 0;
  /** The body being gathered; null between messages and within CopyData. */
  #body: Buffer | null = null;

  constructor(handler: MessageHandler) {
    this.#handler = handler;
  }

  /**
   * Call again only after a returned promise has resolved. @throws engine-unreachable on nonsense
   */
  push(chunk: Buffer, from = 0): undefined | Promise<void> {
    let at = from;
    while (at < chunk.length) {
      if (this.#left === 0) {
        at += this.#takeHeader(chunk, at);
        continue;
      }
      const end = Math.min(chunk.length, at + this.#left);
      this.#left -= end - at;
      if (!this.#isCopy) {
        this.#gather(chunk, at, end);
        at = end;
        continue;
      }
      const wait = this.#handler.copyPiece(chunk.subarray(at, end));
      at = end;
      if (wait) return wait.then(() => this.push(chunk, end));
    }
    return undefined;
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const taken = Math.min(headerBytes - this.#headerFilled, chunk.length - at);
    chunk.copy(this.#header, this.#headerFilled, at, at + taken);
    this.#headerFilled += taken;
    if (this.#headerFilled < headerBytes) return taken;
    this.#headerFilled = 0;
    const type = this.#header[0] ?? 0;
    const bodyBytes = this.#header.readUInt32BE(1) - 4;
    this.#isCopy = type === copyData;
    if (bodyBytes < 0 || (!this.#isCopy && bodyBytes > bodyBytesMax)) {
      throw new CairnError('engine-unreachable', 'the server sent bytes that are no message', {
        details: { type, bodyBytes },
      });
    }
    this.#left = bodyBytes;
    if (this.#isCopy) this.#handler.copyBegin(bodyBytes);
    else if (bodyBytes === 0) this.#handler.message(String.fromCharCode(type), Buffer.alloc(0));
    return taken;
  }

  #gather(chunk: Buffer, at: number, end: number): void {
    const type = String.fromCharCode(this.#header[0] ?? 0);
    if (this.#body === null && this.#left === 0) {
      this.#handler.message(type, chunk.subarray(at, end));
      return;
    }
    this.#body ??= Buffer.alloc(end - at + this.#left);
    chunk.copy(this.#body, this.#body.length - this.#left - (end - at), at, end);
    if (this.#left > 0) return;
    const body = this.#body;
    this.#body = null;
    this.#handler.message(type, body);
  }
}
