// The files and directories of a backup that is being written, by their paths. A file that grew may
// be renamed or removed when it has ended; then nothing of it counts for the backup any more.
import { assert } from '../model/assert.ts';
import type { LiveBytes } from './copy-forward.ts';
import type { FileEntry, TableEntry } from './manifest.ts';

/** What must be known of a growing file as long as it may be removed. */
export type GrownFile = {
  readonly entry: FileEntry;
  /** What it refers to; counts if the file is there in the end. */
  readonly live: LiveBytes;
  isOpen: boolean;
  /** What of it is still on its way is not stored. */
  isGone: boolean;
};

export class FileTable {
  readonly #entries = new Map<string, TableEntry>();
  readonly #grown = new Map<string, GrownFile>();
  readonly #onDrop: (entry: FileEntry) => void;
  #hasDropped = false;

  constructor(onDrop: (entry: FileEntry) => void) {
    this.#onDrop = onDrop;
  }

  /** Whether a file was taken out: what it needed may be needed by none. */
  get hasDropped(): boolean {
    return this.#hasDropped;
  }

  get entries(): readonly TableEntry[] {
    return [...this.#entries.values()];
  }

  get grown(): Iterable<GrownFile> {
    return this.#grown.values();
  }

  /** Of all files. */
  get logicalBytes(): number {
    let total = 0;
    for (const entry of this.#entries.values()) total += entry.type === 'file' ? entry.size : 0;
    return total;
  }

  add(entry: TableEntry): void {
    assert(!this.#entries.has(entry.path), `path ${entry.path} comes twice`);
    this.#entries.set(entry.path, entry);
  }

  addGrowing(file: GrownFile): void {
    this.add(file.entry);
    this.#grown.set(file.entry.path, file);
  }

  /** As `renameFile` of the writer. */
  rename(path: string, newPath: string): boolean {
    const file = this.#findEnded(path);
    if (!file || path === newPath) return file !== null;
    this.remove(newPath);
    this.#forget(file);
    file.entry.path = newPath;
    this.addGrowing(file);
    return true;
  }

  /** As `removeFile` of the writer. */
  remove(path: string): boolean {
    const file = this.#findEnded(path);
    if (file) this.drop(file);
    return file !== null;
  }

  /** Open or ended. */
  drop(file: GrownFile): void {
    this.#forget(file);
    file.isGone = true;
    this.#hasDropped = true;
    this.#onDrop(file.entry);
  }

  #findEnded(path: string): GrownFile | null {
    const file = this.#grown.get(path);
    assert(file || !this.#entries.has(path), `${path} is no growing file`);
    assert(!file?.isOpen, `file ${path} is still open`);
    return file ?? null;
  }

  #forget({ entry }: GrownFile): void {
    this.#entries.delete(entry.path);
    this.#grown.delete(entry.path);
  }
}
