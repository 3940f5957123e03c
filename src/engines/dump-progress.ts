import type { BaseBackupOptions } from './engine.ts';

/** Counts what a dump sends. The size of what is dumped is an estimate: a dump is written anew. */
export function countDumped(
  { onProgress }: Pick<BaseBackupOptions, 'onProgress'>,
  databases: readonly { readonly sizeBytes: number }[],
): (bytes: Uint8Array) => void {
  const totalBytes = databases.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  return ({ byteLength }) => {
    doneBytes += byteLength;
    onProgress(doneBytes, Math.max(totalBytes, doneBytes));
  };
}
