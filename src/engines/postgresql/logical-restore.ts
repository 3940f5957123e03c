// Restores databases of a logical backup under new names. Each is imported into a database whose
// name nobody uses, its rows are counted, and only when all of them are whole do they get their
// names, in one transaction: a name never leads to half a database. What an attempt that died has
// left is known by its name, and removed by the next one.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { DatabaseRestoreOptions, LogicalSource, RestoredDatabase } from '../logical.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorCode } from './connection-error.ts';
import { databaseArgument, runClient } from './logical-client.ts';
import type { DumpedDatabase } from './logical-contents.ts';
import { filesBelow, globalsFolder, readContents, readText } from './logical-contents.ts';
import { countRestored } from './logical-count.ts';
import {
  assertOwnersExist,
  planMissingRoles,
  readRoleNames,
  splitStatements,
} from './logical-roles.ts';
import type { ClientTools } from './logical-tools.ts';
import { findClientTools } from './logical-tools.ts';
import { readServerSettings } from './server-settings.ts';

const removeTimeoutMs = 60_000;

type Wanted = {
  readonly dumped: DumpedDatabase;
  readonly newName: string;
  /** The name it has until it is whole. */
  readonly workName: string;
};

/** @throws invalid, conflict, engine-unreachable, engine-refused, repository-damaged */
export async function restoreDatabases(
  connection: Connection,
  options: DatabaseRestoreOptions,
  binDirs: readonly string[],
): Promise<readonly RestoredDatabase[]> {
  const { source, signal, tag } = options;
  const contents = await readContents(source, signal);
  const wanted = options.databases.map(({ oldName, newName }, index) => ({
    dumped: findDumped(contents.databases, oldName),
    newName,
    workName: `cairn_restore_${tag}_${index}`,
  }));
  const { major } = await withQueries(connection, { signal }, readServerSettings);
  const toolMajor = Number.parseInt(contents.tool_version, 10);
  const tools = await findClientTools(Math.max(major, toolMajor), binDirs);
  const isDone = await withUnlimited(connection, signal, async (query) => {
    if (await isRestored(query, wanted, tag)) return true;
    await assertNamesFree(query, wanted);
    await prepareRoles(query, wanted, options);
    await dropDatabases(query, wanted);
    return false;
  });
  if (isDone) return wanted.map(describe);
  try {
    await importAll(connection, wanted, { ...options, tools });
    await withUnlimited(connection, signal, (query) => renameAll(query, wanted, tag));
    return wanted.map(describe);
  } catch (error) {
    await discard(connection, wanted, options);
    throw error;
  }
}

async function importAll(
  connection: Connection,
  wanted: readonly Wanted[],
  options: DatabaseRestoreOptions & { readonly tools: ClientTools },
): Promise<void> {
  const { onProgress, signal } = options;
  const totalBytes = wanted.reduce((sum, { dumped }) => sum + dumped.dump_bytes, 0);
  let doneBytes = 0;
  const onBytes = (bytes: number): void => {
    doneBytes += bytes;
    onProgress('importing', doneBytes, totalBytes);
  };
  for (const one of wanted) {
    await withUnlimited(connection, signal, (query) => createDatabase(query, one));
    await importDump(connection, one, { ...options, onBytes });
    onProgress('counting rows', doneBytes, totalBytes);
    const database = one.workName;
    await withUnlimited({ ...connection, database }, signal, (query) =>
      countRestored(query, one.dumped),
    );
  }
}

async function importDump(
  connection: Connection,
  { dumped, workName }: Wanted,
  options: Pick<DatabaseRestoreOptions, 'source' | 'signal'> & {
    readonly tools: ClientTools;
    readonly onBytes: (bytes: number) => void;
  },
): Promise<void> {
  const { source, signal, tools, onBytes } = options;
  await runClient(connection, {
    program: join(tools.binDir, 'pg_restore'),
    args: [
      ...['--exit-on-error', '--no-password', '--no-tablespaces'],
      `--dbname=${databaseArgument(workName)}`,
    ],
    signal,
    input: checkedDump(source, dumped, { signal, onBytes }),
    take: () => undefined,
  });
}

/** The bytes of a dump. @throws repository-damaged, at the end, when they are not those that were written */
async function* checkedDump(
  source: LogicalSource,
  { name, folder, dump_bytes, dump_sha256 }: DumpedDatabase,
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
): AsyncGenerator<Uint8Array> {
  const digest = createHash('sha256');
  let sizeBytes = 0;
  for await (const bytes of source.stream(filesBelow(source, folder), signal)) {
    digest.update(bytes);
    sizeBytes += bytes.byteLength;
    onBytes(bytes.byteLength);
    yield bytes;
  }
  if (sizeBytes === dump_bytes && digest.digest('hex') === dump_sha256) return;
  throw new CairnError('repository-damaged', `the dump of database ${name} is not as it was made`);
}

