// Databases, or tables, of a server that was restored for this alone, into a server that runs.
// Nothing of the target is touched but what is new, and nothing appears under its name before its
// rows were counted.
import type { Connection } from '../../model/instance.ts';
import type {
  CopyOptions,
  DatabaseCopyOptions,
  RestoredDatabase,
  RestoredTable,
  TableCopyOptions,
} from '../logical.ts';
import { withQueries } from './connection.ts';
import { errorCode } from './connection-error.ts';
import type { DumpedData } from './logical-archive.ts';
import type { DumpedRows } from './logical-count.ts';
import { countRestored, countTables } from './logical-count.ts';
import { pipeDump } from './logical-pipe.ts';
import { surveyServer } from './logical-survey.ts';
import type { WorkTable } from './logical-tables.ts';
import { assertPlacesFree, planMoves, prepareTable } from './logical-tables.ts';
import {
  assertNamesFree,
  createDatabase,
  discard,
  dropDatabases,
  isRestored,
  nameTaken,
  renameAll,
  withUnlimited,
  workName,
} from './logical-target.ts';
import type { ClientTools } from './logical-tools.ts';
import { findClientTools } from './logical-tools.ts';
import { readServerSettings } from './server-settings.ts';
import { quoteName } from './sql-text.ts';

const removeTimeoutMs = 60_000;

/** @throws invalid (database-unknown), conflict (database-name-taken), engine-refused */
export async function copyDatabases(
  to: Connection,
  options: DatabaseCopyOptions,
  binDirs: readonly string[],
): Promise<readonly RestoredDatabase[]> {
  const { from, databases, tag, signal, log } = options;
  const names = databases.map(({ oldName }) => oldName);
  const survey = await surveyServer(from, names, signal);
  const tools = await findTools(to, survey.major, binDirs, signal);
  const wanted = databases.map((names, index) => {
    const facts = survey.databases[index];
    if (!facts) throw nameTaken(names.oldName);
    return { ...names, facts, workName: workName(tag, index) };
  });
  const isDone = await withUnlimited(to, signal, async (query) => {
    if (await isRestored(query, wanted, tag)) return true;
    await assertNamesFree(query, wanted);
    await dropDatabases(query, wanted);
    return false;
  });
  // In use since an earlier attempt: what is counted now says nothing of then.
  if (isDone) return databases.map((names) => ({ ...names, tableCount: null, rowCount: null }));
  const onBytes = countBytes(options);
  try {
    const restored: RestoredDatabase[] = [];
    for (const one of wanted) {
      await withUnlimited(to, signal, (query) => createDatabase(query, one));
      const target = { connection: to, database: one.workName };
      const source = { connection: from, database: one.oldName };
      const pipe = { from: source, to: target, selection: [], tools, onBytes, signal };
      const rows = toRows(await pipeDump(pipe));
      const inside = { ...to, database: one.workName };
      await withUnlimited(inside, signal, (query) => countRestored(query, rows));
      const { oldName, newName } = one;
      restored.push({ oldName, newName, tableCount: rows.tables.length, rowCount: sum(rows) });
    }
    await withUnlimited(to, signal, (query) => renameAll(query, wanted, tag));
    return restored;
  } catch (error) {
    await discard(to, wanted, log);
    throw error;
  }
}

/** @throws invalid (table-unknown), conflict (table-name-taken), engine-refused */
export async function copyTables(
  to: Connection,
  options: TableCopyOptions,
  binDirs: readonly string[],
): Promise<readonly RestoredTable[]> {
  const { from, databases, tag, signal, log } = options;
  const { major } = await withQueries(from, { signal }, readServerSettings);
  const tools = await findTools(to, major, binDirs, signal);
  const wanted = databases.map(({ database, tables }, at) => ({
    database,
    tables: tables.map((table, index) => ({
      ...table,
      workSchema: workName(tag, at * 10_000 + index),
    })),
  }));
  for (const { database, tables } of wanted) {
    const inside = { ...to, database };
    await withUnlimited(inside, signal, (query) => assertPlacesFree(query, tables));
    await dropSchemas(inside, tables, signal);
  }
  const onBytes = countBytes(options);
  try {
    const counted = [];
    for (const { database, tables } of wanted) {
      const rows = await copyInto(to, { ...options, database, tables, tools, onBytes });
      counted.push({ database, tables, rows });
    }
    const restored: RestoredTable[] = [];
    for (const { database, tables, rows } of counted) {
      await moveTables({ ...to, database }, tables, signal);
      restored.push(...tables.map((table) => describe(database, table, rows)));
    }
    return restored;
  } catch (error) {
    for (const { database, tables } of wanted) {
      const late = AbortSignal.timeout(removeTimeoutMs);
      await dropSchemas({ ...to, database }, tables, late).catch((err: unknown) =>
        log.warn({ err, database }, 'half restored tables were not removed'),
      );
    }
    throw error;
  }
}

async function copyInto(
  to: Connection,
  options: CopyOptions & {
    readonly database: string;
    readonly tables: readonly WorkTable[];
    readonly tools: ClientTools;
    readonly onBytes: (bytes: number) => void;
  },
): Promise<DumpedRows> {
  const { from, database, tables, tools, onBytes, signal } = options;
  await withUnlimited({ ...from, database }, signal, async (query) => {
    for (const table of tables) await prepareTable(query, table);
  });
  const selection = tables.map(({ workSchema }) => `--schema=${quoteName(workSchema)}`);
  const ends = { from: { connection: from, database }, to: { connection: to, database } };
  const rows = toRows(await pipeDump({ ...ends, selection, tools, onBytes, signal }));
  await withUnlimited({ ...to, database }, signal, (query) => countTables(query, rows.tables));
  return rows;
}

async function moveTables(
  inside: Connection,
  tables: readonly WorkTable[],
  signal: AbortSignal,
): Promise<void> {
  try {
    // One message with several statements is one transaction.
    await withUnlimited(inside, signal, (query) => query(planMoves(tables).join(';\n')));
  } catch (error) {
    if (errorCode(error) === '42P07') throw nameTaken('of one of the tables', error);
    throw error;
  }
}

async function dropSchemas(
  inside: Connection,
  tables: readonly WorkTable[],
  signal: AbortSignal,
): Promise<void> {
  await withUnlimited(inside, signal, async (query) => {
    for (const { workSchema } of tables) {
      await query(`drop schema if exists ${quoteName(workSchema)} cascade`);
    }
  });
}

async function findTools(
  to: Connection,
  sourceMajor: number,
  binDirs: readonly string[],
  signal: AbortSignal,
): Promise<ClientTools> {
  const { major } = await withQueries(to, { signal }, readServerSettings);
  return await findClientTools(Math.max(major, sourceMajor), binDirs);
}

function toRows(data: readonly DumpedData[]): DumpedRows {
  return {
    large_objects: data.reduce((n, one) => n + (one.kind === 'table' ? 0 : one.objects), 0),
    tables: data.flatMap((one) => (one.kind === 'table' ? [one] : [])),
  };
}

function sum({ tables }: DumpedRows): number {
  return tables.reduce((total, { rows }) => total + rows, 0);
}

function describe(database: string, table: WorkTable, { tables }: DumpedRows): RestoredTable {
  const { schema, oldName, newName, workSchema } = table;
  const found = tables.find((one) => one.schema === workSchema);
  return { database, schema, oldName, newName, rowCount: found?.rows ?? 0 };
}

function countBytes({ onProgress }: CopyOptions): (bytes: number) => void {
  let doneBytes = 0;
  return (bytes) => {
    doneBytes += bytes;
    onProgress('importing', doneBytes, doneBytes);
  };
}
