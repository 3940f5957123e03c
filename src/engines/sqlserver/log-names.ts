// What a backup of the log is called: by the moment at which it began and by its database, in the
// exchange (small letters, and short: a server leaves 259 characters for the whole path) and in the
// stream that is archived.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import type { ExchangeName } from './exchange.ts';

export type LogName = {
  /** By the server's clock, in UTC: `20261124T210000.1234567`. No two of a stream are the same. */
  readonly moment: string;
  /** `databaseFolder` of the database. */
  readonly folder: string;
};

/** Under which the backup is archived. */
export function logFileName({ moment, folder }: LogName): string {
  return `${moment}-${folder}.trn`;
}

/** Of what is known about it, a `StoredLog`; it is archived right before. */
export function sideFileName({ moment, folder }: LogName): string {
  return `${moment}-${folder}.json`;
}

/** What all names in the exchange begin with that belong to one archive. */
export function exchangePrefix(keeperName: string): string {
  return `cairn-log-${createHash('sha256').update(keeperName).digest('hex').slice(0, 12)}-`;
}

export function toExchangeName(keeperName: string, { moment, folder }: LogName): ExchangeName {
  return { name: `${exchangePrefix(keeperName)}${exchangeMoment(moment)}-${folder}`, stripes: 1 };
}

/** `20261124t210000-1234567` */
export function exchangeMoment(moment: string): string {
  return moment.toLowerCase().replace('.', '-');
}

/** From a name in the exchange, or the path of it; null: it is none of this archive. */
export function findLogName(keeperName: string, text: string): LogName | null {
  const at = text.lastIndexOf(exchangePrefix(keeperName));
  const [, day, time, fraction, folder] = at < 0 ? [] : (namePattern.exec(text.slice(at)) ?? []);
  if (folder === undefined) return null;
  return { moment: `${day}T${time}.${fraction}`, folder };
}

const namePattern = /^cairn-log-[0-9a-f]{12}-(\d{8})t(\d{6})-(\d{7})-([0-9a-f]{16})(?:\.|$)/;

/** `now`, or the very next moment behind `last` where the clock has not come so far. */
export function nextMoment(now: string, last: string | null): string {
  return last === null || now > last ? now : toText(toTicks(last) + 1n);
}

/** The moment in whole milliseconds. */
export function momentToDate(moment: string): Date {
  return new Date(Number(toTicks(moment) / ticksPerMs));
}

const ticksPerMs = 10_000n;

/** Steps of 100 nanoseconds, as many as the server's clock tells apart. @throws bug */
function toTicks(moment: string): bigint {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{3})(\d{4})$/.exec(moment);
  if (match === null) throw new CairnError('bug', `${moment} is no moment of the server's clock`);
  const [, year, month, day, hour, minute, second, ms, rest = ''] = match;
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`);
  if (Number.isNaN(at)) throw new CairnError('bug', `${moment} is no moment of any day`);
  return BigInt(at) * ticksPerMs + BigInt(rest);
}

function toText(ticks: bigint): string {
  const digits = new Date(Number(ticks / ticksPerMs)).toISOString().replaceAll(/[-:Z]/g, '');
  return digits + String(ticks % ticksPerMs).padStart(4, '0');
}
