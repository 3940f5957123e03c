// What is looked at before a logical backup.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { withKnownEngine } from './backup-notes.ts';
import type { TableName } from './binlog-event.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor } from './flavor.ts';
import { flavors } from './flavor.ts';
import { noLogPosition } from './log-position.ts';
import type { BinlogEnd } from './log-server.ts';
import { readBinlogEnd } from './log-server.ts';
import { readFlavor } from './server-identity.ts';
import { quoteName } from './sql-text.ts';

export type FoundDatabase = {
  readonly name: string;
  readonly characterSet: string;
  readonly collation: string;
  /** Of rows and keys, as the server estimates them. */
  readonly sizeBytes: number;
  /** Tables whose engine has no transactions. */
  readonly withoutSnapshot: readonly string[];
  /** Views that speak of what is not there: no dump can hold them. */
  readonly brokenViews: readonly BrokenView[];
  readonly tables: readonly string[];
};

export type BrokenView = {
  readonly name: string;
  /** The statement that would make it. */
  readonly create: string;
};

export type ServerSurvey = {
  readonly flavor: Flavor;
  /** `10.11.19-MariaDB`. */
  readonly serverVersion: string;
  readonly hasBinaryLog: boolean;
  /** That a server of its own must have to hold the same. */
  readonly settings: Readonly<Record<string, string>>;
  readonly databases: readonly FoundDatabase[];
};

/** They are the server's own, and no two servers' are alike. */
const systemDatabases = new Set(['information_schema', 'performance_schema', 'mysql', 'sys']);
/** Made by the server, with a table of its own behind. */
const sequenceType = 'SEQUENCE';
const viewInvalid = 1356;
const settingNames = [
  'lower_case_table_names',
  'character_set_server',
  'collation_server',
  'max_allowed_packet',
  // The binary log does not say which engine a `CREATE TABLE` without one meant.
  'default_storage_engine',
] as const;

/**
 * Of these databases, or of all but the server's own. @throws invalid (database-unknown),
 * engine-unreachable, engine-refused
 */
export async function surveyServer(
  connection: Connection,
  names: readonly string[] | 'all',
  signal: AbortSignal,
): Promise<ServerSurvey> {
  return await withQueries(connection, { signal }, async (query) => {
    const version = await readFlavor(query);
    const [row] = await query(
      `select @@global.log_bin as log_bin,
         ${settingNames.map((name) => `@@global.${name} as ${name}`).join(', ')}`,
    );
    return {
      ...version,
      hasBinaryLog: Number(row?.['log_bin']) === 1,
      settings: withKnownEngine(
        Object.fromEntries(settingNames.map((name) => [name, String(row?.[name])])),
      ),
      databases: await getDatabases(query, names),
    };
  });
}

/** Names of no database, or of the server's own ones. */
export async function findMissingDatabases(
  connection: Connection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  return await withQueries(connection, { signal }, async (query) => {
    const found = new Set((await listDatabases(query)).map(({ name }) => name));
    return names.filter((name) => !found.has(name));
  });
}

/** Whether old rows of system-versioned tables can be dumped and loaded. */
export function hasHistory({
  flavor,
  serverVersion,
}: Pick<ServerSurvey, 'flavor' | 'serverVersion'>): boolean {
  const [major = 0, minor = 0] = serverVersion.split('.').map(Number);
  return flavor === 'mariadb' && (major > 10 || (major === 10 && minor >= 11));
}

/** As the dump programs name what they leave out. */
export function leftOut({ databases }: Pick<ServerSurvey, 'databases'>): readonly string[] {
  return databases.flatMap(({ name, brokenViews }) =>
    brokenViews.map((view) => `${name}.${view.name}`),
  );
}

/**
 * Everything that statements define, and when: whatever is made, changed or removed changes it.
 */
export async function readDefinitions(query: Query): Promise<readonly string[]> {
  const system = [...systemDatabases];
  const rows = await query(
    `select concat_ws('\\n', 'database', schema_name) as what
       from information_schema.schemata where schema_name not in (?)
     union all select concat_ws('\\n', table_type, table_schema, table_name, create_time)
       from information_schema.tables where table_schema not in (?)
     union all select concat_ws('\\n', 'view', table_schema, table_name, md5(view_definition))
       from information_schema.views where table_schema not in (?)
     union all select concat_ws('\\n', routine_type, routine_schema, routine_name, last_altered)
       from information_schema.routines where routine_schema not in (?)
     union all select concat_ws('\\n', 'trigger', trigger_schema, trigger_name, created)
       from information_schema.triggers where trigger_schema not in (?)
     union all select concat_ws('\\n', 'event', event_schema, event_name, last_altered)
       from information_schema.events where event_schema not in (?)
     order by 1`,
    [system, system, system, system, system, system],
  );
  return rows.map((row) => String(row['what']));
}

/** Of all databases but the server's own: they are read when their turn comes. */
export async function readOutsideSnapshot(query: Query): Promise<readonly TableName[]> {
  return (await listTables(query))
    .filter(({ database, isSafe }) => !isSafe && !systemDatabases.has(database.toLowerCase()))
    .map(({ database, name }) => ({ database, table: name }));
}

