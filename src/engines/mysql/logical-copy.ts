// Databases, or tables, of a server that was restored for this alone, into a server that runs.
// Nothing of the target is touched but what is new, and nothing appears under its name before its
// rows were counted.
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type {
  CopyOptions,
  DatabaseCopyOptions,
  RestoredDatabase,
  RestoredTable,
  TableCopyOptions,
  TableName,
} from '../logical.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor } from './flavor.ts';
import type { LogicalParts, LogicalTools } from './logical-backup.ts';
import type { DumpChoice } from './logical-client.ts';
import {
  dumpArguments,
  dumpSilenceMs,
  importArguments,
  importSilenceMs,
  runClient,
} from './logical-client.ts';
import type { DumpedTable, DumpedText } from './logical-dump.ts';
import { DumpReader } from './logical-dump.ts';
import { ProgramText } from './logical-programs.ts';
import { loadPrograms } from './logical-restore.ts';
import type { ServerSurvey } from './logical-survey.ts';
import { hasHistory, leftOut, surveyServer } from './logical-survey.ts';
import type { WorkDatabase } from './logical-target.ts';
import {
  countTables,
  createDatabase,
  discard,
  dropDatabase,
  finish,
  moveTables,
  prepareTarget,
  withUnlimited,
  workName,
} from './logical-target.ts';
import { readFlavor } from './server-identity.ts';
import { quoteName } from './sql-text.ts';

type Parts = Pick<LogicalParts, 'findTools'>;

const removeTimeoutMs = 10 * 60_000;
const tableExists = 1050;

/** @throws invalid (database-unknown), conflict (database-name-taken), engine-refused */
export async function copyDatabases(
  to: Connection,
  options: DatabaseCopyOptions,
  { findTools }: Parts,
): Promise<readonly RestoredDatabase[]> {
  const { from, databases, tag, signal, log } = options;
  const names = databases.map(({ oldName }) => oldName);
  const survey = await surveyServer(from, names, signal);
  const wanted = databases.map(({ oldName, newName }, index) => {
    const facts = survey.databases[index];
    if (!facts) throw new CairnError('bug', `nothing is known of ${oldName}`);
    const { characterSet, collation } = facts;
    return { oldName, newName, workName: workName(tag, index), characterSet, collation };
  });
  const { flavor, serverVersion } = await withQueries(to, { signal }, readFlavor);
  const target = { connection: to, flavor, tag };
  const isDone = await withUnlimited(to, signal, (query) => prepareTarget(query, wanted, target));
  // In use since an earlier attempt: what is counted now says nothing of then.
  if (isDone) return databases.map((names) => ({ ...names, tableCount: null, rowCount: null }));
  const pipe = {
    ...{ from, to, source: survey, target: { flavor }, onBytes: countBytes(options), signal },
    fromTools: await findTools(survey.serverVersion),
    toTools: await findTools(serverVersion),
  };
  try {
    const filled: { readonly one: (typeof wanted)[number]; readonly dump: PipedDump }[] = [];
    for (const one of wanted) {
      const dump = await fillWork(one, { databases: [one.oldName] }, pipe);
      filled.push({ one, dump });
    }
    await withUnlimited(to, signal, (query) => moveTables(query, wanted, target));
    for (const { one, dump } of filled) {
      const { client } = pipe.toTools;
      const { programs: text } = dump;
      await loadPrograms(target, { client, database: one.newName, text, signal });
    }
    await withUnlimited(to, signal, (query) => finish(query, wanted, target));
    return filled.map(({ one: { oldName, newName }, dump }) => ({
      ...{ oldName, newName, tableCount: dump.tables.length, rowCount: sumRows(dump.tables) },
    }));
  } catch (error) {
    await discard(to, wanted, target, log);
    throw error;
  }
}

