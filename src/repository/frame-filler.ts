// Collects fresh pages into frames of up to 1 MiB, in the order in which they come.
import type { Batch } from './batch.ts';
import type { PageLocation } from './file-map.ts';
import type { BufferShelf } from './flow-gate.ts';
import { frameRawBytesMax } from './format.ts';
import type { PackWriter } from './pack.ts';
import { pageFates } from './pages.ts';

export class FrameFiller {
  readonly #packs: PackWriter;
  readonly #shelf: BufferShelf;
  #frame: { readonly buffer: ArrayBuffer; used: number } | null = null;

  constructor(packs: PackWriter, shelf: BufferShelf) {
    this.#packs = packs;
    this.#shelf = shelf;
  }

  /**
   * Where the pages of a batch will lie when it becomes a frame as it stands, without a copy: a
   * large one in which every page is fresh.
   */
  takeOver(
    batch: Pick<Batch<unknown>, 'lengthBytes'>,
    fates: Uint8Array,
  ): Omit<PageLocation, 'offsetBytes'> | null {
    const isLarge = batch.lengthBytes >= frameRawBytesMax / 2;
    if (!isLarge || !fates.every((fate) => fate === pageFates.fresh)) return null;
    this.seal();
    return this.#packs.next;
  }

  /** Copies the page; answers where it will lie. */
  add(page: Uint8Array): PageLocation {
    if (this.#frame && this.#frame.used + page.byteLength > frameRawBytesMax) this.seal();
    this.#frame ??= { buffer: this.#shelf.take(), used: 0 };
    const offsetBytes = this.#frame.used;
    new Uint8Array(this.#frame.buffer).set(page, offsetBytes);
    this.#frame.used += page.byteLength;
    return { ...this.#packs.next, offsetBytes };
  }

  /** What is collected becomes a frame, however little it is. */
  seal(): void {
    if (this.#frame) this.#packs.add(this.#frame.buffer, this.#frame.used);
    this.#frame = null;
  }
}
