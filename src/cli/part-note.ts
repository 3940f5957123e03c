// `FILE.part.state` says of which file `FILE.part` is and how much of it is surely on the disk. It
// is written at its full length before the first byte of the file, and then only overwritten: a
// disk that has run full has room for it. It lies in one sector, so it is old or new, never torn.
import { constants } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';

/** What is kept of a file, and which: `tag` is the server's word for its bytes. */
export type Kept = { readonly tag: string; readonly bytes: number };

const noteBytes = 512;
const nothing: Kept = { tag: '', bytes: 0 };

export function notePathOf(partPath: string): string {
  return `${partPath}.state`;
}

/** Durable when it answers; a tag that is too long is not kept. @throws what the disk says */
export async function writeNote(partPath: string, kept: Kept): Promise<void> {
  const wanted = JSON.stringify(kept);
  const text = Buffer.byteLength(wanted) > noteBytes ? JSON.stringify(nothing) : wanted;
  await using file = await open(notePathOf(partPath), constants.O_RDWR | constants.O_CREAT, 0o600);
  await file.writeFile(text + ' '.repeat(noteBytes - Buffer.byteLength(text)));
  await file.sync();
}

/** What is not surely there counts as absent. */
export async function readKept(partPath: string): Promise<Kept> {
  try {
    const kept: Partial<Kept> = JSON.parse(await readFile(notePathOf(partPath), 'utf8'));
    const { size } = await stat(partPath);
    const { tag, bytes } = kept;
    const isSound = typeof tag === 'string' && tag !== '' && Number.isSafeInteger(bytes);
    return isSound && bytes !== undefined && bytes <= size ? { tag, bytes } : nothing;
  } catch {
    return nothing;
  }
}
