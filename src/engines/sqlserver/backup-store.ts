// From the exchange into the repository, and from the previous backup into this one.
import { CairnError } from '../../model/errors.ts';
import type { FileMeta, FileSink } from '../engine.ts';
import type { TakenSet } from './backup-set.ts';

export const databasesFolder = 'databases';

/** That of the pages of a database; a backup that is not compressed holds them as they are. */
const pageSizeBytes = 8192;
const fileMode = 0o600;
/** So many bytes are kept at a time: a multiple of every page size. */
const keepStepBytes = 1024 ** 3;

export type StoreTarget = {
  readonly sink: FileSink;
  readonly signal: AbortSignal;
  /** From 0 to 1. */
  readonly onStored: (fraction: number) => void;
};

/** @returns the paths, one for each stripe. @throws storage-unavailable; what the sink throws */
export async function storeSet(
  { files }: Pick<TakenSet, 'files'>,
  pathOf: (stripe: number) => string,
  { sink, signal, onStored }: StoreTarget,
): Promise<readonly string[]> {
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const paths = files.map((_, stripe) => pathOf(stripe));
  let doneBytes = 0;
  for (const [stripe, { sizeBytes, modifiedAt, read }] of files.entries()) {
    const path = paths[stripe] ?? '';
    sink.beginFile({ path, mode: fileMode, modifiedAt, sizeBytes, pageSizeBytes });
    for await (const bytes of read(0, signal)) {
      await sink.write(bytes);
      doneBytes += bytes.byteLength;
      onStored(doneBytes / totalBytes);
    }
    sink.endFile();
  }
  return paths;
}

/** Files of the previous backup, under their paths, without being read. */
export async function keepFiles(
  files: readonly FileMeta[],
  { sink, signal }: Pick<StoreTarget, 'sink' | 'signal'>,
): Promise<void> {
  for (const file of files) {
    sink.beginIncrement(file);
    for (let at = 0; at < file.sizeBytes; at += keepStepBytes) {
      signal.throwIfAborted();
      await sink.keep(Math.min(keepStepBytes, file.sizeBytes - at));
    }
    sink.endFile();
  }
}

/** Null: one of them is not there any more. */
export function findFiles(
  paths: readonly string[],
  find: (path: string) => FileMeta | null,
): readonly FileMeta[] | null {
  const files = paths.map(find).filter((file) => file !== null);
  return files.length === paths.length ? files : null;
}

/** @throws bug: a backup of nothing is none */
export function lastPath(paths: readonly string[]): string {
  const last = paths.at(-1);
  if (last === undefined) throw new CairnError('bug', 'a backup without a file');
  return last;
}
