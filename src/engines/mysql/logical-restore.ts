// Restores databases of a logical backup under new names: all of them, or none.
import { createHash } from 'node:crypto';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { DatabaseRestoreOptions, LogicalSource, RestoredDatabase } from '../logical.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { errorNumber } from './connection-error.ts';
import {
  assertDefinersExist,
  grantAll,
  planMissingAccounts,
  readAccountNames,
} from './logical-accounts.ts';
import type { LogicalParts } from './logical-backup.ts';
import type { ClientTarget } from './logical-client.ts';
import { importArguments, importSilenceMs, runClient } from './logical-client.ts';
import type { DumpContents, DumpedDatabase, DumpedFile } from './logical-contents.ts';
import { filesOf, readContents } from './logical-contents.ts';
import type { DumpPart } from './logical-dump.ts';
import { ProgramText } from './logical-programs.ts';
import type { WorkDatabase } from './logical-target.ts';
import {
  assertRoomForRows,
  countTables,
  createDatabase,
  discard,
  finish,
  moveTables,
  prepareTarget,
  withUnlimited,
  workName,
} from './logical-target.ts';
import { readFlavor } from './server-identity.ts';

type Wanted = WorkDatabase & { readonly dumped: DumpedDatabase };

/** @throws invalid, conflict, engine-unreachable, engine-refused, repository-damaged */
export async function restoreDatabases(
  connection: Connection,
  options: DatabaseRestoreOptions,
  parts: Pick<LogicalParts, 'findTools'>,
): Promise<readonly RestoredDatabase[]> {
  const { source, signal, tag } = options;
  const contents = await readContents(source, signal);
  const wanted = planWanted(contents, options);
  const { flavor, serverVersion } = await withQueries(connection, { signal }, readFlavor);
  const { client } = await parts.findTools(serverVersion);
  const target = { connection, flavor, tag };
  const isDone = await withUnlimited(connection, signal, async (query) => {
    if (await prepareTarget(query, wanted, target)) return true;
    const largest = wanted.map(({ dumped }) => dumped.statement_bytes_max);
    await assertRoomForRows(query, Math.max(...largest));
    await prepareAccounts(query, wanted, { ...options, contents, flavor });
    return false;
  });
  if (isDone) return wanted.map(describe);
  try {
    const run = { ...options, contents, client, target };
    await importTables(wanted, run);
    await withUnlimited(connection, signal, (query) => moveTables(query, wanted, target));
    for (const one of wanted) await importPrograms(one, run);
    await withUnlimited(connection, signal, (query) => finish(query, wanted, target));
    return wanted.map(describe);
  } catch (error) {
    await discard(connection, wanted, target, options.log);
    throw error;
  }
}

type Run = DatabaseRestoreOptions & {
  readonly contents: DumpContents;
  /** The program. */
  readonly client: string;
  readonly target: ClientTarget;
};

function planWanted(
  { databases }: DumpContents,
  { databases: names, tag }: DatabaseRestoreOptions,
): readonly Wanted[] {
  return names.map(({ oldName, newName }, index) => {
    const dumped = databases.find(({ name }) => name === oldName);
    if (!dumped) {
      throw new CairnError('invalid', `the backup holds no database “${oldName}”`, {
        reason: 'database-unknown',
        hint: `it holds ${databases.map(({ name }) => name).join(', ')}`,
      });
    }
    const { character_set: characterSet, collation } = dumped;
    return { dumped, newName, workName: workName(tag, index), characterSet, collation };
  });
}

