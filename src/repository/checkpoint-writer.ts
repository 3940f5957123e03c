// Writes checkpoints behind the back of a running backup, one at a time. What a checkpoint names is
// durable before it is written, so whoever can read it can rely on it, also after a power cut.
import type { Logger } from '../platform/logger.ts';
import type { Storage } from '../storage/storage.ts';
import type { NamedTable } from './checkpoint.ts';
import { encodeCheckpoint, narrowTable } from './checkpoint.ts';
import type { DataKey } from './keys.ts';
import type { FileEntry } from './manifest.ts';
import type { ObjectReference } from './object-presence.ts';

type Parts = {
  readonly storage: Storage;
  readonly dataKey: DataKey;
  /** Object names are this and a counter. */
  readonly namePrefix: string;
  readonly attemptAt: Date;
  /** A checkpoint is due whenever so many bytes more are stored. */
  readonly intervalBytes: number;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export class CheckpointWriter {
  readonly #parts: Parts;
  /** Files with parts that no checkpoint has yet. */
  readonly #changed = new Set<FileEntry>();
  readonly #named = new Set<string>();
  #count = 0;
  #storedBytes = 0;
  #running: Promise<void> | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Whether any was begun. */
  get hasAny(): boolean {
    return this.#count > 0;
  }

  /** A part of the file was stored, not only referred to. */
  noteStored(file: FileEntry): void {
    this.#changed.add(file);
  }

  /** The backup does not have the file any more. */
  forget(file: FileEntry): void {
    this.#changed.delete(file);
  }

  /** `storedBytes`: of pages, since the backup began. */
  isDue(storedBytes: number): boolean {
    const isLate = storedBytes - this.#storedBytes >= this.#parts.intervalBytes;
    return isLate && this.#running === null && this.#changed.size > 0;
  }

  /**
   * Takes down what is finished by now and writes it when `stored` answers, which it does when all
   * of it is published. A failure costs the checkpoint, never the backup.
   */
  begin(
    lists: Pick<NamedTable, 'packNames' | 'mapNames'> & { readonly storedBytes: number },
    stored: Promise<StoredObjects>,
  ): void {
    const { packNames, mapNames } = lists;
    const files = [...this.#changed].map((file) => ({ ...file, parts: [...file.parts] }));
    this.#changed.clear();
    this.#storedBytes = lists.storedBytes;
    const name = `${this.#parts.namePrefix}${String(this.#count++).padStart(6, '0')}`;
    this.#running = this.#write(name, { files, packNames, mapNames }, stored)
      .catch((err: unknown) => this.#parts.log.warn({ err, name }, 'a checkpoint was not written'))
      .finally(() => {
        this.#running = null;
      });
  }

  /** Answers when none is being written any more. */
  async ended(): Promise<void> {
    await this.#running;
  }

  /** Whether a checkpoint names the object, or may do so: then the next attempt may need it. */
  isNamed(name: string): boolean {
    return this.#named.has(name);
  }

  async #write(name: string, wide: NamedTable, stored: Promise<StoredObjects>): Promise<void> {
    const { storage, signal } = this.#parts;
    const { sizesOf, own } = await stored;
    const { files, packNames, mapNames } = narrowTable(wide);
    const header = { packs: sizesOf(packNames), maps: sizesOf(mapNames) };
    const bytes = encodeCheckpoint({ header, files }, { name, ...this.#parts });
    const names = [...packNames, ...mapNames];
    // What earlier attempts stored was durable before they named it.
    await storage.flush(
      names.filter((object) => own.has(object)),
      signal,
    );
    // From here on the next attempt may read it, whatever becomes of this one.
    for (const object of names) this.#named.add(object);
    const writer = await storage.openWriter(name, signal);
    try {
      await writer.write(bytes);
      await writer.publish();
    } catch (error) {
      await writer.abort().catch(() => undefined);
      throw error;
    }
  }
}

export type StoredObjects = {
  readonly sizesOf: (names: readonly string[]) => readonly ObjectReference[];
  /** Names that this attempt has published. */
  readonly own: ReadonlySet<string>;
};
