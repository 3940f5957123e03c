// Takes the one COPY stream of a base backup apart (PostgreSQL documentation, chapter
// "Frontend/Backend Protocol", "Streaming Replication Protocol", BASE_BACKUP): each CopyData begins
// with its kind, `n` a new archive, `m` the manifest, `d` data of either, `p` progress. Archives go
// through a tar reader into the sink; what lies in a tablespace gets the path it has below the data
// folder. The manifest is gathered, because its size must be known before its file can begin, and
// checked against what was received.
import { CairnError } from '../../model/errors.ts';
import { GiB, MiB } from '../../model/units.ts';
import type { DirectoryMeta, FileMeta, FileSink } from '../engine.ts';
import type { ResultSet } from './backend-messages.ts';
import { manifestPath, parseBackupManifest } from './backup-manifest.ts';
import type { CopyReceiver } from './replication-stream.ts';
import type { TarEntry, TarHandler } from './tar-reader.ts';
import { TarReader } from './tar-reader.ts';

export type ReceiverOptions = {
  /** Gets everything but the manifest as it comes. */
  readonly sink: Pick<FileSink, 'directory' | 'beginFile' | 'write' | 'endFile'>;
  /** What is stored in place of the manifest that came, once that has been compared. */
  readonly toStored: (manifest: Buffer) => Promise<Buffer>;
  readonly blockSizeBytes: number;
  /** Given the result sets before the copy: the server's estimate of the whole. */
  readonly estimateBytes: (results: readonly ResultSet[]) => number | null;
  readonly onProgress: (doneBytes: number, totalBytes: number | null) => void;
  readonly now: () => Date;
};

const manifestBytesMax = GiB;
const manifestPieceBytes = MiB;
const smallMessageBytesMax = 64 * 1024;
const kinds = { archive: 0x6e, manifest: 0x6d, data: 0x64, progress: 0x70 } as const;

export class ArchiveReceiver implements CopyReceiver {
  readonly #options: ReceiverOptions;
  /** Size of every file by its path. */
  readonly #received = new Map<string, number>();
  readonly #manifest: Buffer[] = [];
  #manifestBytes = 0;
  #isManifest = false;
  #reader: TarReader | null = null;
  #totalBytes: number | null = null;
  /**
   * Of the message being received: its kind (0 before its first byte), and a small body gathered.
   */
  #kind = 0;
  #left = 0;
  #small: Buffer[] = [];

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  get received(): ReadonlyMap<string, number> {
    return this.#received;
  }

  begin(results: readonly ResultSet[]): void {
    this.#totalBytes = this.#options.estimateBytes(results);
    this.#options.onProgress(0, this.#totalBytes);
  }

  messageBegin(bodyBytes: number): void {
    if (bodyBytes < 1) throw unexpected('an empty message');
    this.#kind = 0;
    this.#left = bodyBytes;
  }

