// Databases that are being made on a server. MySQL cannot rename a database, but it moves tables
// from one to another, many in one statement: tables are loaded into a database whose name nobody
// uses, counted, and moved into one with the wanted name when all of them are whole. What speaks of
// tables follows: views, routines, triggers and events.
//
// Until the end a database under its new name holds a table that says whose it is, so that what an
// attempt that died has left is known. MariaDB keeps a remark for each database: from it an attempt
// that died right after the end is known too.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import type { Flavor } from './flavor.ts';
import type { DumpedTable } from './logical-dump.ts';
import { quoteName } from './sql-text.ts';

export type WorkDatabase = {
  readonly newName: string;
  /** Where its tables are until they are whole. */
  readonly workName: string;
  readonly characterSet: string;
  readonly collation: string;
};

type Target = { readonly flavor: Flavor; readonly tag: string };

const removeTimeoutMs = 10 * 60_000;
/** Statements that take as long as the data are large: the signal ends them. */
const unlimitedMs = 24 * 60 * 60_000;
const databaseExists = 1007;

export function workName(tag: string, index: number): string {
  return `cairn_restore_${tag}_${index}`;
}

export async function withUnlimited<T>(
  connection: Connection,
  signal: AbortSignal,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  return await withQueries(connection, { signal, statementTimeoutMs: unlimitedMs }, work);
}

/**
 * Removes what an earlier attempt has left; true: it had come to its end.
 * @throws conflict for a name that is in use
 */
export async function prepareTarget(
  query: Query,
  wanted: readonly WorkDatabase[],
  target: Target,
): Promise<boolean> {
  const { marked, remarked, names } = await readTarget(query, target);
  const isDone = wanted.every(({ newName }) => remarked.has(newName) && !marked.has(newName));
  if (isDone) return true;
  for (const { newName, workName } of wanted) {
    const isOurs = marked.has(newName) || remarked.has(newName);
    if (names.has(newName) && !isOurs) throw nameTaken(newName);
    if (isOurs) await dropDatabase(query, newName);
    await dropDatabase(query, workName);
  }
  return false;
}

export async function createDatabase(
  query: Query,
  name: string,
  { characterSet, collation }: Pick<WorkDatabase, 'characterSet' | 'collation'>,
): Promise<void> {
  try {
    const sorting = `character set ${word(characterSet)} collate ${word(collation)}`;
    await query(`create database ${quoteName(name)} ${sorting}`);
  } catch (error) {
    if (errorNumber(error) === databaseExists) throw nameTaken(name, error);
    throw error;
  }
}

/** All tables of all databases get their place, in one statement. */
export async function moveTables(
  query: Query,
  wanted: readonly WorkDatabase[],
  { tag }: Target,
): Promise<void> {
  const moves: string[] = [];
  for (const one of wanted) {
    const { newName, workName } = one;
    await createDatabase(query, newName, one);
    await query(`create table ${quoteName(newName)}.${quoteName(markerName(tag))} (restoring int)`);
    for (const table of await listTables(query, workName)) {
      const [from, to] = [workName, newName].map(
        (name) => `${quoteName(name)}.${quoteName(table)}`,
      );
      moves.push(`${from} to ${to}`);
    }
  }
  if (moves.length > 0) await query(`rename table ${moves.join(', ')}`);
}

/** From now on the databases are the user's. */
export async function finish(
  query: Query,
  wanted: readonly WorkDatabase[],
  { flavor, tag }: Target,
): Promise<void> {
  for (const { workName } of wanted) await dropDatabase(query, workName);
  if (flavor === 'mariadb') {
    for (const { newName } of wanted) {
      await query(`alter database ${quoteName(newName)} comment = '${remarkOf(tag)}'`);
    }
  }
  for (const { newName } of wanted) {
    await query(`drop table ${quoteName(newName)}.${quoteName(markerName(tag))}`);
  }
}