/** @throws invalid (table-unknown), conflict (table-name-taken), engine-refused */
export async function copyTables(
  to: Connection,
  options: TableCopyOptions,
  { findTools }: Parts,
): Promise<readonly RestoredTable[]> {
  const { from, databases, tag, signal, log } = options;
  const { flavor, serverVersion } = await withQueries(to, { signal }, readFlavor);
  const names = databases.map(({ database }) => database);
  const survey = await surveyServer(from, names, signal);
  const wanted = databases.map(({ database, tables }, index) => {
    const facts = survey.databases[index];
    if (!facts) throw new CairnError('bug', `nothing is known of ${database}`);
    const { characterSet, collation } = facts;
    return { database, tables, workName: workName(tag, index), characterSet, collation };
  });
  const pipe = {
    ...{ from, to, source: survey, target: { flavor }, onBytes: countBytes(options), signal },
    fromTools: await findTools(survey.serverVersion),
    toTools: await findTools(serverVersion),
  };
  await withUnlimited(to, signal, async (query) => {
    for (const { database, tables } of wanted) await assertPlacesFree(query, database, tables);
    for (const { workName } of wanted) await dropDatabase(query, workName);
  });
  try {
    const restored: RestoredTable[] = [];
    const moves: string[] = [];
    for (const one of wanted) {
      const { database, tables } = one;
      await withUnlimited(from, signal, (query) => assertTables(query, database, tables));
      const choice = { database, tables: tables.map(({ oldName }) => oldName) };
      const { tables: counted } = await fillWork({ ...one, oldName: database }, choice, pipe);
      await withUnlimited(to, signal, (query) => dropForeignKeys(query, one.workName));
      moves.push(...tables.map((table) => planMove(one.workName, database, table)));
      restored.push(...tables.map((table) => describe(database, table, counted)));
    }
    await withUnlimited(to, signal, (query) => moveAll(query, moves));
    return restored;
  } finally {
    const late = AbortSignal.timeout(removeTimeoutMs);
    await withUnlimited(to, late, async (query) => {
      for (const { workName } of wanted) await dropDatabase(query, workName);
    }).catch((err: unknown) => log.warn({ err }, 'half restored tables were not removed'));
  }
}

type Pipe = {
  readonly from: Connection;
  readonly to: Connection;
  readonly source: ServerSurvey;
  readonly target: { readonly flavor: Flavor };
  readonly fromTools: LogicalTools;
  readonly toTools: LogicalTools;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
};

type PipedDump = Pick<DumpedText, 'tables'> & { readonly programs: ProgramText };

/** The tables of a database, in one that nobody uses, counted. */
async function fillWork(
  work: Omit<WorkDatabase, 'newName'> & { readonly oldName: string },
  choice: Pick<Extract<DumpChoice, { databases: unknown }>, 'databases'> | TableChoice,
  pipe: Pipe,
): Promise<PipedDump> {
  const { to, signal } = pipe;
  await withUnlimited(to, signal, (query) => createDatabase(query, work.workName, work));
  const dump = await pipeDump(work, choice, pipe);
  await withUnlimited(to, signal, (query) => countTables(query, work.workName, dump.tables));
  return dump;
}

type TableChoice = Pick<Extract<DumpChoice, { tables: unknown }>, 'database' | 'tables'>;

/** One program into the other, with nothing kept in between but what speaks of tables. */
async function pipeDump(
  { oldName, workName }: { readonly oldName: string; readonly workName: string },
  choice: Pick<Extract<DumpChoice, { databases: unknown }>, 'databases'> | TableChoice,
  { from, to, source, target, fromTools, toTools, onBytes, signal: parent }: Pipe,
): Promise<PipedDump> {
  const failure = new AbortController();
  const signal = AbortSignal.any([parent, failure.signal]);
  const pipe = new PassThrough();
  const programs = new ProgramText();
  const reader = new DumpReader('tables' in choice ? oldName : null);
  const forward = async (segments: ReturnType<DumpReader['push']>): Promise<void> => {
    for (const { part, bytes } of segments) {
      if (part === 'programs' || part === 'views') programs.add(bytes);
      else if (!pipe.write(bytes)) await once(pipe, 'drain', { signal });
    }
  };
  const dump = async (): Promise<void> => {
    await runClient(
      { connection: from, flavor: source.flavor },
      {
        program: fromTools.dump,
        args: dumpArguments({
          ...{ flavor: source.flavor, withPosition: false, withHistory: hasHistory(source) },
          leftOut: leftOut(source),
          ...choice,
        }),
        ...{ signal, silenceMs: dumpSilenceMs },
        take: async (bytes) => {
          onBytes(bytes.byteLength);
          await forward(reader.push(bytes));
        },
      },
    );
    await forward(reader.end([oldName]));
    pipe.end();
  };
  const load = (): Promise<void> =>
    runClient(
      { connection: to, flavor: target.flavor },
      {
        program: toTools.client,
        args: importArguments(workName),
        ...{ signal, silenceMs: importSilenceMs, input: pipe, take: () => undefined },
      },
    );
  // Whoever fails first says why; the other one is ended and waited for.
  const ends = [dump(), load()].map((end) =>
    end.catch((error: unknown) => {
      if (!failure.signal.aborted) failure.abort(error);
      throw error;
    }),
  );
  const outcomes = await Promise.allSettled(ends);
  pipe.destroy();
  parent.throwIfAborted();
  if (outcomes.some(({ status }) => status === 'rejected')) throw failure.signal.reason;
  return { tables: reader.textOf(oldName).tables, programs };
}

