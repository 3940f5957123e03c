import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Random } from './random.ts';
import { syncFolder } from './sync-folder.ts';

const fileMode = 0o600;

/** Null when there is no such file. */
export async function readFileIfPresent(path: string): Promise<string | null> {
  return await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

/** Writes a file that only its owner may read, whole or not at all, durable when it answers. */
export async function writePrivateFile(path: string, text: string, random: Random): Promise<void> {
  const temporary = await writeTemporary(path, text, random);
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** The same, unless the file exists; answers the text that counts. */
export async function ensurePrivateFile(
  path: string,
  text: string,
  random: Random,
): Promise<string> {
  const temporary = await writeTemporary(path, text, random);
  try {
    await link(temporary, path);
    await syncFolder(dirname(path));
    return text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return await readFile(path, 'utf8');
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeTemporary(path: string, text: string, random: Random): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = join(dirname(path), `.${random.hex(8)}.tmp`);
  await using handle = await open(temporary, 'wx', fileMode);
  await handle.writeFile(text);
  await handle.sync();
  return temporary;
}
