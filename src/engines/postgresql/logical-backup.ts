// A logical backup: pg_dump of each database, and pg_dumpall of what belongs to the whole server.
//
// The dumps are not compressed, and each table's data begin a file of their own, so that the data of
// a table that has not changed lie at the same place as in the backup before: they are stored once,
// whatever happens to other tables. The repository compresses what is new.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { parseLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { BaseBackupResult } from '../engine.ts';
import type { LogicalBackupOptions } from '../logical.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import type { DumpedData } from './logical-archive.ts';
import { DumpReader } from './logical-archive.ts';
import { databaseArgument, runClient } from './logical-client.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import {
  contentsPath,
  databaseFolder,
  escapeName,
  formatContents,
  globalsFolder,
  logicalKind,
} from './logical-contents.ts';
import { PieceWriter } from './logical-pieces.ts';
import type { ClientTools } from './logical-tools.ts';
import { findClientTools } from './logical-tools.ts';
import { readServerSettings } from './server-settings.ts';

export type LogicalParts = { readonly clock: Clock; readonly binDirs: readonly string[] };

/** A table that somebody holds locked for longer ends the backup. */
const lockWaitMs = 10 * 60_000;

type Found = Omit<DumpedDatabase, 'dump_bytes' | 'dump_sha256' | 'owners' | 'tables'> & {
  readonly sizeBytes: number;
};

type Survey = {
  readonly serverVersion: string;
  readonly major: number;
  readonly isInRecovery: boolean;
  readonly systemIdentifier: string;
  readonly mayReadPasswords: boolean;
  readonly databases: readonly Found[];
  readonly position: LogPosition;
};

/** @throws invalid (database-unknown), engine-unreachable, engine-refused, what the sink throws */
export async function takeLogicalBackup(
  connection: Connection,
  options: LogicalBackupOptions,
  { clock, binDirs }: LogicalParts,
): Promise<BaseBackupResult> {
  const { databases: names, signal, sink } = options;
  const survey = await surveyServer(connection, names, signal);
  const tools = await findClientTools(survey.major, binDirs);
  const pieces = new PieceWriter(sink, clock.now());
  const progress = createProgress(options, survey);
  const run = { connection, tools, survey, pieces, progress, signal };
  const databases: DumpedDatabase[] = [];
  for (const database of survey.databases) databases.push(await dumpDatabase(database, run));
  await dumpGlobals(run);
  const contents = {
    format: 1 as const,
    tool_version: tools.version,
    role_passwords: survey.mayReadPasswords,
    databases,
  };
  await pieces.writeFile(contentsPath, formatContents(contents));
  const stopPosition = await withQueries(connection, { signal }, readPosition);
  const { serverVersion, systemIdentifier, position: startPosition } = survey;
  return {
    ...{ serverVersion, systemIdentifier, startPosition, stopPosition },
    lastLogFile: contentsPath,
    notes: { kind: logicalKind, version: 1, toolVersion: tools.version },
  };
}

type Run = {
  readonly connection: Connection;
  readonly tools: ClientTools;
  readonly survey: Survey;
  readonly pieces: PieceWriter;
  readonly progress: (bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
};

async function dumpDatabase(found: Found, run: Run): Promise<DumpedDatabase> {
  const { connection, tools, survey, pieces, progress, signal } = run;
  const { sizeBytes: _, ...database } = found;
  const reader = new DumpReader();
  const digest = createHash('sha256');
  let dumpBytes = 0;
  let largeObjects = 0;
  await pieces.begin(`${database.folder}/head`);
  await runClient(connection, {
    program: join(tools.binDir, 'pg_dump'),
    args: [
      ...['--format=custom', '--compress=0', '--no-password'],
      `--lock-wait-timeout=${lockWaitMs}`,
      // A standby cannot read them: they are empty there.
      ...(survey.isInRecovery ? ['--no-unlogged-table-data'] : []),
      `--dbname=${databaseArgument(database.name)}`,
    ],
    signal,
    take: async (bytes) => {
      digest.update(bytes);
      dumpBytes += bytes.byteLength;
      progress(bytes);
      for (const segment of reader.push(bytes)) {
        if (segment.begins?.kind === 'large-objects') largeObjects++;
        if (segment.begins) await pieces.begin(folderOf(database, segment.begins, largeObjects));
        await pieces.write(segment.bytes);
      }
    },
  });
  await pieces.end();
  const data = reader.end();
  return {
    ...database,
    dump_bytes: dumpBytes,
    dump_sha256: digest.digest('hex'),
    owners: [...reader.owners],
    large_objects: data.reduce((sum, one) => sum + (one.kind === 'table' ? 0 : one.objects), 0),
    tables: data.flatMap((one) =>
      one.kind === 'table' ? [{ schema: one.schema, name: one.name, rows: one.rows }] : [],
    ),
  };
}

function folderOf({ folder }: Pick<Found, 'folder'>, data: DumpedData, index: number): string {
  if (data.kind === 'large-objects') return `${folder}/large-objects/${index}`;
  return `${folder}/tables/${escapeName(data.schema)}/${escapeName(data.name)}`;
}

/** Roles, with their passwords where we may read them, and tablespaces. */
async function dumpGlobals(run: Run): Promise<void> {
  const { connection, tools, survey, pieces, progress, signal } = run;
  await pieces.begin(globalsFolder);
  await runClient(connection, {
    program: join(tools.binDir, 'pg_dumpall'),
    args: [
      ...['--globals-only', '--no-password', `--database=${databaseArgument(connection.database)}`],
      ...(survey.mayReadPasswords ? [] : ['--no-role-passwords']),
    ],
    signal,
    take: async (bytes) => {
      progress(bytes);
      await pieces.write(bytes);
    },
  });
  await pieces.end();
}

async function surveyServer(
  connection: Connection,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Survey> {
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
      databases: await findDatabases(query, names),
      position: await readPosition(query),
    };
  });
}

/** @throws invalid for a name that is not there, or a database that nobody may connect to */
async function findDatabases(query: Query, names: readonly string[]): Promise<readonly Found[]> {
  // As JSON: which columns tell the locale differs between versions.
  const rows = await query(
    `select to_jsonb(d) as facts, pg_encoding_to_char(encoding) as encoding,
       case when has_database_privilege(oid, 'connect') then pg_database_size(oid) else 0 end
         ::text as size
     from pg_database d where datname = any($1)`,
    [[...names]],
  );
  const found = new Map<string, Found>();
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
  return names.map((name) => {
    const database = found.get(name);
    if (database) return database;
    throw new CairnError('invalid', `the server has no database “${name}” that can be dumped`, {
      reason: 'database-unknown',
      hint: 'template0, and what else allows no connections, cannot be dumped',
    });
  });
}

/** For people only: a logical backup is not replayed from. */
async function readPosition(query: Query): Promise<LogPosition> {
  const [row] = await query(
    `select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
         else pg_current_wal_insert_lsn() end::text as lsn,
       (select timeline_id from pg_control_checkpoint()) as timeline`,
  );
  const lsn = parseLsn(String(row?.lsn)) ?? 0n;
  return { engine: 'postgresql', timeline: Number(row?.timeline), lsn };
}

/** A dump holds no indexes, so the size of the databases is a bound rather than a promise. */
function createProgress(
  { onProgress }: LogicalBackupOptions,
  { databases }: Survey,
): (bytes: Uint8Array) => void {
  const totalBytes = databases.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  return ({ byteLength }) => {
    doneBytes += byteLength;
    onProgress(doneBytes, Math.max(totalBytes, doneBytes));
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
