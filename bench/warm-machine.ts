// What every tool must find the same, whoever of them comes first.
import { createReadStream } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

const pieceBytes = 8 * 1024 * 1024;

/**
 * Memory that a virtual machine has not used for a while costs its first user as much time as the
 * whole step, and files that are read for the first time come from the disk: both are used before.
 */
export async function warmMachine({
  home,
  sizeBytes,
  filesDir,
}: {
  readonly home: string;
  readonly sizeBytes: number;
  readonly filesDir: string;
}): Promise<void> {
  const path = join(home, 'warm');
  const file = await open(path, 'w');
  const piece = Buffer.alloc(pieceBytes, 1);
  for (let left = 1.5 * sizeBytes; left > 0; left -= pieceBytes) await file.write(piece);
  await file.close();
  await rm(path);
  for (const entry of await readdir(filesDir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const source = createReadStream(join(entry.parentPath, entry.name), {
      highWaterMark: pieceBytes,
    });
    for await (const _ of source);
  }
}