/** Not under the signal: that may be what ended the restore. */
export async function discard(
  connection: Connection,
  wanted: readonly WorkDatabase[],
  target: Target,
  log: Logger,
): Promise<void> {
  const signal = AbortSignal.timeout(removeTimeoutMs);
  try {
    await withUnlimited(connection, signal, async (query) => {
      const { marked } = await readTarget(query, target);
      for (const { newName, workName } of wanted) {
        await dropDatabase(query, workName);
        if (marked.has(newName)) await dropDatabase(query, newName);
      }
    });
  } catch (err) {
    const databases = wanted.flatMap((one) => [one.workName, one.newName]).join(', ');
    log.warn({ err, databases }, 'half restored databases were not removed');
  }
}

export async function dropDatabase(query: Query, name: string): Promise<void> {
  await query(`drop database if exists ${quoteName(name)}`);
}

/**
 * Compares the rows of every table with those that were in the dump.
 * @throws engine-refused when some are missing, or there are too many
 */
export async function countTables(
  query: Query,
  database: string,
  tables: readonly DumpedTable[],
): Promise<void> {
  const rows = await query(
    `select table_name as name from information_schema.tables
     where table_schema = ? and table_type = 'SYSTEM VERSIONED'`,
    [database],
  );
  const versioned = new Set(rows.map((row) => String(row['name'])));
  for (const { name, rows: expected } of tables) {
    const history = versioned.has(name) ? ' for system_time all' : '';
    const [row] = await query(
      `select count(*) as n from ${quoteName(database)}.${quoteName(name)}${history}`,
    );
    const found = Number(row?.['n']);
    if (found === expected) continue;
    const text = `table ${name}: ${found} rows were restored, and there were ${expected}`;
    throw new CairnError('engine-refused', text, {
      hint: 'nothing was kept of the restore; the backup is as it was',
    });
  }
}

/** A row that the server does not take is found out before anything is touched. */
export async function assertRoomForRows(query: Query, neededBytes: number): Promise<void> {
  const [row] = await query('select @@global.max_allowed_packet as n');
  const allowedBytes = Number(row?.['n']);
  if (neededBytes <= allowedBytes) return;
  const text = `the backup has a row that takes ${neededBytes} bytes to write; the server takes`;
  throw new CairnError('engine-refused', `${text} ${allowedBytes}`, {
    hint: `for the restore: set global max_allowed_packet = ${roundUp(neededBytes)}`,
  });
}

export function nameTaken(name: string, cause?: unknown): CairnError {
  return new CairnError('conflict', `the target has a database “${name}” already`, {
    reason: 'database-name-taken',
    hint: 'restore under another name: none is ever overwritten',
    ...(cause === undefined ? {} : { cause }),
  });
}

const markerName = (tag: string): string => `cairn_restore_${tag}`;
const remarkOf = (tag: string): string => `restored by Cairn (${tag})`;

async function readTarget(
  query: Query,
  { flavor, tag }: Target,
): Promise<{
  readonly names: ReadonlySet<string>;
  readonly marked: ReadonlySet<string>;
  readonly remarked: ReadonlySet<string>;
}> {
  const remark = flavor === 'mariadb' ? 'schema_comment' : "''";
  const databases = await query(
    `select schema_name as name, ${remark} as remark from information_schema.schemata`,
  );
  const markers = await query(
    'select table_schema as name from information_schema.tables where table_name = ?',
    [markerName(tag)],
  );
  const ours = databases.filter((row) => row['remark'] === remarkOf(tag));
  const [names, marked, remarked] = [databases, markers, ours].map(
    (rows) => new Set(rows.map((row) => String(row['name']))),
  );
  const none = new Set<string>();
  return { names: names ?? none, marked: marked ?? none, remarked: remarked ?? none };
}

async function listTables(query: Query, database: string): Promise<readonly string[]> {
  const rows = await query(
    `select table_name as name from information_schema.tables
     where table_schema = ? and table_type <> 'VIEW'`,
    [database],
  );
  return rows.map((row) => String(row['name']));
}

/** A name of the server's own, which needs no quotes. */
function word(text: string): string {
  if (/^\w+$/.test(text)) return text;
  throw new CairnError('repository-damaged', `“${text}” is no character set`);
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20) * 2 ** 20;
}
