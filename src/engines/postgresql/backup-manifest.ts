// PostgreSQL's own `backup_manifest` (PostgreSQL documentation, chapter "Backup Manifest Format"):
// what files the server sent, how long they are and what WAL they need, closed by a SHA-256 over
// all lines before the last. The server writes one file a line; lines of files are parsed one by
// one and the rest as one JSON value, so that a manifest of a million files never becomes one
// string.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import { crc32c } from './crc32c.ts';

export type ManifestFile = { readonly path: string; readonly sizeBytes: number };

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
  for (const line of readLines(bytes)) {
    if (line.startsWith('{ "Path"') || line.startsWith('{ "Encoded-Path"')) {
      files.push(readFile(parseJson(line.replace(/,$/, ''))));
    } else envelope.push(line);
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
 * The manifest after one file's content was replaced: its size, its checksum and the manifest's own
 * checksum.
 * @throws repository-damaged when the manifest does not fit the old content
 */
export function replaceInManifest(
  manifest: Buffer,
  path: string,
  content: { readonly old: Buffer; readonly new: Buffer },
): Buffer {
  const { bodyBytes } = splitChecksum(manifest);
  const marker = manifest.indexOf(`{ "Path": ${JSON.stringify(path)},`);
  const end = manifest.indexOf(newline, marker);
  if (marker < 0 || end < 0) throw damaged(path);
  const line = manifest.toString('utf8', marker, end);
  const replaced = line
    .replace(/"Size": \d+/, `"Size": ${content.new.length}`)
    .replace(/"Checksum": "([0-9a-f]*)"/i, (_, checksum: string) => {
      const encode = crcEncoder(checksum.toLowerCase(), content.old, path);
      return `"Checksum": "${encode(content.new)}"`;
    });
  const body = Buffer.concat([
    manifest.subarray(0, marker),
    Buffer.from(replaced, 'utf8'),
    manifest.subarray(end, bodyBytes),
  ]);
  return Buffer.concat([body, Buffer.from(`"Manifest-Checksum": "${sha256(body)}"}\n`)]);
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

function* readLines(bytes: Buffer): Generator<string> {
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(newline, at);
    const end = found < 0 ? bytes.length : found;
    yield bytes.toString('utf8', at, end);
    at = end + 1;
  }
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
