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

/** PostgreSQL prints an LSN as two hexadecimal halves, `16/B374D848`. */
export function formatLsn(lsn: bigint): string {
  const low = (lsn & 0xffffffffn).toString(16).toUpperCase();
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${low}`;
}

export function parseLsn(text: string): bigint | null {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  return match ? (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`) : null;
}
