// Writes the text of a dump into files of a backup: one for each part of a database, and for each
// table of the part `tables`, so that a table that has not changed lies at the same place as in the
// backup before and is stored once, whatever happens to others.
import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { FileSink, GrowingFile } from '../engine.ts';
import type { DumpedFile } from './logical-contents.ts';
import { pathOf } from './logical-contents.ts';
import type { DumpSegment } from './logical-dump.ts';

type OpenFile = {
  readonly path: string;
  readonly segment: Omit<DumpSegment, 'bytes'>;
  readonly file: GrowingFile;
  readonly digest: Hash;
  bytes: number;
};

const pageSizeBytes = 8192;
const mode = 0o600;

export class DumpFiles {
  readonly #sink: FileSink;
  readonly #modifiedAt: Date;
  readonly #open = new Map<string, OpenFile>();
  readonly #ended: DumpedFile[] = [];

  constructor(sink: FileSink, modifiedAt: Date) {
    this.#sink = sink;
    this.#modifiedAt = modifiedAt;
  }

  async write(segments: readonly DumpSegment[]): Promise<void> {
    for (const segment of segments) {
      const open = this.#open.get(pathOf(segment)) ?? this.#begin(segment);
      open.digest.update(segment.bytes);
      open.bytes += segment.bytes.byteLength;
      const wait = open.file.write(segment.bytes);
      if (wait) await wait;
    }
  }

  /** A file of its own; its size is known. */
  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    this.#endExcept(() => false);
    const meta = { path, mode, modifiedAt: this.#modifiedAt, pageSizeBytes };
    this.#sink.beginFile({ ...meta, sizeBytes: bytes.byteLength });
    await this.#sink.write(bytes);
    this.#sink.endFile();
  }

  /** What was written, in the order in which it ended. */
  end(): readonly DumpedFile[] {
    this.#endExcept(() => false);
    return this.#ended;
  }

  #begin(segment: DumpSegment): OpenFile {
    const { database, part, table } = segment;
    // Triggers come in between tables: the two files take turns.
    this.#endExcept((one) => {
      const isSame = one.database === database;
      return isSame && (one.part === 'programs' || part === 'programs');
    });
    const path = pathOf(segment);
    const file = this.#sink.beginGrowing({
      ...{ path, mode, pageSizeBytes },
      modifiedAt: this.#modifiedAt,
    });
    const digest = createHash('sha256');
    const open = { path, segment: { database, part, table }, file, digest, bytes: 0 };
    this.#open.set(path, open);
    return open;
  }

  #endExcept(mayStay: (segment: OpenFile['segment']) => boolean): void {
    for (const { path, segment, file, digest, bytes } of [...this.#open.values()]) {
      if (mayStay(segment)) continue;
      file.end();
      this.#open.delete(path);
      this.#ended.push({ path, bytes, sha256: digest.digest('hex') });
    }
  }
}