  messagePiece(bytes: Buffer): undefined | Promise<void> {
    this.#left -= bytes.length;
    let piece = bytes;
    if (this.#kind === 0) {
      this.#kind = bytes[0] ?? 0;
      piece = bytes.subarray(1);
      if (this.#kind !== kinds.data && this.#left + piece.length > smallMessageBytesMax) {
        throw unexpected(`a message of ${this.#left + piece.length} bytes`);
      }
    }
    if (this.#kind !== kinds.data) return this.#takeSmall(piece);
    if (this.#isManifest) return this.#takeManifest(piece);
    if (!this.#reader) throw unexpected('data before an archive');
    return this.#reader.push(piece);
  }

  /**
   * Call when the stream has ended: writes the manifest's file and compares it with what came.
   * @throws engine-refused naming the first file that differs
   */
  async end(): Promise<void> {
    this.#endArchive();
    if (!this.#isManifest) throw unexpected('no manifest');
    const received = Buffer.concat(this.#manifest, this.#manifestBytes);
    this.#compare(received);
    const { sink, toStored, blockSizeBytes, now } = this.#options;
    const manifest = await toStored(received);
    sink.beginFile({
      path: manifestPath,
      mode: 0o600,
      modifiedAt: now(),
      sizeBytes: manifest.length,
      pageSizeBytes: blockSizeBytes,
    });
    for (let at = 0; at < manifest.length; at += manifestPieceBytes) {
      await sink.write(manifest.subarray(at, at + manifestPieceBytes));
    }
    sink.endFile();
  }

  #takeSmall(piece: Buffer): undefined {
    this.#small.push(Buffer.from(piece));
    if (this.#left > 0) return;
    const body = Buffer.concat(this.#small);
    this.#small = [];
    if (this.#kind === kinds.archive) this.#beginArchive(body);
    else if (this.#kind === kinds.manifest) {
      this.#endArchive();
      this.#isManifest = true;
    } else if (this.#kind === kinds.progress && body.length === 8) {
      this.#options.onProgress(Number(body.readBigInt64BE(0)), this.#totalBytes);
    } else throw unexpected(`a message of kind ${this.#kind}`);
  }

  #takeManifest(piece: Buffer): undefined {
    this.#manifestBytes += piece.length;
    if (this.#manifestBytes > manifestBytesMax) throw unexpected('a manifest over 1 GiB');
    this.#manifest.push(Buffer.from(piece));
  }

  /** Two texts: the archive's name, and the tablespace's folder or nothing for the data folder. */
  #beginArchive(body: Buffer): void {
    this.#endArchive();
    const [name = ''] = body.toString('utf8').split('\0');
    const match = /^(?:base|(\d+))\.tar$/.exec(name);
    if (!match) throw unexpected(`an archive named ${JSON.stringify(name)}`);
    const prefix = match[1] === undefined ? '' : `pg_tblspc/${match[1]}/`;
    this.#reader = new TarReader(this.#createHandler(prefix));
  }

  #endArchive(): void {
    this.#reader?.end();
    this.#reader = null;
  }

  #createHandler(prefix: string): TarHandler {
    const { sink, blockSizeBytes } = this.#options;
    return {
      directory: (entry) => sink.directory(toDirectory(prefix, entry)),
      symlink: (entry) => {
        // The map of tablespaces says where these lead; any other link would be content that is not
        // sent.
        if (prefix !== '' || !/^pg_tblspc\/\d+$/.test(entry.path)) {
          throw unexpected(`a link at ${prefix}${entry.path}`);
        }
      },
      beginFile: (entry) => {
        const meta = toFile(prefix, entry, blockSizeBytes);
        if (this.#received.has(meta.path)) throw unexpected(`file ${meta.path} twice`);
        this.#received.set(meta.path, meta.sizeBytes);
        sink.beginFile(meta);
      },
      write: (bytes) => sink.write(bytes),
      endFile: () => sink.endFile(),
    };
  }

  #compare(manifest: Buffer): void {
    const listed = new Set<string>();
    for (const { path, sizeBytes } of parseBackupManifest(manifest)) {
      const received = this.#received.get(path);
      if (received === undefined) throw differs(`file ${path} was announced and did not come`);
      if (received !== sizeBytes) {
        throw differs(`file ${path} was announced with ${sizeBytes} bytes and has ${received}`);
      }
      listed.add(path);
    }
    for (const path of this.#received.keys()) {
      if (listed.has(path) || path.startsWith('pg_wal/')) continue;
      throw differs(`file ${path} came and was not announced`);
    }
  }
}

function toDirectory(prefix: string, entry: TarEntry): DirectoryMeta {
  return { path: `${prefix}${entry.path}`, mode: entry.mode };
}

function toFile(prefix: string, entry: TarEntry, pageSizeBytes: number): FileMeta {
  const { mode, modifiedAt, sizeBytes } = entry;
  return { path: `${prefix}${entry.path}`, mode, modifiedAt, sizeBytes, pageSizeBytes };
}

function unexpected(what: string): CairnError {
  return new CairnError('engine-refused', `the server's base backup contains ${what}`, {
    hint: 'check that the connection leads to PostgreSQL itself, not to another program',
  });
}

function differs(what: string): CairnError {
  return new CairnError('engine-refused', `the base backup is not whole: ${what}`, {
    hint: 'take the backup again; check the disk of the server when it happens again',
  });
}
