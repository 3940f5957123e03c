// What is looked at before a logical backup.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { parseLsn } from '../../model/log-position.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import { databaseFolder } from './logical-contents.ts';
import { readServerSettings } from './server-settings.ts';

export type FoundDatabase = Omit<
  DumpedDatabase,
  'dump_bytes' | 'dump_sha256' | 'owners' | 'tables'
> & {
  readonly sizeBytes: number;
};

export type ServerSurvey = {
  readonly serverVersion: string;
  readonly major: number;
  readonly isInRecovery: boolean;
  readonly systemIdentifier: string;
  readonly mayReadPasswords: boolean;
  readonly databases: readonly FoundDatabase[];
  readonly position: LogPosition;
};

/** @throws invalid (database-unknown), engine-unreachable, engine-refused */
export async function surveyServer(
  connection: Connection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ServerSurvey> {
  return await withQueries(connection, { signal }, async (query) => {
    const settings = await readServerSettings(query);
    const { serverVersion, major, isInRecovery } = settings;
    const [row] = await query(
      `select (select system_identifier::text from pg_control_system()) as id,
         has_table_privilege('pg_authid', 'select') as may_read`,
    );
    return {
      ...{ serverVersion, major, isInRecovery },
      systemIdentifier: String(row?.id),
      mayReadPasswords: row?.may_read === true,
      databases: await getDatabases(query, names),
      position: await readPosition(query),
    };
  });
}

/** Names that are no databases, or those of databases that nobody may connect to. */
export async function findMissingDatabases(
  connection: Connection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  return await withQueries(connection, { signal }, async (query) => {
    const found = await findDatabases(query, names);
    return names.filter((name) => !found.has(name));
  });
}

/** @throws invalid for a name that is not there, or a database that nobody may connect to */
async function getDatabases(
  query: Query,
  names: readonly string[],
): Promise<readonly FoundDatabase[]> {
  const found = await findDatabases(query, names);
  return names.map((name) => {
    const database = found.get(name);
    if (database) return database;
    throw new CairnError('invalid', `the server has no database “${name}” that can be dumped`, {
      reason: 'database-unknown',
      hint: 'template0, and what else allows no connections, cannot be dumped',
    });
  });
}

async function findDatabases(
  query: Query,
  names: readonly string[],
): Promise<ReadonlyMap<string, FoundDatabase>> {
  // As JSON: which columns tell the locale differs between versions.
  const rows = await query(
    `select to_jsonb(d) as facts, pg_encoding_to_char(encoding) as encoding,
       case when has_database_privilege(oid, 'connect') then pg_database_size(oid) else 0 end
         ::text as size
     from pg_database d where datname = any($1)`,
    [[...names]],
  );
  const found = new Map<string, FoundDatabase>();
  for (const { facts, encoding, size } of rows) {
    const of = facts as Readonly<Record<string, unknown>>;
    if (of.datallowconn !== true) continue;
    const name = String(of.datname);
    found.set(name, {
      ...{ name, folder: databaseFolder(name), encoding: String(encoding), large_objects: 0 },
      collate: String(of.datcollate),
      ctype: String(of.datctype),
      locale_provider: String(of.datlocprovider ?? 'c'),
      locale: textOrNull(of.datlocale ?? of.daticulocale),
      icu_rules: textOrNull(of.daticurules),
      sizeBytes: Number(size),
    });
  }
  return found;
}

/** For people only: a logical backup is not replayed from. */
export async function readPosition(query: Query): Promise<LogPosition> {
  const [row] = await query(
    `select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
         else pg_current_wal_insert_lsn() end::text as lsn,
       (select timeline_id from pg_control_checkpoint()) as timeline`,
  );
  const lsn = parseLsn(String(row?.lsn)) ?? 0n;
  return { engine: 'postgresql', timeline: Number(row?.timeline), lsn };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