/**
 * Where the binary log ends. MariaDB tells it by status variables, as its dump program asks, also
 * to those who may not look at the log. @throws engine-refused
 */
export async function readDumpEnd(query: Query, flavor: Flavor): Promise<BinlogEnd> {
  if (flavor === 'mysql') return await readBinlogEnd(query, flavor);
  const rows = await query("show status like 'binlog_snapshot_%'");
  const values = new Map(
    rows.map((row) => [String(row['Variable_name']).toLowerCase(), String(row['Value'])]),
  );
  const file = values.get('binlog_snapshot_file') ?? '';
  const offsetBytes = Number(values.get('binlog_snapshot_position'));
  if (file !== '' && Number.isSafeInteger(offsetBytes)) return { file, offsetBytes };
  throw new CairnError('engine-refused', 'the server did not tell where its binary log ends', {
    hint: 'check that log_bin is on',
  });
}

/** Now, as far as the login may ask. */
export async function readPosition(
  query: Query,
  { flavor, hasBinaryLog }: Pick<ServerSurvey, 'flavor' | 'hasBinaryLog'>,
): Promise<LogPosition> {
  if (!hasBinaryLog) return noLogPosition;
  for (const statement of flavors[flavor].positionStatements) {
    try {
      const [row] = await query(statement);
      if (!row) continue;
      const [file, offsetBytes] = [String(row['File']), Number(row['Position'])];
      return { engine: 'mysql', file, offsetBytes, gtidSet: null };
    } catch (error) {
      // Of a statement that this version does not know, or that the login may not execute.
      if (!isErrorAnswer(error)) throw error;
    }
  }
  return noLogPosition;
}

async function getDatabases(
  query: Query,
  names: readonly string[] | 'all',
): Promise<readonly FoundDatabase[]> {
  const all = await listDatabases(query);
  const wanted = names === 'all' ? all.map(({ name }) => name) : names;
  const tables = await listTables(query);
  const broken = await findBrokenViews(query, new Set(wanted));
  return wanted.map((name) => {
    const found = all.find((one) => one.name === name);
    if (!found) {
      throw new CairnError('invalid', `the server has no database “${name}” that can be dumped`, {
        reason: 'database-unknown',
        hint: `${[...systemDatabases].join(', ')} are the server’s own and cannot be dumped`,
      });
    }
    const own = tables.filter(({ database }) => database === name);
    return {
      ...found,
      sizeBytes: own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      withoutSnapshot: own.filter(({ isSafe }) => !isSafe).map((one) => one.name),
      brokenViews: broken.filter(({ database }) => database === name),
      tables: own.map((one) => one.name),
    };
  });
}

async function listDatabases(
  query: Query,
): Promise<readonly Pick<FoundDatabase, 'name' | 'characterSet' | 'collation'>[]> {
  const rows = await query(
    `select schema_name as name, default_character_set_name as charset,
       default_collation_name as collation
     from information_schema.schemata order by schema_name`,
  );
  return rows
    .map((row) => ({
      name: String(row['name']),
      characterSet: String(row['charset']),
      collation: String(row['collation']),
    }))
    .filter(({ name }) => !systemDatabases.has(name.toLowerCase()));
}

async function findBrokenViews(
  query: Query,
  databases: ReadonlySet<string>,
): Promise<readonly (BrokenView & { readonly database: string })[]> {
  const rows = await query(
    'select table_schema as db, table_name as name from information_schema.views',
  );
  const broken: (BrokenView & { readonly database: string })[] = [];
  for (const row of rows) {
    const [database, name] = [String(row['db']), String(row['name'])];
    if (!databases.has(database)) continue;
    const path = `${quoteName(database)}.${quoteName(name)}`;
    try {
      await query(`show fields from ${path}`);
    } catch (error) {
      if (errorNumber(error) !== viewInvalid) throw error;
      const [shown] = await query(`show create view ${path}`);
      broken.push({ database, name, create: String(shown?.['Create View'] ?? '') });
    }
  }
  return broken;
}

async function listTables(query: Query): Promise<
  readonly {
    readonly database: string;
    readonly name: string;
    readonly sizeBytes: number;
    readonly isSafe: boolean;
  }[]
> {
  const rows = await query(
    `select t.table_schema as db, t.table_name as name, t.table_type as type,
       coalesce(t.data_length, 0) as size, e.transactions as transactions
     from information_schema.tables t left join information_schema.engines e on e.engine = t.engine
     where t.table_type not in ('VIEW', 'SYSTEM VIEW')`,
  );
  return rows
    .filter((row) => row['type'] !== sequenceType)
    .map((row) => ({
      database: String(row['db']),
      name: String(row['name']),
      sizeBytes: Number(row['size']),
      isSafe: row['transactions'] === 'YES',
    }));
}

function isErrorAnswer(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'sqlState' in error;
}
