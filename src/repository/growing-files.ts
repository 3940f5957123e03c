// The files of a backup whose size nobody knows before their end. Several are open at once; their
// bytes go into the same batches as those of all others.
import { assert } from '../model/assert.ts';
import type { Batcher, FileCursor } from './batch.ts';
import { LiveBytes } from './copy-forward.ts';
import type { FileTable, GrownFile } from './file-table.ts';
import type { OpenFile } from './part-writer.ts';
import { openFile } from './part-writer.ts';
import type { PriorFiles } from './prior-files.ts';
import type { GrowingFile, StoredGrowingFile } from './repository.ts';

/** Each open file has the map of a part, and of the part before, in memory. */
const openMax = 16;

type Parts = {
  readonly batcher: Batcher<OpenFile>;
  readonly table: FileTable;
  readonly priors: PriorFiles;
  readonly append: (cursor: FileCursor<OpenFile>, bytes: Uint8Array) => undefined | Promise<void>;
};

export class GrowingFiles {
  readonly #parts: Parts;
  #openCount = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get openCount(): number {
    return this.#openCount;
  }

  /** @throws bug when too many are open */
  begin(meta: StoredGrowingFile): GrowingFile {
    assert(this.#openCount < openMax, `${openMax} files are open and one more begins`);
    const { batcher, table, append } = this.#parts;
    const { path, pageSizeBytes } = meta;
    const file = this.#open(meta);
    const cursor = batcher.beginFile(file, pageSizeBytes, null);
    const head = new FileHead(pageSizeBytes);
    const assertOpen = (): void => assert(file.grown.isOpen, `file ${path} is not open`);
    const close = (): void => {
      assertOpen();
      file.grown.isOpen = false;
      this.#openCount--;
    };
    return {
      write: (bytes) => {
        assertOpen();
        head.add(bytes);
        return append(cursor, bytes);
      },
      rewriteHead: (offsetBytes, bytes) => {
        assertOpen();
        head.rewrite(offsetBytes, bytes);
      },
      end: () => {
        close();
        file.sizeBytes = cursor.doneBytes;
        batcher.endFile(cursor);
        if (head.isRewritten) batcher.rewriteHead(cursor, head.bytes);
      },
      abandon: () => {
        close();
        table.drop(file.grown);
      },
    };
  }

  #open(meta: StoredGrowingFile): OpenFile & { readonly grown: GrownFile } {
    const { path, comparedWith = path, pageSizeBytes } = meta;
    const priors = this.#parts.priors.find([...new Set([path, comparedWith])], pageSizeBytes);
    const file = openFile({ ...meta, sizeBytes: null }, { priors, isTrusting: false });
    const grown = { entry: file.entry, live: new LiveBytes(), isOpen: true, isGone: false };
    this.#parts.table.addGrowing(grown);
    this.#openCount++;
    return { ...file, grown };
  }
}

/** A copy of a file's first page: what was written there may turn out to be something else. */
class FileHead {
  readonly #bytes: Uint8Array;
  #length = 0;
  #isRewritten = false;

  constructor(pageBytes: number) {
    this.#bytes = new Uint8Array(pageBytes);
  }

  get isRewritten(): boolean {
    return this.#isRewritten;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  add(bytes: Uint8Array): void {
    const room = this.#bytes.byteLength - this.#length;
    if (room === 0) return;
    const added = bytes.subarray(0, room);
    this.#bytes.set(added, this.#length);
    this.#length += added.byteLength;
  }

  rewrite(offsetBytes: number, bytes: Uint8Array): void {
    assert(offsetBytes + bytes.byteLength <= this.#length, 'a file is rewritten behind its head');
    this.#bytes.set(bytes, offsetBytes);
    this.#isRewritten ||= bytes.byteLength > 0;
  }
}
