import { CairnError } from './errors.ts';

/** A point in a transaction log. Ordered only within one engine and one branch. */
export type LogPosition =
  | { readonly engine: 'postgresql'; readonly timeline: number; readonly lsn: bigint }
  | {
      readonly engine: 'mysql';
      readonly file: string;
      readonly offsetBytes: number;
      readonly gtidSet: string | null;
    }
  | { readonly engine: 'sqlserver'; readonly lsn: string };

/** Log positions travel as text in JSON (`postgresql:1:0/3000028`). */
export function formatLogPosition(position: LogPosition): string {
  switch (position.engine) {
    case 'postgresql':
      return `postgresql:${position.timeline}:${formatLsn(position.lsn)}`;
    case 'mysql':
      return `mysql:${position.file}:${position.offsetBytes}:${position.gtidSet ?? ''}`;
    case 'sqlserver':
      return `sqlserver:${position.lsn}`;
  }
}

/** The inverse of `formatLogPosition`; null when the text is none. */
export function parseLogPosition(text: string): LogPosition | null {
  const [engine, first = '', second = '', ...rest] = text.split(':');
  if (engine === 'postgresql') {
    const timeline = Number(first);
    const lsn = parseLsn(second);
    return Number.isSafeInteger(timeline) && timeline > 0 && lsn !== null
      ? { engine, timeline, lsn }
      : null;
  }
  if (engine === 'mysql') {
    const offsetBytes = Number(second);
    if (first === '' || !Number.isSafeInteger(offsetBytes)) return null;
    return { engine, file: first, offsetBytes, gtidSet: rest.join(':') || null };
  }
  if (engine === 'sqlserver' && first !== '') return { engine, lsn: first };
  return null;
}

/**
 * Negative when `a` comes first in one stream of log: an older branch before a newer one, whatever
 * the offsets. GTID sets have no order and are left out. @throws bug when the engines differ
 */
export function compareLogPositions(a: LogPosition, b: LogPosition): number {
  if (a.engine === 'postgresql' && b.engine === 'postgresql') {
    return a.timeline - b.timeline || compareValues(a.lsn, b.lsn);
  }
  if (a.engine === 'mysql' && b.engine === 'mysql') {
    // `binlog.1000000` follows `binlog.999999`.
    const byFile = a.file.length - b.file.length || compareValues(a.file, b.file);
    return byFile || a.offsetBytes - b.offsetBytes;
  }
  if (a.engine === 'sqlserver' && b.engine === 'sqlserver') return compareValues(a.lsn, b.lsn);
  throw new CairnError('bug', `a position of ${a.engine} has no order with one of ${b.engine}`);
}

/** So many bytes further on the same branch. @throws bug for a log that is not made of bytes */
export function advanceLogPosition(position: LogPosition, bytes: number): LogPosition {
  switch (position.engine) {
    case 'postgresql':
      return { ...position, lsn: position.lsn + BigInt(bytes) };
    case 'mysql':
      return { ...position, offsetBytes: position.offsetBytes + bytes };
    case 'sqlserver':
      throw new CairnError('bug', 'a log position of sqlserver does not count bytes');
  }
}

/**
 * Whether log is known to be missing between what ends at one position and what begins at the
 * other. A new timeline repeats the segment in which it branched off, so it begins before.
 */
export function isLogMissing(end: LogPosition, start: LogPosition): boolean {
  return end.engine === 'postgresql' && start.engine === 'postgresql' && start.lsn > end.lsn;
}

function compareValues<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** PostgreSQL prints an LSN as two hexadecimal halves, `16/B374D848`. */
export function formatLsn(lsn: bigint): string {
  const low = (lsn & 0xffffffffn).toString(16).toUpperCase();
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${low}`;
}

export function parseLsn(text: string): bigint | null {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return match ? (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`) : null;
}
