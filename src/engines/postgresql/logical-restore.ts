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
import type { WorkDatabase } from './logical-target.ts';
import {
  assertNamesFree,
  createDatabase,
  discard,
  dropDatabases,
  isRestored,
  renameAll,
  withUnlimited,
  workName,
} from './logical-target.ts';
import type { ClientTools } from './logical-tools.ts';
import { findClientTools } from './logical-tools.ts';
import { readServerSettings } from './server-settings.ts';

type Wanted = WorkDatabase & { readonly dumped: DumpedDatabase };

/** @throws invalid, conflict, engine-unreachable, engine-refused, repository-damaged */
export async function restoreDatabases(
  connection: Connection,
  options: DatabaseRestoreOptions,
  binDirs: readonly string[],
): Promise<readonly RestoredDatabase[]> {
  const { source, signal, tag } = options;
  const contents = await readContents(source, signal);
  const wanted = options.databases.map(({ oldName, newName }, index) => {
    const dumped = findDumped(contents.databases, oldName);
    return { dumped, facts: dumped, newName, workName: workName(tag, index) };
  });
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
    await discard(connection, wanted, options.log);
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

/** The bytes of a dump. @throws repository-damaged, at the end, when others were written */
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

function describe({ dumped, newName }: Wanted): RestoredDatabase {
  const { name: oldName, tables } = dumped;
  const rowCount = tables.reduce((sum, { rows }) => sum + rows, 0);
  return { oldName, newName, tableCount: tables.length, rowCount };
}
