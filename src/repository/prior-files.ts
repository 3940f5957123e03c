// What was stored before and may be referred to instead of stored again: what earlier attempts at
// the same backup have finished, then the previous backup. A part of a file is compared with one of
// them, the first that has it.
import type { FileEntry, PartReference, StoredTable } from './manifest.ts';
import type { ObjectReference } from './object-presence.ts';

export type PriorFile = { readonly entry: FileEntry; readonly header: StoredTable['header'] };
export type PriorPart = PriorFile & { readonly reference: PartReference };

export class PriorFiles {
  readonly #tables: readonly StoredTable[];
  readonly #byPath: readonly ReadonlyMap<string, FileEntry>[];
  readonly #hasPrevious: boolean;

  /** Of attempts, the first table goes before the others; then comes the previous backup. */
  constructor(attempts: readonly StoredTable[], previous: StoredTable | null) {
    this.#tables = previous ? [...attempts, previous] : attempts;
    this.#byPath = this.#tables.map(({ files }) => new Map(files.map((file) => [file.path, file])));
    this.#hasPrevious = previous !== null;
  }

  /** Those that can be compared page by page: cut into pages of the same size. */
  find(paths: readonly string[], pageBytes: number): readonly PriorFile[] {
    const found: PriorFile[] = [];
    for (const [index, table] of this.#tables.entries()) {
      for (const path of paths) {
        const entry = this.#byPath[index]?.get(path);
        if (entry?.page === pageBytes) found.push({ entry, header: table.header });
      }
    }
    return found;
  }

  /** Of the previous backup alone, whatever the size of its pages. */
  findPrevious(path: string): PriorFile | null {
    const entry = this.#hasPrevious ? this.#byPath.at(-1)?.get(path) : undefined;
    const table = this.#tables.at(-1);
    return entry && table ? { entry, header: table.header } : null;
  }

  /** Every pack and map object that the tables list. */
  *objects(): Generator<ObjectReference> {
    for (const { header } of this.#tables) {
      yield* header.packs;
      yield* header.maps;
    }
  }
}

/** The part of that number in the first file that has it. */
export function findPriorPart(files: readonly PriorFile[], index: number): PriorPart | null {
  for (const { entry, header } of files) {
    const reference = entry.parts[index];
    if (reference) return { reference, entry, header };
  }
  return null;
}
