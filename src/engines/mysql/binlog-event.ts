// Events of binary logs, byte by byte. Pure: nothing here reads a server or a file.
//
// A file begins with four magic bytes; events follow without a gap, the first of which describes
// the format of all others. An event has a header of 19 bytes (time, type, server, size, place of
// its end, flags; all little-endian), a body by its type, and mostly a CRC-32 of all before it.
// Layouts: MySQL documentation, "Replication Protocol", "Binary Log Event"; MariaDB documentation,
// "Replication Protocol", pages of the single events.
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';

/** What a file begins with. */
export const binlogMagic: Uint8Array = Uint8Array.of(0xfe, 0x62, 0x69, 0x6e);

export const eventTypes = {
  query: 2,
  stop: 3,
  rotate: 4,
  formatDescription: 15,
  xid: 16,
  executeLoadQuery: 18,
  tableMap: 19,
  incident: 26,
  heartbeat: 27,
  rowsQuery: 29,
  gtid: 33,
  anonymousGtid: 34,
  previousGtids: 35,
  xaPrepare: 38,
  transactionPayload: 40,
  heartbeat2: 41,
  taggedGtid: 42,
  mariadbAnnotateRows: 160,
  mariadbBinlogCheckpoint: 161,
  mariadbGtid: 162,
  mariadbGtidList: 163,
  mariadbStartEncryption: 164,
  mariadbQueryCompressed: 165,
} as const;

/** Bits of a header's flags. */
export const eventFlags = {
  /** The server is writing the file, or has died while it did; not part of the checksum. */
  inUse: 0x01,
  /** Made up for whoever reads the log: in no file. */
  artificial: 0x20,
} as const;

export type EventHeader = {
  /** When the statement began, by the server's clock: whole seconds. */
  readonly atSeconds: number;
  readonly type: number;
  readonly serverId: number;
  /** Of the whole event. */
  readonly sizeBytes: number;
  /** Where it ends in its file: the lower 32 bits; 0 for those that are in no file. */
  readonly endOffset: number;
  readonly flags: number;
};

export type BinlogEvent = {
  readonly header: EventHeader;
  /** All of it; a view. */
  readonly bytes: Uint8Array;
  /** Without header and checksum; a view. */
  readonly body: Uint8Array;
};

/** What events of a file end with. */
export type EventChecksum = 'crc32' | 'none';

export const headerBytes = 19;
const checksumBytes = 4;
const flagsOffset = 17;

/** Also of an event of which no more than the header is there. */
export function readHeader(bytes: Uint8Array): EventHeader {
  const view = viewOf(bytes);
  return {
    atSeconds: view.getUint32(0, true),
    type: view.getUint8(4),
    serverId: view.getUint32(5, true),
    sizeBytes: view.getUint32(9, true),
    endOffset: view.getUint32(13, true),
    flags: view.getUint16(flagsOffset, true),
  };
}

/**
 * One whole event, checked. A format description always has a checksum, whatever it says of others.
 * @throws engine-refused when it is none, or its checksum differs
 */
export function parseEvent(bytes: Uint8Array, checksum: EventChecksum): BinlogEvent {
  if (bytes.length < headerBytes) throw damaged(`an event of ${bytes.length} bytes`);
  const header = readHeader(bytes);
  if (header.sizeBytes !== bytes.length) {
    throw damaged(`${bytes.length} bytes of an event of ${header.sizeBytes}`);
  }
  const isChecked = checksum === 'crc32' || header.type === eventTypes.formatDescription;
  if (!isChecked) return { header, bytes, body: bytes.subarray(headerBytes) };
  const endBytes = bytes.length - checksumBytes;
  if (endBytes < headerBytes || !hasChecksum(bytes)) {
    throw damaged(`an event (type ${header.type}) whose checksum is wrong`);
  }
  return { header, bytes, body: bytes.subarray(headerBytes, endBytes) };
}

/** Whether its last four bytes are the checksum of the others. */
export function hasChecksum(bytes: Uint8Array): boolean {
  const endBytes = bytes.length - checksumBytes;
  if (endBytes < headerBytes) return false;
  return checksumOf(bytes.subarray(0, endBytes)) === viewOf(bytes).getUint32(endBytes, true);
}

/** It is made before the flag of a file that is being written is set. */
function checksumOf(bytes: Uint8Array): number {
  const flags = bytes[flagsOffset] ?? 0;
  const isFormat = bytes[4] === eventTypes.formatDescription;
  if (!isFormat || (flags & eventFlags.inUse) === 0) return crc32(bytes);
  const head = Uint8Array.from(bytes.subarray(0, headerBytes));
  head[flagsOffset] = flags & ~eventFlags.inUse;
  return crc32(bytes.subarray(headerBytes), crc32(head));
}

