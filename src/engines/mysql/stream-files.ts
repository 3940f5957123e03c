// Stores the files of a backup stream as `mbstream -x` would write them into a folder, but where
// that program gives up with exit code 0 (a file that exists already, one that is open and renamed)
// this throws. A file is known by its path until it has ended; after that it can be renamed,
// removed and begun anew. What lies before a seek is rewritten: the backup programs do that at the
// head of Aria's log only. The small files in which the program says what it has copied are kept as
// text too.
import { CairnError } from '../../model/errors.ts';
import type { FileSink, GrowingFile } from '../engine.ts';
import type { PayloadPlace, XbstreamHandler } from './xbstream.ts';

export type StreamFilesOptions = {
  readonly sink: FileSink;
  readonly innodbPageBytes: number;
  /** The stream has no times: every file gets this one. */
  readonly modifiedAt: Date;
  /** The paths of which the text is kept. */
  readonly isInformation: (path: string) => boolean;
  /** Of small files: what is stored in place of their text; null: they are stored as they come. */
  readonly filterOf: (path: string) => ((text: string) => string) | null;
};

type OpenFile = {
  readonly path: string;
  readonly pageSizeBytes: number;
  readonly growing: GrowingFile;
  readonly text: Buffer[] | null;
  readonly filter: ((text: string) => string) | null;
  sizeBytes: number;
  /** Where the next payload belongs: the end, unless it was sought. */
  positionBytes: number;
};

const modes = { file: 0o640, directory: 0o700 } as const;
/** Of Aria, and of MySQL's redo log a multiple; of what else there is none is known. */
const otherPageBytes = 8192;
const informationBytesMax = 64 * 1024;
const openMax = 16;

export class StreamFiles implements XbstreamHandler {
  readonly #options: StreamFilesOptions;
  readonly #open = new Map<string, OpenFile>();
  /** Size of each file that has ended, by its path. */
  readonly #ended = new Map<string, number>();
  readonly #directories = new Set<string>();
  readonly #information = new Map<string, string>();
  #current: OpenFile | null = null;
  #doneBytes = 0;

  constructor(options: StreamFilesOptions) {
    this.#options = options;
  }

  /** The size of each whole file by its path. */
  get ended(): ReadonlyMap<string, number> {
    return this.#ended;
  }

  get information(): ReadonlyMap<string, string> {
    return this.#information;
  }

  get doneBytes(): number {
    return this.#doneBytes;
  }

  payload(path: string, { offsetBytes, isRewrite }: PayloadPlace): void {
    const file = this.#open.get(path) ?? this.#begin(path, isRewrite);
    if (offsetBytes !== file.positionBytes) {
      const places = `at ${offsetBytes}, not at ${file.positionBytes}`;
      throw refused(`a part of ${path} came that belongs ${places}`);
    }
    this.#current = file;
  }

  write(bytes: Uint8Array): undefined | Promise<void> {
    const file = this.#current;
    if (!file) throw refused('there are bytes outside a file');
    const { positionBytes, sizeBytes, path } = file;
    this.#doneBytes += bytes.byteLength;
    file.positionBytes += bytes.byteLength;
    if (positionBytes === sizeBytes) {
      file.sizeBytes = file.positionBytes;
      this.#keepText(file, bytes);
      return file.filter ? undefined : file.growing.write(bytes);
    }
    if (file.positionBytes > Math.min(sizeBytes, file.pageSizeBytes)) {
      throw refused(`${path} is written anew at ${positionBytes}, which cannot be stored`);
    }
    file.growing.rewriteHead(positionBytes, bytes);
    return undefined;
  }

  end(path: string, { isRewrite }: Pick<PayloadPlace, 'isRewrite'>): void {
    const file = this.#open.get(path) ?? this.#begin(path, isRewrite);
    const text = file.text && Buffer.concat(file.text).toString('utf8');
    if (file.filter) void file.growing.write(Buffer.from(file.filter(text ?? '')));
    file.growing.end();
    this.#open.delete(path);
    if (this.#current === file) this.#current = null;
    this.#ended.set(path, file.sizeBytes);
    if (text !== null && this.#options.isInformation(path)) this.#information.set(path, text);
  }

  rename(path: string, newPath: string): void {
    this.#assertNotOpen(path, newPath);
    const sizeBytes = this.#ended.get(path);
    if (sizeBytes === undefined || path === newPath) return;
    this.#addDirectories(newPath);
    this.#options.sink.renameFile(path, newPath);
    this.#ended.delete(path);
    this.#ended.set(newPath, sizeBytes);
  }

  remove(path: string): void {
    this.#assertNotOpen(path);
    if (this.#ended.delete(path)) this.#options.sink.removeFile(path);
  }

  seek(path: string, offsetBytes: number): void {
    const file = this.#open.get(path);
    if (!file) throw refused(`${path} is sought before it has begun`);
    file.positionBytes = offsetBytes;
  }

  /** @throws engine-refused when a file has no end: the stream was cut between two chunks */
  assertWhole(): void {
    if (this.#open.size > 0) throw refused(`${[...this.#open.keys()].join(', ')} has no end`);
  }

  #begin(path: string, isRewrite: boolean): OpenFile {
    if (this.#ended.has(path)) {
      if (!isRewrite) throw refused(`${path} came twice`);
      this.remove(path);
    }
    if (this.#open.size === openMax) throw refused(`more than ${openMax} files are open at once`);
    this.#addDirectories(path);
    const { sink, modifiedAt, isInformation, innodbPageBytes } = this.#options;
    const pageSizeBytes = isInnodbFile(path) ? innodbPageBytes : otherPageBytes;
    const meta = { path, pageSizeBytes, modifiedAt, mode: modes.file };
    // Tables that were made or rebuilt meanwhile get their name when the backup is prepared.
    const finalPath = path.replace(/(\.ibd)?\.new$/, '.ibd');
    const growing = sink.beginGrowing(
      finalPath === path ? meta : { ...meta, comparedWith: finalPath },
    );
    const filter = this.#options.filterOf(path);
    const text = isInformation(path) || filter ? [] : null;
    const file = { path, pageSizeBytes, growing, text, filter, sizeBytes: 0, positionBytes: 0 };
    this.#open.set(path, file);
    return file;
  }

  #keepText({ path, text, sizeBytes }: OpenFile, bytes: Uint8Array): void {
    if (!text) return;
    if (sizeBytes > informationBytesMax) throw refused(`${path} has over 64 KiB`);
    text.push(Buffer.from(bytes));
  }

  #addDirectories(path: string): void {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) {
      const directory = path.slice(0, at);
      if (this.#directories.has(directory)) continue;
      this.#directories.add(directory);
      this.#options.sink.directory({ path: directory, mode: modes.directory });
    }
  }

  #assertNotOpen(...paths: readonly string[]): void {
    const path = paths.find((each) => this.#open.has(each));
    if (path !== undefined) throw refused(`${path} is renamed or removed before its end`);
  }
}

/** Tablespaces: of a table, of the system, of undo logs; and tables that are not named yet. */
function isInnodbFile(path: string): boolean {
  return /\.(ibd|ibu|new)$|^ibdata\d+$|^undo_?\d+$/.test(path);
}

function refused(why: string): CairnError {
  return new CairnError('engine-refused', `the backup program's stream is not whole: ${why}`, {
    hint: 'take the backup again; the log of the job has what the program said',
  });
}