async function importTables(wanted: readonly Wanted[], run: Run): Promise<void> {
  const { source, onProgress, signal, target, client } = run;
  const parts = ['head', 'tables'] as const;
  const files = wanted.flatMap(({ dumped }) => filesOf(source.files(), dumped.folder, parts));
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  const onBytes = (bytes: number): void => {
    doneBytes += bytes;
    onProgress('importing', doneBytes, totalBytes);
  };
  for (const one of wanted) {
    const { dumped, workName } = one;
    const { connection } = target;
    await withUnlimited(connection, signal, (query) => createDatabase(query, workName, one));
    await runClient(target, {
      program: client,
      args: importArguments(workName),
      ...{ signal, silenceMs: importSilenceMs, take: () => undefined },
      input: checkedFiles(source, run.contents, { folder: dumped.folder, parts, signal, onBytes }),
    });
    onProgress('counting rows', doneBytes, totalBytes);
    await withUnlimited(connection, signal, (query) => countTables(query, workName, dumped.tables));
  }
}

async function importPrograms({ dumped, newName }: Wanted, run: Run): Promise<void> {
  const { source, contents, signal, target, client } = run;
  const text = new ProgramText();
  const parts = ['programs', 'views'] as const;
  const options = { folder: dumped.folder, parts, signal, onBytes: () => undefined };
  for await (const bytes of checkedFiles(source, contents, options)) text.add(bytes);
  await loadPrograms(target, { client, database: newName, text, signal });
}

/** What speaks of the tables, once they are there. */
export async function loadPrograms(
  target: ClientTarget,
  load: {
    readonly client: string;
    readonly database: string;
    readonly text: ProgramText;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { client, database, text, signal } = load;
  if (text.isEmpty) return;
  await runClient(target, {
    program: client,
    args: importArguments(database),
    ...{ signal, silenceMs: importSilenceMs, take: () => undefined },
    input: once(text.forCopy()),
  });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The bytes of these parts of a database. @throws repository-damaged when others were written */
async function* checkedFiles(
  source: LogicalSource,
  { files: written }: DumpContents,
  options: {
    readonly folder: string;
    readonly parts: readonly DumpPart[];
    readonly signal: AbortSignal;
    readonly onBytes: (bytes: number) => void;
  },
): AsyncGenerator<Uint8Array> {
  const { folder, parts, signal, onBytes } = options;
  const byPath = new Map(source.files().map((file) => [file.path, file]));
  for (const expected of filesOf(written, folder, parts)) {
    const stored = byPath.get(expected.path);
    if (!stored) throw missing(expected);
    const digest = createHash('sha256');
    for await (const bytes of source.stream([stored], signal)) {
      digest.update(bytes);
      onBytes(bytes.byteLength);
      yield bytes;
    }
    assertSame(expected, digest.digest('hex'));
  }
}

export function assertSame({ path, sha256 }: DumpedFile, found: string): void {
  if (found === sha256) return;
  throw new CairnError('repository-damaged', `${path} of the dump is not as it was made`);
}

export function missing({ path }: DumpedFile): CairnError {
  return new CairnError('repository-damaged', `${path} of the dump is not in the backup`);
}

/** @throws invalid when accounts are missing and none is to be made */
async function prepareAccounts(
  query: Query,
  wanted: readonly Wanted[],
  options: DatabaseRestoreOptions & { readonly contents: DumpContents } & Pick<
      ClientTarget,
      'flavor'
    >,
): Promise<void> {
  const { contents, missingRoles, flavor, log } = options;
  const definers = [...new Set(wanted.flatMap(({ dumped }) => dumped.definers))];
  if (definers.length === 0) return;
  const existing = await readAccountNames(query, flavor).catch((error: unknown) => {
    if (errorNumber(error) === null) throw error;
    log.warn({ err: error }, 'the login may not see whether the accounts of the dump exist');
    return null;
  });
  if (existing === null) return;
  if (missingRoles === 'create') {
    await grantAll(query, planMissingAccounts(contents.accounts, definers, existing), log);
  }
  assertDefinersExist(definers, await readAccountNames(query, flavor));
}

function describe({ dumped, newName }: Wanted): RestoredDatabase {
  const { name: oldName, tables } = dumped;
  const rowCount = tables.reduce((sum, { rows }) => sum + rows, 0);
  return { oldName, newName, tableCount: tables.length, rowCount };
}
