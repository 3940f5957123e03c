// What a server says of itself: enough for a backup, a restore and the log.
import { CairnError } from '../../model/errors.ts';
import type { ServerPlatform } from './devices.ts';
import type { ServerTraits } from './server-traits.ts';
import type { SqlRow, SqlSession } from './session.ts';
import { serverStatement } from './tsql-inspect.ts';

export type ServerInfo = ServerTraits & {
  /** `16.0.4195.2` */
  readonly version: string;
  readonly serverName: string;
  readonly platform: ServerPlatform;
  readonly collation: string;
  readonly isHadrEnabled: boolean;
  /** Where files of new databases go; null: it does not say. */
  readonly dataDir: string | null;
  readonly logDir: string | null;
  /** By its clock, in UTC: `20261124T210000.1234567`. */
  readonly moment: string;
  /** Of its clock now. */
  readonly offsetMinutes: number;
};

/**
 * What tells one server from another: the name of its machine or cluster, and of the instance. One
 * that was made anew under the same name is told by what the positions of its log prove.
 */
export function systemIdentifierOf({ serverName }: Pick<ServerInfo, 'serverName'>): string {
  return serverName.toUpperCase();
}

/** @throws what the session throws; engine-refused when the answer is not one of SQL Server */
export async function readServerInfo(
  session: SqlSession,
  signal: AbortSignal,
): Promise<ServerInfo> {
  const [row = {}] = await session.run(serverStatement(), { signal });
  const version = text(row, 'product_version');
  return {
    version,
    majorVersion: Number.parseInt(version, 10),
    edition: text(row, 'edition'),
    engineEdition: integer(row, 'engine_edition'),
    serverName: text(row, 'server_name'),
    // Before 2017 there is no such property, and all was Windows.
    platform: row['path_separator'] === '/' ? 'linux' : 'windows',
    collation: text(row, 'collation_name'),
    isHadrEnabled: row['is_hadr_enabled'] === 1,
    dataDir: optionalText(row, 'default_data_path'),
    logDir: optionalText(row, 'default_log_path'),
    moment: toMoment(text(row, 'utc_now')),
    offsetMinutes: integer(row, 'offset_minutes'),
  };
}

/**
 * `2026-11-24T21:00:00.12` as positions of the log have it, `20261124T210000.1200000`: in that form
 * moments are ordered as texts are.
 */
export function toMoment(utcTime: string): string {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,7}))?$/.exec(utcTime);
  if (match === null) throw oddAnswer('utc_now', utcTime);
  const [, year, month, day, hour, minute, second, fraction = ''] = match;
  return `${year}${month}${day}T${hour}${minute}${second}.${fraction.padEnd(7, '0')}`;
}

function text(row: SqlRow, column: string): string {
  const value = row[column];
  if (typeof value !== 'string' || value === '') throw oddAnswer(column, value);
  return value;
}

function optionalText(row: SqlRow, column: string): string | null {
  const value = row[column];
  return value === null || value === '' ? null : text(row, column);
}

function integer(row: SqlRow, column: string): number {
  const value = row[column];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw oddAnswer(column, value);
  return value;
}

function oddAnswer(column: string, value: unknown): CairnError {
  return new CairnError('engine-refused', `the server says ${column} = ${value}`, {
    hint: 'is it a SQL Server of version 2016 or later?',
  });
}
