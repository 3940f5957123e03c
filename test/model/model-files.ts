// The data folder of one instance, as a map in memory, and the ways in which it changes. Buffers
// are never changed in place: backups keep them as what a restore must give back.
import type { changes } from './operations.ts';
import type { Seeded } from './seeded.ts';

export type ModelFile = { readonly bytes: Buffer; readonly pageBytes: number };
export type ModelFolder = Map<string, ModelFile>;

const pageSizes = [512, 1024, 8192, 16384] as const;
const filesMax = 10;
const pagesMax = 40;
/** With pages of 512 bytes: a part of a file map has 8192 pages, so this file has two. */
const bigFile = { path: 'big', pageBytes: 512, pages: 8192 } as const;

type Change = (typeof changes)[number];

export function changeFolder(folder: ModelFolder, change: Change, seeded: Seeded): void {
  if (folder.size === 0 || change === 'create') return createFile(folder, seeded);
  const path = seeded.pick([...folder.keys()]);
  const file = folder.get(path);
  if (!file) return;
  if (change === 'remove') folder.delete(path);
  else folder.set(path, changeFile(file, change, seeded));
}

function changeFile(file: ModelFile, change: Exclude<Change, 'create' | 'remove'>, seeded: Seeded) {
  const { bytes, pageBytes } = file;
  switch (change) {
    case 'write':
      return { pageBytes, bytes: rewrite(file, (page) => fillPage(page, seeded), seeded) };
    case 'zero':
      return { pageBytes, bytes: rewrite(file, (page) => page.fill(0), seeded) };
    case 'grow': {
      const more = Buffer.alloc(pageBytes * (1 + seeded.below(8)));
      if (!seeded.isOneIn(3)) fillPages(more, pageBytes, seeded);
      return { pageBytes, bytes: Buffer.concat([bytes, more]) };
    }
    case 'truncate': {
      const pages = seeded.below(Math.floor(bytes.byteLength / pageBytes) + 1);
      return { pageBytes, bytes: bytes.subarray(0, pages * pageBytes) };
    }
    case 'tail': {
      const tail = Buffer.alloc(1 + seeded.below(pageBytes - 1));
      fillPage(tail, seeded);
      const whole = bytes.byteLength - (bytes.byteLength % pageBytes);
      return { pageBytes, bytes: Buffer.concat([bytes.subarray(0, whole), tail]) };
    }
    case 'resize':
      return { bytes, pageBytes: seeded.pick(pageSizes) };
  }
}

function createFile(folder: ModelFolder, seeded: Seeded): void {
  if (seeded.isOneIn(12) && !folder.has(bigFile.path)) {
    const { path, pageBytes, pages } = bigFile;
    const bytes = Buffer.alloc((pages + 1 + seeded.below(300)) * pageBytes);
    fillPages(bytes.subarray(seeded.below(pages) * pageBytes), pageBytes, seeded);
    folder.set(path, { bytes, pageBytes });
    return;
  }
  if (folder.size >= filesMax) folder.delete(seeded.pick([...folder.keys()]));
  const pageBytes = seeded.pick(pageSizes);
  const bytes = Buffer.alloc(seeded.below(pagesMax) * pageBytes);
  fillPages(bytes, pageBytes, seeded);
  // Few names: a file that comes back under its old name meets what the last backup had there.
  folder.set(`base/${seeded.below(filesMax * 2)}`, { bytes, pageBytes });
}

/** A copy in which one to some of the pages are changed. */
function rewrite(
  { bytes, pageBytes }: ModelFile,
  change: (page: Buffer) => void,
  seeded: Seeded,
): Buffer {
  const copy = Buffer.from(bytes);
  const pages = Math.ceil(bytes.byteLength / pageBytes);
  if (pages === 0) return copy;
  const count = 1 + seeded.below(Math.min(pages, 12));
  for (let i = 0; i < count; i++) {
    const at = seeded.below(pages) * pageBytes;
    change(copy.subarray(at, at + pageBytes));
  }
  return copy;
}

function fillPages(bytes: Buffer, pageBytes: number, seeded: Seeded): void {
  for (let at = 0; at < bytes.byteLength; at += pageBytes) {
    fillPage(bytes.subarray(at, at + pageBytes), seeded);
  }
}

/** No two pages are equal, but for a few. */
function fillPage(page: Buffer, seeded: Seeded): void {
  const mark = Buffer.alloc(8);
  if (seeded.isOneIn(10)) mark.writeUInt32LE(1 + seeded.below(3));
  else {
    mark.writeUInt32LE(seeded.below(2 ** 32));
    mark.writeUInt32LE(seeded.below(2 ** 32), 4);
  }
  page.fill(mark);
}
