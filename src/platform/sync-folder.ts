import { open } from 'node:fs/promises';

/** Makes the names in a folder durable: the fsync of a file does not cover the name it has. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}
