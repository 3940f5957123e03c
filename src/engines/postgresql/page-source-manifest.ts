// Writes the `backup_manifest` that the server's own base backup would have sent (PostgreSQL
// documentation, chapter "Backup Manifest Format"), without checksums of files: the pages were
// checked when they were read, and the repository has a digest of each.
import { createHash } from 'node:crypto';
import { formatLsn } from '../../model/log-position.ts';
import type { PostgresLogPosition } from './log-position.ts';
import type { SentFile } from './page-source-send.ts';

export type ManifestFacts = {
  readonly major: number;
  readonly systemIdentifier: string;
  readonly start: PostgresLogPosition;
  readonly stop: PostgresLogPosition;
};

const identifiedSince = 17;

/** `pg_verifybackup` accepts it, and so does a server of 17 or later as base of an increment. */
export function buildManifest(files: readonly SentFile[], facts: ManifestFacts): Buffer {
  const isIdentified = facts.major >= identifiedSince;
  const head = [`{ "PostgreSQL-Backup-Manifest-Version": ${isIdentified ? 2 : 1},\n`];
  if (isIdentified) head.push(`"System-Identifier": ${facts.systemIdentifier},\n`);
  const lines = files.filter(({ path }) => !path.startsWith('pg_wal/')).map(fileLine);
  const { timeline } = facts.stop;
  const [start, end] = [formatLsn(facts.start.lsn), formatLsn(facts.stop.lsn)];
  const tail = [
    '\n],\n"WAL-Ranges": [\n',
    `{ "Timeline": ${timeline}, "Start-LSN": "${start}", "End-LSN": "${end}" }\n],\n`,
  ];
  const body = joinPieces([...head, '"Files": [\n', ...joined(lines), ...tail]);
  const checksum = createHash('sha256').update(body).digest('hex');
  return Buffer.concat([body, Buffer.from(`"Manifest-Checksum": "${checksum}"}\n`)]);
}

function fileLine({ path, sizeBytes, modifiedAt }: SentFile): string {
  const time = `${modifiedAt.toISOString().slice(0, 19).replace('T', ' ')} GMT`;
  return `{ "Path": ${JSON.stringify(path)}, "Size": ${sizeBytes}, "Last-Modified": "${time}" }`;
}

/** In pieces: all lines of a million files are longer than a string may be. */
function* joined(lines: readonly string[]): Generator<string> {
  const pieceLines = 10_000;
  for (let at = 0; at < lines.length; at += pieceLines) {
    yield (at === 0 ? '' : ',\n') + lines.slice(at, at + pieceLines).join(',\n');
  }
}

function joinPieces(pieces: Iterable<string>): Buffer {
  return Buffer.concat(Array.from(pieces, (piece) => Buffer.from(piece, 'utf8')));
}