function findDumped(databases: readonly DumpedDatabase[], name: string): DumpedDatabase {
  const found = databases.find((one) => one.name === name);
  if (found) return found;
  throw new CairnError('invalid', `the backup holds no database “${name}”`, {
    reason: 'database-unknown',
    hint: `it holds ${databases.map((one) => one.name).join(', ')}`,
  });
}

async function assertNamesFree(query: Query, wanted: readonly Wanted[]): Promise<void> {
  const names = wanted.map(({ newName }) => newName);
  const rows = await query('select datname from pg_database where datname = any($1)', [names]);
  const [taken] = rows;
  if (taken) throw nameTaken(String(taken.datname));
}

/** @throws invalid when owners are missing and none is to be made */
async function prepareRoles(
  query: Query,
  wanted: readonly Wanted[],
  { source, missingRoles, signal }: DatabaseRestoreOptions,
): Promise<void> {
  const existing = await readRoleNames(query);
  if (missingRoles === 'create') {
    const statements = splitStatements(await readText(source, globalsFolder, signal));
    const plan = planMissingRoles(statements, existing);
    if (plan.length > 0) await query(['begin', ...plan, 'commit'].join(';\n'));
  }
  const owners = new Set(wanted.flatMap(({ dumped }) => dumped.owners));
  assertOwnersExist([...owners], await readRoleNames(query));
}

async function createDatabase(query: Query, { dumped, workName }: Wanted): Promise<void> {
  const { encoding, collate, ctype, locale_provider: provider, locale, icu_rules: rules } = dumped;
  const words = [
    `template template0 encoding ${quoteText(encoding)}`,
    `lc_collate ${quoteText(collate)} lc_ctype ${quoteText(ctype)}`,
    ...(provider === 'i' ? [`locale_provider icu icu_locale ${quoteText(locale ?? '')}`] : []),
    ...(provider === 'i' && rules !== null ? [`icu_rules ${quoteText(rules)}`] : []),
    ...(provider === 'b'
      ? [`locale_provider builtin builtin_locale ${quoteText(locale ?? '')}`]
      : []),
  ];
  await query(`create database ${quoteName(workName)} ${words.join(' ')}`);
}

/** With a remark that tells a later attempt of the same job that they are its own. */
async function renameAll(query: Query, wanted: readonly Wanted[], tag: string): Promise<void> {
  const statements = wanted.flatMap(({ workName, newName }) => [
    `alter database ${quoteName(workName)} rename to ${quoteName(newName)}`,
    `comment on database ${quoteName(newName)} is ${quoteText(remarkOf(tag))}`,
  ]);
  try {
    // One message with several statements is one transaction.
    await query(statements.join(';\n'));
  } catch (error) {
    if (errorCode(error) === '42P04') throw nameTaken('of one of the databases', error);
    throw error;
  }
}

/** An attempt that died right after it had given the names. */
async function isRestored(query: Query, wanted: readonly Wanted[], tag: string): Promise<boolean> {
  const names = wanted.map(({ newName }) => newName);
  const rows = await query(
    `select from pg_database where datname = any($1)
       and shobj_description(oid, 'pg_database') = $2`,
    [names, remarkOf(tag)],
  );
  return rows.length === wanted.length;
}

const remarkOf = (tag: string): string => `restored by Cairn (${tag})`;

function describe({ dumped, newName }: Wanted): RestoredDatabase {
  const { name: oldName, tables } = dumped;
  const rowCount = tables.reduce((sum, { rows }) => sum + rows, 0);
  return { oldName, newName, tableCount: tables.length, rowCount };
}

async function dropDatabases(query: Query, wanted: readonly Wanted[]): Promise<void> {
  for (const { workName } of wanted) {
    await query(`drop database if exists ${quoteName(workName)} with (force)`);
  }
}

/** Not under the signal: that may be what ended the restore. */
async function discard(
  connection: Connection,
  wanted: readonly Wanted[],
  { log }: DatabaseRestoreOptions,
): Promise<void> {
  const signal = AbortSignal.timeout(removeTimeoutMs);
  try {
    await withUnlimited(connection, signal, (query) => dropDatabases(query, wanted));
  } catch (error) {
    const databases = wanted.map(({ workName }) => workName).join(', ');
    log.warn({ err: error, databases }, 'half restored databases were not removed');
  }
}

/** Statements that take as long as the data are large: only the signal ends them. */
async function withUnlimited<T>(
  connection: Connection,
  signal: AbortSignal,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  return await withQueries(connection, { signal, takenOver: true }, work);
}

function nameTaken(name: string, cause?: unknown): CairnError {
  return new CairnError('conflict', `the target has a database “${name}” already`, {
    reason: 'database-name-taken',
    hint: 'restore under another name: none is ever overwritten',
    ...(cause === undefined ? {} : { cause }),
  });
}

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;