export type FormatDescription = {
  readonly binlogVersion: number;
  /** As the server says it: `10.11.19-MariaDB-log`. */
  readonly serverVersion: string;
  readonly checksum: EventChecksum;
};

/** @throws engine-refused for servers before MySQL 5.6 and MariaDB 5.3 */
export function parseFormatDescription({ body }: BinlogEvent): FormatDescription {
  const version = body.length > 57 ? viewOf(body).getUint16(0, true) : 0;
  const [headerLength, algorithm] = [body[56], body.at(-1)];
  if (version !== 4 || headerLength !== headerBytes) {
    throw damaged(`a format (version ${version}) that is not known`);
  }
  if (algorithm !== 0 && algorithm !== 1) throw damaged(`checksums of kind ${algorithm}`);
  return {
    binlogVersion: version,
    serverVersion: textOf(body.subarray(2, 52)).replace(/\0.*$/s, ''),
    checksum: algorithm === 1 ? 'crc32' : 'none',
  };
}

export type Rotation = { readonly file: string; readonly offsetBytes: number };

/** Names the file that follows; an artificial one the file that is sent from now on. */
export function parseRotate({ body }: BinlogEvent): Rotation {
  requireBytes(body, 9, 'rotate');
  const offsetBytes = Number(viewOf(body).getBigUint64(0, true));
  return { file: textOf(body.subarray(8)), offsetBytes };
}

/** Those of whoever sends the log follow the connection's checksums, not the file's. */
export function parseArtificial(bytes: Uint8Array): BinlogEvent {
  return parseEvent(bytes, hasChecksum(bytes) ? 'crc32' : 'none');
}

export type QueryEvent = {
  /** The database that it ran in; empty for none. */
  readonly schema: string;
  readonly statement: string;
};

/** Of `LOAD DATA` the number of its temporary file, and where the statement names it, follow. */
const queryFixedBytes = 13;
const loadQueryFixedBytes = queryFixedBytes + 13;

/** A statement: DDL, `BEGIN`, `COMMIT`, … Of MariaDB's compressed ones only the schema. */
export function parseQuery({ header, body }: BinlogEvent): QueryEvent {
  const isLoad = header.type === eventTypes.executeLoadQuery;
  const fixedBytes = isLoad ? loadQueryFixedBytes : queryFixedBytes;
  requireBytes(body, fixedBytes + 1, 'query');
  const view = viewOf(body);
  const schemaStart = fixedBytes + view.getUint16(11, true);
  const schemaEnd = schemaStart + view.getUint8(8);
  requireBytes(body, schemaEnd + 1, 'query');
  return {
    schema: textOf(body.subarray(schemaStart, schemaEnd)),
    statement: textOf(body.subarray(schemaEnd + 1)),
  };
}

export type TableName = { readonly database: string; readonly table: string };

/** Before rows: u48 id and u16 flags, then both names, each behind its length and before a 0. */
export function parseTableMap({ body }: BinlogEvent): TableName {
  requireBytes(body, 9, 'table map');
  const databaseEnd = 9 + (body[8] ?? 0);
  requireBytes(body, databaseEnd + 2, 'table map');
  const tableStart = databaseEnd + 2;
  const tableEnd = tableStart + (body[databaseEnd + 1] ?? 0);
  requireBytes(body, tableEnd + 1, 'table map');
  return {
    database: textOf(body.subarray(9, databaseEnd)),
    table: textOf(body.subarray(tableStart, tableEnd)),
  };
}

/** The statement that the rows behind it came from. */
export function parseAnnotateRows({ body }: BinlogEvent): string {
  return textOf(body);
}

/** The same of MySQL (`binlog_rows_query_log_events`): a length that nobody needs comes first. */
export function parseRowsQuery({ body }: BinlogEvent): string {
  requireBytes(body, 1, 'rows query');
  return textOf(body.subarray(1));
}

/** The end of a transaction: its number within the storage engine. */
export function parseXid({ body }: BinlogEvent): bigint {
  requireBytes(body, 8, 'xid');
  return viewOf(body).getBigUint64(0, true);
}

/** MariaDB: the oldest file that a crash recovery of the server would still read. */
export function parseBinlogCheckpoint({ body }: BinlogEvent): string {
  requireBytes(body, 5, 'binlog checkpoint');
  return textOf(body.subarray(4, 4 + viewOf(body).getUint32(0, true)));
}

export function requireBytes(body: Uint8Array, countMin: number, what: string): void {
  if (body.length < countMin) throw damaged(`a ${what} event with ${body.length} bytes`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function damaged(what: string): CairnError {
  return new CairnError('engine-refused', `the binary log contains ${what}`, {
    hint: 'check the disk of the server, and that the connection leads to the server itself',
  });
}