/** @throws invalid for a name that is no table */
async function assertTables(
  query: Query,
  database: string,
  tables: readonly TableName[],
): Promise<void> {
  for (const { oldName } of tables) {
    const [found] = await query(
      `select table_type as type from information_schema.tables
       where table_schema = ? and binary table_name = ?`,
      [database, oldName],
    );
    const type = String(found?.['type'] ?? '');
    if (type === 'BASE TABLE' || type === 'SYSTEM VERSIONED') continue;
    const why = found ? 'it is no table' : 'there was no such table at that time';
    throw new CairnError('invalid', `table ${database}.${oldName} cannot be restored: ${why}`, {
      reason: 'table-unknown',
    });
  }
}

/** They are left behind: the rows that they speak of may be others today. */
async function dropForeignKeys(query: Query, database: string): Promise<void> {
  const keys = await query(
    `select table_name as tab, constraint_name as name from information_schema.table_constraints
     where table_schema = ? and constraint_type = 'FOREIGN KEY'`,
    [database],
  );
  for (const key of keys) {
    const table = `${quoteName(database)}.${quoteName(String(key['tab']))}`;
    await query(`alter table ${table} drop foreign key ${quoteName(String(key['name']))}`);
  }
}

/** @throws conflict for a name that is in use; invalid for a database that is not there */
async function assertPlacesFree(
  query: Query,
  database: string,
  tables: readonly TableName[],
): Promise<void> {
  const [found] = await query(
    'select 1 as one from information_schema.schemata where schema_name = ?',
    [database],
  );
  if (!found) {
    throw new CairnError('invalid', `the target has no database “${database}”`, {
      reason: 'database-unknown',
    });
  }
  for (const { newName } of tables) {
    const rows = await query(
      `select 1 as one from information_schema.tables
       where table_schema = ? and binary table_name = ?`,
      [database, newName],
    );
    if (rows.length > 0) throw tableTaken(`“${newName}” in database ${database}`);
  }
}

async function moveAll(query: Query, moves: readonly string[]): Promise<void> {
  try {
    if (moves.length > 0) await query(`rename table ${moves.join(', ')}`);
  } catch (error) {
    throw errorNumber(error) === tableExists ? tableTaken('of that name', error) : error;
  }
}

function planMove(workName: string, database: string, { oldName, newName }: TableName): string {
  const from = `${quoteName(workName)}.${quoteName(oldName)}`;
  return `${from} to ${quoteName(database)}.${quoteName(newName)}`;
}

function tableTaken(what: string, cause?: unknown): CairnError {
  return new CairnError('conflict', `the target has a table ${what} already`, {
    reason: 'table-name-taken',
    hint: 'restore under another name: none is ever overwritten',
    ...(cause === undefined ? {} : { cause }),
  });
}

function describe(
  database: string,
  table: TableName,
  counted: readonly DumpedTable[],
): RestoredTable {
  const found = counted.find(({ name }) => name === table.oldName);
  return { database, ...table, rowCount: found?.rows ?? 0 };
}

function sumRows(tables: readonly DumpedTable[]): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}

function countBytes({ onProgress }: CopyOptions): (bytes: number) => void {
  let doneBytes = 0;
  return (bytes) => {
    doneBytes += bytes;
    onProgress('importing', doneBytes, doneBytes);
  };
}
