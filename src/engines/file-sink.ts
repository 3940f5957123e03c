// Where a base backup goes: a driver pushes files into it as they come from the server.
export type FileMeta = {
  /** Relative, `/` between parts, no `.` or `..`; unique within the backup. */
  readonly path: string;
  /** POSIX permission bits. */
  readonly mode: number;
  readonly modifiedAt: Date;
  readonly sizeBytes: number;
  /** The engine's page size for this file, 512 to 65536. */
  readonly pageSizeBytes: number;
};

export type DirectoryMeta = {
  readonly path: string;
  readonly mode: number;
};

/** A file whose size nobody knows before its end. */
export type GrowingFileMeta = Omit<FileMeta, 'sizeBytes'> & {
  /** Where the previous backup has such a file, if not at `path`: its pages are compared too. */
  readonly comparedWith?: string;
};

/** One that has begun and not ended. */
export interface GrowingFile {
  /** As `write` of the sink: appends. */
  write(bytes: Uint8Array): undefined | Promise<void>;
  /** Bytes that were written are others after all. @throws bug behind the first page */
  rewriteHead(offsetBytes: number, bytes: Uint8Array): void;
  /** Its size is what was written. */
  end(): void;
  /** Instead of `end`: as if it had never begun; its path is free again. */
  abandon(): void;
}

/**
 * Receives a base backup. Calls come one after another. Files of known size do not interleave;
 * growing ones do, with each other and with the others. A path is that of one file: who sends a
 * file anew removes or abandons it first.
 */
export interface FileSink {
  directory(meta: DirectoryMeta): void;
  beginFile(meta: FileMeta): void;
  /** The bytes may be a view that is overwritten after the call: the sink copies what it keeps. */
  write(bytes: Uint8Array): undefined | Promise<void>;
  /**
   * Instead of `beginFile`, where `keep` will be called: the pages of the previous backup are not
   * compared but taken on trust.
   */
  beginIncrement(meta: FileMeta): void;
  /**
   * Instead of `write`: the next bytes are those that the previous backup has at the same place of
   * the file, zero where it has none. Whole pages, or up to the end of the file.
   */
  keep(sizeBytes: number): undefined | Promise<void>;
  /** @throws bug when the bytes written and kept do not sum to `sizeBytes` */
  endFile(): void;
  /** At most 16 are open at once. */
  beginGrowing(meta: GrowingFileMeta): GrowingFile;
  /**
   * Of a growing file that has ended; one that has the new path already is replaced. False when
   * there is none of that path, and nothing happens. @throws bug when what either path names is not
   * such a file
   */
  renameFile(path: string, newPath: string): boolean;
  /** Of the same; false when there is none of that path. @throws bug as `renameFile` */
  removeFile(path: string): boolean;
}
