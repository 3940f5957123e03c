// What a backup and a later start need to know of the server's configuration, read from
// `pg_settings` (PostgreSQL documentation, chapter "System Views"). Some settings are hidden from
// ordinary roles: they are left out then.
import { CairnError } from '../../model/errors.ts';
import type { Query } from './connection.ts';

export type ServerSettings = {
  /** `15.18`. */
  readonly serverVersion: string;
  readonly major: number;
  readonly blockSizeBytes: number;
  readonly walSegmentBytes: number;
  readonly dataChecksums: boolean;
  readonly isInRecovery: boolean;
  /** The role that initdb made; it always has this OID, whatever its name. */
  readonly superuser: string;
  /** The server's clock when this was read, in epoch milliseconds. */
  readonly clockMs: number;
  /** When it was started, in epoch milliseconds. */
  readonly serverStartMs: number;
  /** Everything that was asked for and could be seen. */
  readonly values: Readonly<Record<string, string>>;
};

export const majorVersionMin = 15;
export const majorVersionMax = 18;

/** What the files of a data folder do not say and a server started on them needs. */
export const startSettings = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
  'max_replication_slots',
  'shared_preload_libraries',
  'shared_buffers',
  'wal_level',
  'track_commit_timestamp',
  'timezone',
] as const;

const otherSettings = [
  'server_version',
  'server_version_num',
  'block_size',
  'wal_segment_size',
  'data_checksums',
  'summarize_wal',
  'max_slot_wal_keep_size',
];

/** `BOOTSTRAP_SUPERUSERID` in `pg_authid.dat`. */
const superuserOid = 10;

/** @throws engine-refused when the server hides what nobody hides */
export async function readServerSettings(query: Query): Promise<ServerSettings> {
  const rows = await query(
    'select lower(name) as name, setting from pg_settings where lower(name) = any($1)',
    [[...startSettings, ...otherSettings]],
  );
  const [server] = await query(
    `select pg_is_in_recovery() as is_in_recovery, pg_get_userbyid(${superuserOid}) as superuser,
       floor(extract(epoch from clock_timestamp()) * 1000)::text as clock_ms,
       floor(extract(epoch from pg_postmaster_start_time()) * 1000)::text as server_start_ms`,
  );
  const values = Object.fromEntries(rows.map((row) => [String(row.name), String(row.setting)]));
  return {
    serverVersion: (values.server_version ?? '').split(' ')[0] ?? '',
    major: Math.floor(readNumber(values, 'server_version_num') / 10_000),
    blockSizeBytes: readNumber(values, 'block_size'),
    walSegmentBytes: readNumber(values, 'wal_segment_size'),
    dataChecksums: values.data_checksums === 'on',
    isInRecovery: server?.is_in_recovery === true,
    superuser: String(server?.superuser),
    clockMs: Number(server?.clock_ms),
    serverStartMs: Number(server?.server_start_ms),
    values,
  };
}

export function pickStartSettings(settings: ServerSettings): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of startSettings) {
    const value = settings.values[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}

function readNumber(values: Readonly<Record<string, string>>, name: string): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new CairnError('engine-refused', `the server does not tell its ${name}`, {
    hint: 'check that the connection string leads to PostgreSQL itself',
  });
}
