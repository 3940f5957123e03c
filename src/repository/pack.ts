// Fills packs with frames. Where a frame will lie is known before it is sealed: frames are numbered
// when they are handed in, sealed in any thread, and written in order. A pack is closed at about
// `targetBytes`.
import type { ObjectWriter, Storage } from '../storage/storage.ts';
import type { BufferShelf, FlowGate } from './flow-gate.ts';
import type { DataKey } from './keys.ts';
import { ObjectEncoder } from './sealed-object.ts';
import type { ThreadPool } from './thread-pool.ts';

export type PublishedObject = {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of the frames of a pack. */
  readonly rawBytes?: number;
};

export type PackParts = {
  readonly storage: Storage;
  readonly pool: ThreadPool;
  readonly gate: FlowGate;
  readonly shelf: BufferShelf;
  readonly dataKey: DataKey;
  /** Object names are this and a counter. */
  readonly namePrefix: string;
  readonly level: number;
  /** A pack is closed when it has reached about this size. */
  readonly targetBytes: number;
  readonly signal: AbortSignal;
};

type OpenPack = {
  readonly name: string;
  readonly encoder: ObjectEncoder;
  writer: ObjectWriter | null;
  frameCount: number;
  rawBytes: number;
  /** Raw bytes handed in and not yet sealed. */
  pendingRawBytes: number;
};

export class PackWriter {
  readonly published: PublishedObject[] = [];
  readonly #parts: PackParts;
  #packCount = 0;
  #current: OpenPack;
  /** Begun in storage and not yet published. */
  readonly #writers = new Set<ObjectWriter>();
  #tail: Promise<void> = Promise.resolve();
  #rawBytes = 0;
  #sealedBytes = 0;

  constructor(parts: PackParts) {
    this.#parts = parts;
    this.#current = this.#nextPack();
  }

  /** Where the frame will lie that `add` is called with next. */
  get next(): { readonly packName: string; readonly frame: number } {
    return { packName: this.#current.name, frame: this.#current.frameCount };
  }

  /** Takes the buffer over; it comes back to the shelf. Failures surface at the gate. */
  add(buffer: ArrayBuffer, lengthBytes: number): void {
    const pack = this.#current;
    const { pool, gate, level, targetBytes } = this.#parts;
    const frame = pack.frameCount++;
    pack.rawBytes += lengthBytes;
    pack.pendingRawBytes += lengthBytes;
    gate.enter();
    const task = {
      kind: 'seal',
      buffer,
      lengthBytes,
      key: pack.encoder.key,
      frame,
      level,
    } as const;
    const sealing = pool.run(task, [buffer]);
    this.#follow(async () => {
      const { buffer: emptied, sealed } = await sealing;
      this.#parts.shelf.giveBack(emptied);
      pack.pendingRawBytes -= lengthBytes;
      await this.#write(pack, Buffer.from(sealed), lengthBytes);
      gate.leave();
    });
    sealing.catch(() => undefined);
    if (this.#estimateBytes(pack) >= targetBytes) this.#close(pack);
  }

  /** Answers when all that was handed in so far is written; failures surface at the gate. */
  async settled(): Promise<void> {
    await this.#tail;
  }

  /** Writes what is left; afterwards `published` is complete once the gate has drained. */
  end(): void {
    if (this.#current.frameCount > 0) this.#close(this.#current);
  }

  /** Forgets what is half written: after a failure also packs that were full already. */
  async abort(): Promise<void> {
    await this.#tail;
    for (const writer of this.#writers) await writer.abort().catch(() => undefined);
  }

  #close(pack: OpenPack): void {
    this.#current = this.#nextPack();
    const { gate } = this.#parts;
    gate.enter();
    this.#follow(async () => {
      await pack.writer?.write(pack.encoder.end());
      await pack.writer?.publish();
      if (pack.writer) this.#writers.delete(pack.writer);
      const { name, rawBytes, encoder } = pack;
      this.published.push({ name, sizeBytes: encoder.sizeBytes, rawBytes });
      gate.leave();
    });
  }

  async #write(pack: OpenPack, sealed: Buffer, rawBytes: number): Promise<void> {
    if (!pack.writer) {
      pack.writer = await this.#parts.storage.openWriter(pack.name, this.#parts.signal);
      this.#writers.add(pack.writer);
      await pack.writer.write(pack.encoder.header);
    }
    pack.encoder.add(sealed);
    this.#rawBytes += rawBytes;
    this.#sealedBytes += sealed.byteLength;
    await pack.writer.write(sealed);
  }

  /** Steps run one after another; after a failure none runs any more. */
  #follow(step: () => Promise<void>): void {
    this.#tail = this.#tail.then(async () => {
      try {
        this.#parts.gate.throwIfFailed();
        await step();
      } catch (error) {
        this.#parts.gate.fail(error as Error);
      }
    });
  }

  #estimateBytes(pack: OpenPack): number {
    const ratio = this.#rawBytes > 0 ? this.#sealedBytes / this.#rawBytes : 1;
    return pack.encoder.sizeBytes + pack.pendingRawBytes * ratio;
  }

  #nextPack(): OpenPack {
    const name = `${this.#parts.namePrefix}${String(this.#packCount++).padStart(6, '0')}`;
    const encoder = new ObjectEncoder({ kind: 'pack', name, dataKey: this.#parts.dataKey });
    return { name, encoder, writer: null, frameCount: 0, rawBytes: 0, pendingRawBytes: 0 };
  }
}
