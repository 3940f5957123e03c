// Fills map objects with parts of file maps, in the order in which the parts end.
import type { Storage } from '../storage/storage.ts';
import type { MapPart } from './file-map.ts';
import { encodeMapPart } from './file-map.ts';
import type { DataKey } from './keys.ts';
import type { PublishedObject } from './pack.ts';
import { ObjectEncoder, publishFrames } from './sealed-object.ts';

type MapWriterParts = {
  readonly storage: Storage;
  readonly dataKey: DataKey;
  readonly namePrefix: string;
  /** A map object is closed when its parts have so many bytes. */
  readonly targetBytes: number;
  readonly signal: AbortSignal;
};

export class MapWriter {
  readonly published: PublishedObject[] = [];
  readonly #parts: MapWriterParts;
  #objectCount = 0;
  #frames: Buffer[] = [];
  #frameBytes = 0;
  #tail: Promise<void> = Promise.resolve();

  constructor(parts: MapWriterParts) {
    this.#parts = parts;
  }

  /** Where the part will lie. */
  add(part: MapPart): { readonly name: string; readonly frame: number } {
    const place = { name: this.#name(), frame: this.#frames.length };
    const bytes = encodeMapPart(part);
    this.#frames.push(bytes);
    this.#frameBytes += bytes.byteLength;
    if (this.#frameBytes >= this.#parts.targetBytes) this.#close();
    return place;
  }

  /** Publishes what is left. @throws whatever the storage threw */
  async end(): Promise<void> {
    if (this.#frames.length > 0) this.#close();
    await this.#tail;
  }

  #close(): void {
    const name = this.#name();
    const frames = this.#frames;
    this.#frames = [];
    this.#frameBytes = 0;
    this.#objectCount++;
    this.#tail = this.#tail.then(() => this.#publish(name, frames));
    // The failure is thrown by `end`; until then nobody listens.
    this.#tail.catch(() => undefined);
  }

  async #publish(name: string, frames: readonly Buffer[]): Promise<void> {
    const { storage, dataKey, signal } = this.#parts;
    const encoder = new ObjectEncoder({ kind: 'maps', name, dataKey });
    const writer = await storage.openWriter(name, signal);
    try {
      await publishFrames(writer, encoder, frames);
    } catch (error) {
      await writer.abort().catch(() => undefined);
      throw error;
    }
    this.published.push({ name, sizeBytes: encoder.sizeBytes });
  }

  #name(): string {
    return `${this.#parts.namePrefix}${String(this.#objectCount).padStart(6, '0')}`;
  }
}
