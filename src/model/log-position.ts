import { CairnError } from './errors.ts';

/** A point in a transaction log. Ordered only within one engine and one branch. */
export type LogPosition =
  | { readonly engine: 'postgresql'; readonly timeline: number; readonly lsn: bigint }
  | {
      readonly engine: 'mysql';
      /** The binary log's base name, `bin.000004`; `noBinlogFile` where there is none. */
      readonly file: string;
      readonly offsetBytes: number;
      /** All that lies before it, as `gtid-set.ts` writes it; null: not known. */
      readonly gtidSet: string | null;
    }
  | {
      readonly engine: 'sqlserver';
      /**
       * Each database has a log of its own: what orders them is when a backup of one began, in UTC
       * by the server's clock, `20261124T210000.1234567`.
       */
      readonly moment: string;
      /** Bytes of that backup. */
      readonly offsetBytes: number;
    };

/** As `file` of MySQL: no log follows, since the server writes none, or did not tell. */
export const noBinlogFile = 'none';

/** For people: null where no log follows. */
export function showLogPosition(position: LogPosition): string | null {
  const isNowhere = position.engine === 'mysql' && position.file === noBinlogFile;
  return isNowhere ? null : formatLogPosition(position);
}

/** Log positions travel as text in JSON (`postgresql:1:0/3000028`). */
export function formatLogPosition(position: LogPosition): string {
  switch (position.engine) {
    case 'postgresql':
      return `postgresql:${position.timeline}:${formatLsn(position.lsn)}`;
    case 'mysql':
      return `mysql:${describePlace(position)}${gtidSuffix(position.gtidSet)}`;
    case 'sqlserver':
      return `sqlserver:${describePlace(position)}`;
  }
}

/** An empty set is another thing than an unknown one. */
function gtidSuffix(gtidSet: string | null): string {
  return gtidSet === null ? '' : `:${gtidSet}`;
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
    const offsetBytes = parseOffset(second);
    if (offsetBytes === null) return null;
    return { engine, file: first, offsetBytes, gtidSet: rest.length > 0 ? rest.join(':') : null };
  }
  if (engine === 'sqlserver') {
    const offsetBytes = parseOffset(second);
    const isMoment = momentPattern.test(first);
    return isMoment && offsetBytes !== null ? { engine, moment: first, offsetBytes } : null;
  }
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
  if (a.engine === 'sqlserver' && b.engine === 'sqlserver') {
    return compareValues(a.moment, b.moment) || a.offsetBytes - b.offsetBytes;
  }
  throw new CairnError('bug', `a position of ${a.engine} has no order with one of ${b.engine}`);
}

/**
 * So many bytes further on the same branch: which transactions of MySQL's lie before it, is not
 * known any more.
 */
export function advanceLogPosition(position: LogPosition, bytes: number): LogPosition {
  switch (position.engine) {
    case 'postgresql':
      return { ...position, lsn: position.lsn + BigInt(bytes) };
    case 'mysql': {
      const gtidSet = bytes === 0 ? position.gtidSet : null;
      return { ...position, offsetBytes: position.offsetBytes + bytes, gtidSet };
    }
    case 'sqlserver':
      return { ...position, offsetBytes: position.offsetBytes + bytes };
  }
}

/**
 * Whether log is known to be missing between what ends at one position and what begins at the
 * other. A new timeline repeats the segment in which it branched off, so it begins before. Binary
 * logs are numbered one after another: whether the first of two is complete, others must know.
 * Whether one log backup of SQL Server continues another is told by their LSNs alone.
 */
export function isLogMissing(end: LogPosition, start: LogPosition): boolean {
  if (end.engine === 'postgresql' && start.engine === 'postgresql') return start.lsn > end.lsn;
  if (end.engine !== 'mysql' || start.engine !== 'mysql') return false;
  if (start.file === end.file) return start.offsetBytes > end.offsetBytes;
  if (compareLogPositions(start, end) < 0) return false;
  return start.offsetBytes > binlogHeaderBytes || !followsFile(start.file, end.file);
}

/** The first event of a binary log lies behind its four magic bytes. */
const binlogHeaderBytes = 4;

function followsFile(file: string, before: string): boolean {
  const [, base, number] = binlogPattern.exec(file) ?? [];
  const [, baseBefore, numberBefore] = binlogPattern.exec(before) ?? [];
  return base === baseBefore && Number(number) === Number(numberBefore) + 1;
}

const binlogPattern = /^(.+)\.(\d{6,10})$/;

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

/** In the engine's own words, without its branch: `16/B374D848`, `bin.000004:337537`. */
export function describePlace(position: LogPosition): string {
  switch (position.engine) {
    case 'postgresql':
      return formatLsn(position.lsn);
    case 'mysql':
      return `${position.file}:${position.offsetBytes}`;
    case 'sqlserver':
      return `${position.moment}:${position.offsetBytes}`;
  }
}

/** What such words mean on the branch of another position; null when its engine has none such. */
export function parsePlace(text: string, branch: LogPosition): LogPosition | null {
  switch (branch.engine) {
    case 'postgresql': {
      const lsn = parseLsn(text);
      return lsn === null ? null : { ...branch, lsn };
    }
    case 'mysql':
      return parseBinlogPlace(text);
    // An LSN says where in the log of one database.
    case 'sqlserver':
      return null;
  }
}

/** `bin.000004:337537` */
export function parseBinlogPlace(
  text: string,
): Extract<LogPosition, { readonly engine: 'mysql' }> | null {
  const [, file = '', offset = ''] = binlogPlacePattern.exec(text) ?? [];
  const offsetBytes = parseOffset(offset);
  return offsetBytes === null ? null : { engine: 'mysql', file, offsetBytes, gtidSet: null };
}

const momentPattern = /^\d{8}T\d{6}\.\d{7}$/;
const binlogPlacePattern = /^([A-Za-z0-9._-]{1,200}):(\d{1,15})$/;

function parseOffset(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}
