// Heads of tar entries (POSIX.1-2017, `pax`, sections "ustar Interchange Format" and "pax
// Interchange Format"): plain ustar where it suffices, records of pax before it where a name is
// long or not ASCII, or a file of 8 GiB or more. The same entry always gives the same bytes.
export type TarEntry = {
  readonly type: 'file' | 'directory' | 'symlink';
  /** Without a final `/`. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAt: Date;
  /** 0 unless it is a file. */
  readonly sizeBytes: number;
  /** Of a symlink, else empty. */
  readonly target: string;
  /** Name of user and group; the numbers are 0. */
  readonly owner: string;
};

export const tarBlockBytes = 512;
/** Two blocks of zeros end an archive. */
export const tarEndBytes = 2 * tarBlockBytes;

const nameBytesMax = 100;
const sizeBytesMax = 8 ** 11 - 1;
const typeFlags = { file: '0', symlink: '2', directory: '5' } as const;

/** The length of `encodeTarHeader`, without making it where that can be told from the lengths. */
export function tarHeaderLength(entry: TarEntry): number {
  return fitsUstar(entry) ? tarBlockBytes : encodeTarHeader(entry).byteLength;
}

/** Zeros after a file, up to the next block. */
export function tarPaddingLength(sizeBytes: number): number {
  return (tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes;
}

export function encodeTarHeader(entry: TarEntry): Buffer {
  const head = encodeUstar(entry, typeFlags[entry.type]);
  if (fitsUstar(entry)) return head;
  const records = Buffer.concat(paxRecords(entry));
  const paxEntry: TarEntry = {
    ...{ ...entry, type: 'file', target: '', mode: 0o600 },
    path: `PaxHeaders/${entry.path}`,
    sizeBytes: records.byteLength,
  };
  const padding = Buffer.alloc(tarPaddingLength(records.byteLength));
  return Buffer.concat([encodeUstar(paxEntry, 'x'), records, padding, head]);
}

function nameOf({ type, path }: TarEntry): string {
  return type === 'directory' ? `${path}/` : path;
}

function fitsName(name: string): boolean {
  return name.length <= nameBytesMax && isAscii(name);
}

function fitsUstar(entry: TarEntry): boolean {
  return fitsName(nameOf(entry)) && fitsName(entry.target) && entry.sizeBytes <= sizeBytesMax;
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

function paxRecords(entry: TarEntry): Buffer[] {
  const { target, sizeBytes } = entry;
  const name = nameOf(entry);
  return [
    ...(fitsName(name) ? [] : [paxRecord('path', name)]),
    ...(fitsName(target) ? [] : [paxRecord('linkpath', target)]),
    ...(sizeBytes <= sizeBytesMax ? [] : [paxRecord('size', String(sizeBytes))]),
  ];
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, 'utf8');
  let length = rest.byteLength;
  while (length !== rest.byteLength + String(length).length) {
    length = rest.byteLength + String(length).length;
  }
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function encodeUstar(entry: TarEntry, typeFlag: string): Buffer {
  const { mode, sizeBytes, modifiedAt, target, owner } = entry;
  const block = Buffer.alloc(tarBlockBytes);
  // What does not fit stands in the records of pax before; here it is only cut.
  Buffer.from(nameOf(entry)).copy(block, 0, 0, nameBytesMax);
  const seconds = Math.max(0, Math.floor(modifiedAt.getTime() / 1000));
  writeOctal(block, 100, 8, mode & 0o7777);
  writeOctal(block, 108, 8, 0);
  writeOctal(block, 116, 8, 0);
  writeOctal(block, 124, 12, sizeBytes <= sizeBytesMax ? sizeBytes : 0);
  writeOctal(block, 136, 12, Math.min(seconds, sizeBytesMax));
  block.write(typeFlag, 156, 'latin1');
  Buffer.from(target).copy(block, 157, 0, nameBytesMax);
  block.write('ustar\u000000', 257, 'latin1');
  block.write(owner, 265, 31, 'latin1');
  block.write(owner, 297, 31, 'latin1');
  writeOctal(block, 329, 8, 0);
  writeOctal(block, 337, 8, 0);
  // The sum is made with blanks in its own place.
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1');
  return block;
}

function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
}
