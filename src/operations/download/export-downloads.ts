// The files of a logical backup as they are downloaded: the pieces of each, one after another.
import type { LogicalFile } from '../../engines/engine.ts';
import type { Backup } from '../../model/backup.ts';
import type { Span } from '../../platform/raw-zstd.ts';
import type { FilePiece, RepositoryReader } from '../../repository/repository.ts';
import type { Download } from './open-download.ts';

export function exportDownloads(
  { id }: Pick<Backup, 'id'>,
  reader: Pick<RepositoryReader, 'stream'>,
  files: readonly LogicalFile[],
): readonly Download[] {
  const names = planFileNames(files.map(({ fileName }) => fileName));
  return files.map((file, index) => ({
    fileName: names[index] ?? '',
    databaseName: file.databaseName,
    mediaType: 'application/octet-stream',
    sizeBytes: file.sizeBytes,
    tag: `${id}-${index}-${file.sizeBytes}`,
    read: (span, signal) => reader.stream(planPieces(file, span), signal),
  }));
}

/** Names for any file system and header; what becomes equal by that gets a number. */
export function planFileNames(wanted: readonly string[]): readonly string[] {
  const taken = new Set<string>();
  return wanted.map((name) => {
    const plain = name.replaceAll(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_');
    const [, stem = '', suffix = ''] = /^(.*?)(\.[^.]*)?$/.exec(plain) ?? [];
    let free = plain;
    for (let number = 2; taken.has(free); number++) free = `${stem}-${number}${suffix}`;
    taken.add(free);
    return free;
  });
}

export function planPieces({ parts }: Pick<LogicalFile, 'parts'>, span: Span): FilePiece[] {
  const pieces: FilePiece[] = [];
  let at = 0;
  for (const { path, sizeBytes } of parts) {
    const startBytes = Math.max(0, span.startBytes - at);
    const endBytes = Math.min(sizeBytes, span.endBytes - at);
    if (startBytes < endBytes) pieces.push({ path, startBytes, endBytes });
    at += sizeBytes;
  }
  return pieces;
}
