import { createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { EngineDriver, LogicalFile } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { RepositoryReader } from '../../repository/repository.ts';
import { planFileNames, planPieces } from '../download/export-downloads.ts';

export type ExportRequest = {
  /** Absolute; new or empty. */
  readonly targetDir: string;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
};

/**
 * Writes the exports of a logical backup as files; answers what to type to import them by hand.
 * @throws invalid when the folder is not empty, repository-damaged
 */
export async function exportToFolder(
  reader: Pick<RepositoryReader, 'stream'>,
  files: readonly LogicalFile[],
  driver: Pick<EngineDriver, 'importCommands'>,
  { targetDir, onProgress, signal }: ExportRequest,
): Promise<readonly string[]> {
  await mkdir(targetDir, { recursive: true, mode: 0o700 });
  if ((await readdir(targetDir)).length > 0) {
    throw new CairnError('invalid', `${targetDir} is not empty`, {
      hint: 'name a new or an empty folder',
    });
  }
  const names = planFileNames(files.map(({ fileName }) => fileName));
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const commands: string[] = [];
  let doneBytes = 0;
  for (const [index, file] of files.entries()) {
    const path = join(targetDir, names[index] ?? '');
    const pieces = planPieces(file, { startBytes: 0, endBytes: file.sizeBytes });
    await pipeline(
      reader.stream(pieces, signal),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const bytes of chunks) {
          doneBytes += bytes.byteLength;
          onProgress(doneBytes, totalBytes);
          yield bytes;
        }
      },
      createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true }),
      { signal },
    );
    commands.push(...driver.importCommands(file, path));
  }
  return commands;
}
