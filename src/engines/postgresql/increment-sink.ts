// Turns the files of an incremental base backup into whole ones on their way into the sink: what
// the server has not sent is kept from the previous backup. What `pg_combinebackup` makes of a
// chain of backups is made here of each backup as it comes, so that none depends on another.
import type { FileMeta, FileSink, PreviousBackup } from '../engine.ts';
import type { ManifestEntry } from './backup-manifest.ts';
import { editManifest, manifestPath, readEntries, replaceContent } from './backup-manifest.ts';
import { toWholePath, unusable } from './increment-file.ts';
import { IncrementReader } from './increment-reader.ts';

export type IncrementOptions = {
  readonly sink: FileSink;
  readonly previous: PreviousBackup;
  readonly blockSizeBytes: number;
  readonly signal: AbortSignal;
};

/** Takes the bytes of the file that is coming in. */
type Incoming = { push(bytes: Buffer): undefined | Promise<void>; end(): void };

const labelPath = 'backup_label';
const labelBytesMax = 64 * 1024;

export class IncrementSink implements Pick<FileSink, 'directory' | 'beginFile' | 'endFile'> {
  readonly #options: IncrementOptions;
  /** Entries of the manifest that change, by the path that was sent. */
  readonly #whole = new Map<string, { readonly path: string; readonly sizeBytes: number }>();
  /** Whole paths of files that are the previous backup's as they stand. */
  readonly #unchanged = new Set<string>();
  #keptBytes = 0;
  #hasBegun = false;
  #label: { readonly old: Buffer; readonly new: Buffer } | null = null;
  #incoming: Incoming | null = null;

  constructor(options: IncrementOptions) {
    this.#options = options;
  }

  /** Whether anything has reached the sink. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  directory(meta: Parameters<FileSink['directory']>[0]): void {
    this.#hasBegun = true;
    this.#options.sink.directory(meta);
  }

  /** @throws engine-refused for an increment of a file that the previous backup lacks */
  beginFile(meta: FileMeta): void {
    this.#hasBegun = true;
    const wholePath = toWholePath(meta.path);
    if (wholePath !== null) this.#incoming = this.#beginIncrement(meta, wholePath);
    else if (meta.path === labelPath) this.#incoming = this.#beginLabel(meta);
    else {
      this.#incoming = null;
      this.#options.sink.beginFile(meta);
    }
  }

  write(bytes: Buffer): undefined | Promise<void> {
    return this.#incoming ? this.#incoming.push(bytes) : this.#options.sink.write(bytes);
  }

  endFile(): void {
    this.#incoming?.end();
    this.#options.sink.endFile();
  }

  /** The manifest of the whole files: it is what the next backup is asked for with. */
  async toWholeManifest(manifest: Buffer): Promise<Buffer> {
    const known = await this.#readChecksums();
    const label = this.#label;
    return editManifest(manifest, (entry) => {
      const { Path = '' } = entry;
      if (label && Path === labelPath) return replaceContent(entry, label);
      const whole = this.#whole.get(Path);
      if (!whole) return entry;
      const { Checksum: _, 'Checksum-Algorithm': __, ...rest } = entry;
      return { ...rest, Path: whole.path, Size: whole.sizeBytes, ...known.get(whole.path) };
    });
  }

  /** The server's checksums are of what it sent; those of unchanged files are known from before. */
  async #readChecksums(): Promise<ReadonlyMap<string, Partial<ManifestEntry>>> {
    const { previous, signal } = this.#options;
    const known = new Map<string, Partial<ManifestEntry>>();
    for await (const entry of readEntries(previous.read(manifestPath, signal))) {
      const { Path = '', Checksum, 'Checksum-Algorithm': algorithm } = entry;
      if (!this.#unchanged.has(Path) || Checksum === undefined || algorithm === undefined) continue;
      known.set(Path, { 'Checksum-Algorithm': algorithm, Checksum });
    }
    return known;
  }

  #beginIncrement(meta: FileMeta, path: string): Incoming {
    const { previous, sink, blockSizeBytes } = this.#options;
    const found = previous.findFile(path);
    if (!found) throw unusable(path, 'the previous backup has no such file');
    const sizes = { sentBytes: meta.sizeBytes, previousBytes: found.sizeBytes, blockSizeBytes };
    return new IncrementReader(
      { path, ...sizes },
      {
        begin: (sizeBytes, isUnchanged) => {
          this.#whole.set(meta.path, { path, sizeBytes });
          if (isUnchanged) this.#unchanged.add(path);
          sink.beginIncrement({ ...meta, path, sizeBytes });
        },
        keep: (sizeBytes) => {
          this.#keptBytes += sizeBytes;
          return sink.keep(sizeBytes);
        },
        write: (bytes) => sink.write(bytes),
      },
    );
  }

  /** The positions stay; what it is an increment of does not: a whole backup is started on. */
  #beginLabel(meta: FileMeta): Incoming {
    if (meta.sizeBytes > labelBytesMax) throw unusable(labelPath, `it has ${meta.sizeBytes} bytes`);
    let old = Buffer.alloc(0);
    const push = (bytes: Buffer): undefined | Promise<void> => {
      old = Buffer.concat([old, bytes]);
      if (old.length < meta.sizeBytes) return undefined;
      const content = Buffer.from(withoutOrigin(old.toString('latin1')), 'latin1');
      this.#label = { old, new: content };
      this.#options.sink.beginFile({ ...meta, sizeBytes: content.length });
      return this.#options.sink.write(content);
    };
    return { push, end: () => undefined };
  }
}

function withoutOrigin(label: string): string {
  const lines = label.split(/(?<=\n)/);
  return lines.filter((line) => !/^INCREMENTAL FROM (?:LSN|TLI): /.test(line)).join('');
}
