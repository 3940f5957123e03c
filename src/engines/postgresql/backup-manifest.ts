// PostgreSQL's own `backup_manifest` (PostgreSQL documentation, chapter "Backup Manifest Format"):
// what files the server sent, how long they are and what WAL they need, closed by a SHA-256 over
// all lines before the last. The server writes one file a line; lines of files are parsed one by
// one and the rest as one JSON value, so that a manifest of a million files never becomes one
// string.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import { crc32c } from './crc32c.ts';

export type ManifestFile = { readonly path: string; readonly sizeBytes: number };

/** One file as it stands in the manifest. */
export type ManifestEntry = {
  readonly Path?: string;
  readonly Size?: number;
  readonly 'Checksum-Algorithm'?: string;
  readonly Checksum?: string;
  readonly [field: string]: unknown;
};

/** Where the manifest lies in the backup. */
export const manifestPath = 'backup_manifest';

const newline = 0x0a;

/**
 * Verifies the manifest's own checksum, then hands out its files.
 * @throws engine-refused when it is damaged or of an unknown shape
 */
export function parseBackupManifest(bytes: Buffer): ManifestFile[] {
  const { bodyBytes, checksum } = splitChecksum(bytes);
  if (sha256(bytes.subarray(0, bodyBytes)) !== checksum) {
    throw unreadable('its checksum does not match its content');
  }
  const files: ManifestFile[] = [];
  const envelope: string[] = [];
  for (const { text } of readLines(bytes)) {
    const entry = parseEntry(text);
    if (entry) files.push(readFile(entry));
    else envelope.push(text);
  }
  const value = asRecord(parseJson(envelope.join('\n')));
  const version = value['PostgreSQL-Backup-Manifest-Version'];
  if (version !== 1 && version !== 2) throw unreadable(`its version is ${String(version)}`);
  const rest = value.Files;
  if (!Array.isArray(rest)) throw unreadable('it lists no files');
  for (const file of rest) files.push(readFile(file));
  return files;
}

/**
 * The manifest with other entries in the place of some: those for which `edit` answers not the
 * entry that it got. @throws engine-refused when the manifest has no checksum line
 */
export function editManifest(
  manifest: Buffer,
  edit: (entry: ManifestEntry) => ManifestEntry,
): Buffer {
  const { bodyBytes } = splitChecksum(manifest);
  const pieces: Buffer[] = [];
  let doneBytes = 0;
  for (const { text, start, end } of readLines(manifest.subarray(0, bodyBytes))) {
    const entry = parseEntry(text);
    const edited = entry === null ? null : edit(entry);
    if (edited === entry || edited === null) continue;
    const comma = text.endsWith(',') ? ',' : '';
    const line = Buffer.from(`${formatEntry(edited)}${comma}`, 'utf8');
    pieces.push(manifest.subarray(doneBytes, start), line);
    doneBytes = end;
  }
  pieces.push(manifest.subarray(doneBytes, bodyBytes));
  const sum = createHash('sha256');
  for (const piece of pieces) sum.update(piece);
  const closing = Buffer.from(`"Manifest-Checksum": "${sum.digest('hex')}"}\n`);
  return Buffer.concat([...pieces, closing]);
}

/**
 * The entry after the content of its file was replaced. @throws repository-damaged when it does not
 * fit the old content
 */
export function replaceContent(
  entry: ManifestEntry,
  content: { readonly old: Buffer; readonly new: Buffer },
): ManifestEntry {
  const { Checksum, Path = '' } = entry;
  if (Checksum === undefined) return { ...entry, Size: content.new.length };
  const encode = crcEncoder(Checksum.toLowerCase(), content.old, Path);
  return { ...entry, Size: content.new.length, Checksum: encode(content.new) };
}

/**
 * The manifest after one file's content was replaced.
 * @throws repository-damaged when the manifest does not fit the old content
 */
export function replaceInManifest(
  manifest: Buffer,
  path: string,
  content: { readonly old: Buffer; readonly new: Buffer },
): Buffer {
  let isFound = false;
  const edited = editManifest(manifest, (entry) => {
    if (entry.Path !== path) return entry;
    isFound = true;
    return replaceContent(entry, content);
  });
  if (!isFound) throw damaged(path);
  return edited;
}

/** The entries of a manifest that is read in pieces; its checksum is not looked at. */
export async function* readEntries(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<ManifestEntry> {
  let rest: Uint8Array = Buffer.alloc(0);
  for await (const piece of pieces) {
    const bytes = Buffer.concat([rest, piece]);
    const wholeBytes = bytes.lastIndexOf(newline) + 1;
    for (const { text } of readLines(bytes.subarray(0, wholeBytes))) {
      const entry = parseEntry(text);
      if (entry) yield entry;
    }
    rest = bytes.subarray(wholeBytes);
  }
}

/**
 * The server prints the four bytes as they lie in its memory, so its byte order is found from the
 * old ones.
 */
function crcEncoder(checksum: string, old: Buffer, path: string): (bytes: Buffer) => string {
  const bytes = Buffer.alloc(4);
  const little = (content: Buffer): string => {
    bytes.writeUInt32LE(crc32c(content));
    return bytes.toString('hex');
  };
  const big = (content: Buffer): string => {
    bytes.writeUInt32BE(crc32c(content));
    return bytes.toString('hex');
  };
  if (little(old) === checksum) return little;
  if (big(old) === checksum) return big;
  throw damaged(path);
}

/** The last line holds the checksum of everything before it. */
function splitChecksum(bytes: Buffer): { bodyBytes: number; checksum: string } {
  const bodyBytes = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
  const last = bytes.toString('utf8', bodyBytes);
  const match = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\n$/i.exec(last);
  if (!match?.[1]) throw unreadable('its last line is no checksum');
  return { bodyBytes, checksum: match[1].toLowerCase() };
}

function* readLines(bytes: Buffer): Generator<{ text: string; start: number; end: number }> {
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(newline, start);
    const end = found < 0 ? bytes.length : found;
    yield { text: bytes.toString('utf8', start, end), start, end };
    start = end + 1;
  }
}

/** Null for a line that is not of a file, as the server writes them. */
function parseEntry(line: string): ManifestEntry | null {
  if (!line.startsWith('{ "Path"') && !line.startsWith('{ "Encoded-Path"')) return null;
  return asRecord(parseJson(line.replace(/,$/, '')));
}

function formatEntry(entry: ManifestEntry): string {
  const fields = Object.entries(entry).map(([name, value]) => {
    return `${JSON.stringify(name)}: ${JSON.stringify(value)}`;
  });
  return `{ ${fields.join(', ')} }`;
}

function readFile(value: unknown): ManifestFile {
  const record = asRecord(value);
  const encoded = record['Encoded-Path'];
  const path =
    typeof encoded === 'string' ? Buffer.from(encoded, 'hex').toString('utf8') : record.Path;
  const sizeBytes = record.Size;
  if (typeof path !== 'string' || typeof sizeBytes !== 'number') {
    throw unreadable('a file of it has no path or size');
  }
  return { path, sizeBytes };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable('it is not JSON', cause);
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw unreadable('a part of it is no object');
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function unreadable(why: string, cause?: unknown): CairnError {
  return new CairnError('engine-refused', `the server's backup manifest cannot be used: ${why}`, {
    cause,
  });
}

function damaged(path: string): CairnError {
  return new CairnError('repository-damaged', `backup_manifest does not fit the file ${path}`);
}
