// The events of a binary log that tell which transactions it holds: one before each transaction,
// and one at the head of each file with all that lie before it. Pure.
import type { Gtid, GtidSet, MariadbGtid } from '../../model/gtid-set.ts';
import { advanceGtidSet, emptyGtidSet, parseGtidSet } from '../../model/gtid-set.ts';
import type { BinlogEvent } from './binlog-event.ts';
import { eventTypes, requireBytes, viewOf } from './binlog-event.ts';

export type TransactionStart = {
  /** Null: it has none (`gtid_mode` is off), or one that is not understood (with a tag). */
  readonly gtid: Gtid | null;
  /** One statement that ends with itself, without a commit: DDL. */
  readonly isStandalone: boolean;
  /** Microseconds since 1970, of MySQL 8: when the commit was written; null: not told. */
  readonly committedAtMicros: bigint | null;
};

/** Bits of the flags of MariaDB's. */
const standaloneFlag = 0x01;
/** Of each interval the end is exclusive. */
const intervalBytes = 16;

/** What a transaction begins with; null for an event of another kind. */
export function parseTransactionStart(event: BinlogEvent): TransactionStart | null {
  switch (event.header.type) {
    case eventTypes.mariadbGtid:
      return parseMariadbStart(event);
    case eventTypes.gtid:
    case eventTypes.anonymousGtid:
      return parseMysqlStart(event);
    case eventTypes.taggedGtid:
      return { gtid: null, isStandalone: false, committedAtMicros: null };
    default:
      return null;
  }
}

/** All that lies before the file; null for an event of another kind, or of an unknown layout. */
export function parseSetBefore(event: BinlogEvent): GtidSet | null {
  switch (event.header.type) {
    case eventTypes.mariadbGtidList:
      return parseGtidList(event);
    case eventTypes.previousGtids:
      return parsePreviousGtids(event);
    default:
      return null;
  }
}

/**
 * The set behind the event, for a set that holds all before it. Null: nobody knows any more. A head
 * of a file tells the whole set anew.
 */
export function advanceByEvent(set: GtidSet | null, event: BinlogEvent): GtidSet | null {
  if (isSetBefore(event)) return parseSetBefore(event);
  const start = parseTransactionStart(event);
  if (!start || !set) return set;
  if (event.header.type === eventTypes.taggedGtid) return null;
  return start.gtid ? advanceGtidSet(set, start.gtid) : set;
}

export function isSetBefore({ header }: BinlogEvent): boolean {
  return header.type === eventTypes.mariadbGtidList || header.type === eventTypes.previousGtids;
}

/** u64 sequence, u32 domain, u8 flags; the server is that of the header. */
function parseMariadbStart({ header, body }: BinlogEvent): TransactionStart {
  requireBytes(body, 13, 'gtid');
  const view = viewOf(body);
  return {
    gtid: {
      dialect: 'mariadb',
      domain: view.getUint32(8, true),
      serverId: header.serverId,
      sequence: view.getBigUint64(0, true),
    },
    isStandalone: (view.getUint8(12) & standaloneFlag) !== 0,
    committedAtMicros: null,
  };
}

/**
 * u8 flags, 16 bytes UUID, u64 number; of 5.7 on u8 kind, two u64 for parallel replay; of 8.0 on
 * u56 microseconds, whose highest bit says that those of the original server follow.
 */
function parseMysqlStart({ header, body }: BinlogEvent): TransactionStart {
  requireBytes(body, 25, 'gtid');
  const view = viewOf(body);
  const isAnonymous = header.type === eventTypes.anonymousGtid;
  const micros = body.length >= 49 ? readMicros(view, 42) : null;
  return {
    gtid: isAnonymous
      ? null
      : { dialect: 'mysql', source: uuidOf(body, 1), sequence: view.getBigUint64(17, true) },
    isStandalone: false,
    committedAtMicros: micros,
  };
}

function readMicros(view: DataView, at: number): bigint {
  const low = BigInt(view.getUint32(at, true));
  const middle = BigInt(view.getUint16(at + 4, true));
  const high = BigInt(view.getUint8(at + 6) & 0x7f);
  return low | (middle << 32n) | (high << 48n);
}

/** u32 count (its upper four bits are flags); each: u32 domain, u32 server, u64 sequence. */
function parseGtidList({ body }: BinlogEvent): GtidSet {
  requireBytes(body, 4, 'gtid list');
  const view = viewOf(body);
  const count = view.getUint32(0, true) & 0x0fff_ffff;
  requireBytes(body, 4 + count * 16, 'gtid list');
  let set = emptyGtidSet('mariadb');
  // Of several of one domain the newest comes last.
  for (let at = 4; at < 4 + count * 16; at += 16) {
    const gtid: MariadbGtid = {
      dialect: 'mariadb',
      domain: view.getUint32(at, true),
      serverId: view.getUint32(at + 4, true),
      sequence: view.getBigUint64(at + 8, true),
    };
    set = advanceGtidSet(set, gtid);
  }
  return set;
}

/** u64 count of sources; each: 16 bytes UUID, u64 count of intervals, which are two u64. */
function parsePreviousGtids({ body }: BinlogEvent): GtidSet | null {
  requireBytes(body, 8, 'previous gtids');
  const view = viewOf(body);
  const count = view.getBigUint64(0, true);
  // Servers that know tags write another layout, with its number in the highest byte.
  if (count > 0xffff_ffffn) return null;
  const parts: string[] = [];
  let at = 8;
  for (let index = 0n; index < count; index++) {
    requireBytes(body, at + 24, 'previous gtids');
    const intervals = Number(view.getBigUint64(at + 16, true));
    requireBytes(body, at + 24 + intervals * intervalBytes, 'previous gtids');
    const uuid = uuidOf(body, at);
    at += 24;
    for (const end = at + intervals * intervalBytes; at < end; at += intervalBytes) {
      const [first, behind] = [view.getBigUint64(at, true), view.getBigUint64(at + 8, true)];
      parts.push(`${uuid}:${first}-${behind - 1n}`);
    }
  }
  return parseGtidSet(parts.join(','), 'mysql');
}

function uuidOf(bytes: Uint8Array, at: number): string {
  const hex = Buffer.from(bytes.subarray(at, at + 16)).toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20)].join('-');
}
