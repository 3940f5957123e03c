import type { FileSink } from '../engine.ts';

/**
 * The length of a stream is known at its end, and a file of a backup is announced with its size: so
 * a stream becomes files of this size, the last one shorter.
 */
const pieceBytes = 4 * 1024 * 1024;
const pageSizeBytes = 8192;
const nameDigits = 8;

/** Writes streams into folders of a sink, piece by piece. */
export class PieceWriter {
  readonly #sink: FileSink;
  readonly #modifiedAt: Date;
  readonly #buffer = Buffer.allocUnsafe(pieceBytes);
  #used = 0;
  #number = 0;
  #folder = '';

  constructor(sink: FileSink, modifiedAt: Date) {
    this.#sink = sink;
    this.#modifiedAt = modifiedAt;
  }

  /** What is written from now on goes there. A folder is begun once. */
  async begin(folder: string): Promise<void> {
    await this.#flush();
    this.#folder = folder;
    this.#number = 0;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      const part = bytes.subarray(at, at + pieceBytes - this.#used);
      this.#buffer.set(part, this.#used);
      this.#used += part.byteLength;
      at += part.byteLength;
      if (this.#used === pieceBytes) await this.#flush();
    }
  }

  async end(): Promise<void> {
    await this.#flush();
  }

  /** A file of its own, not in pieces. */
  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    await this.#flush();
    await this.#store(path, bytes);
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    const path = `${this.#folder}/${String(this.#number).padStart(nameDigits, '0')}`;
    await this.#store(path, this.#buffer.subarray(0, this.#used));
    this.#number++;
    this.#used = 0;
  }

  async #store(path: string, bytes: Uint8Array): Promise<void> {
    const sizeBytes = bytes.byteLength;
    const modifiedAt = this.#modifiedAt;
    this.#sink.beginFile({ path, mode: 0o600, modifiedAt, sizeBytes, pageSizeBytes });
    await this.#sink.write(bytes);
    this.#sink.endFile();
  }
}
