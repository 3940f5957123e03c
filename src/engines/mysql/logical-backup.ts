// A logical backup: what databases contain, as SQL that any server can load. One run of the dump
// program reads all of them in one transaction, so all are as of one moment, and says where the
// binary log stood then. Tables whose engine has no transactions are read when their turn comes.
//
// It needs nothing but a login. Of all databases of a server it is a base backup that archived log
// can be replayed on: accounts and grants come with it, and are the same before and after the
// moment. It notes which tables are not as of the moment, and when the last of them had been read
// (`outside-snapshot.ts`).
import { isDeepStrictEqual } from 'node:util';
import { contentsLimits } from '../../model/backup-contents.ts';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import { countDumped } from '../dump-progress.ts';
import type { BaseBackupOptions, BaseBackupResult } from '../engine.ts';
import type { LogicalBackupOptions } from '../logical.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import { formatAccounts, readAccounts } from './logical-accounts.ts';
import type { ClientRun } from './logical-client.ts';
import { dumpArguments, dumpSilenceMs, runClient } from './logical-client.ts';
import type { DumpContents, DumpedAccount } from './logical-contents.ts';
import {
  accountsPath,
  contentsPath,
  databaseFolder,
  formatContents,
  logicalKind,
} from './logical-contents.ts';
import { DumpReader } from './logical-dump.ts';
import { DumpFiles } from './logical-files.ts';
import type { FoundDatabase, ServerSurvey } from './logical-survey.ts';
import {
  hasHistory,
  leftOut,
  readDefinitions,
  readDumpEnd,
  readOutsideSnapshot,
  readPosition,
  surveyServer,
} from './logical-survey.ts';
import type { OutsideNotes } from './outside-snapshot.ts';
import { describeOutside } from './outside-snapshot.ts';
import { readSystemIdentifier } from './server-identity.ts';

/** Absolute paths of the programs. */
export type LogicalTools = { readonly client: string; readonly dump: string };

export type LogicalParts = {
  readonly clock: Clock;
  /** @throws engine-refused naming what to install */
  readonly findTools: (serverVersion: string) => Promise<LogicalTools>;
};

/** @throws invalid (database-unknown), engine-unreachable, engine-refused, what the sink throws */
export async function takeLogicalBackup(
  connection: Connection,
  options: LogicalBackupOptions,
  parts: LogicalParts,
): Promise<BaseBackupResult> {
  const survey = await surveyServer(connection, options.databases, options.signal);
  return await backUp({ connection, survey, isWhole: false }, options, parts);
}

/**
 * Every database but the server's own, and who may do what.
 * @throws engine-unreachable, engine-refused, what the sink throws
 */
export async function takeLogicalFull(
  connection: Connection,
  options: Omit<BaseBackupOptions, 'label' | 'previous'>,
  parts: LogicalParts,
): Promise<BaseBackupResult> {
  const survey = await surveyServer(connection, 'all', options.signal);
  const result = await backUp({ connection, survey, isWhole: true }, options, parts);
  return { ...result, contents: toBackupContents(survey) };
}

type Scene = {
  readonly connection: Connection;
  readonly survey: ServerSurvey;
  readonly isWhole: boolean;
};
type RunOptions = Omit<LogicalBackupOptions, 'databases'>;

async function backUp(
  scene: Scene,
  options: RunOptions,
  { clock, findTools }: LogicalParts,
): Promise<BaseBackupResult> {
  const { connection, survey } = scene;
  const { signal, log } = options;
  const { dump } = await findTools(survey.serverVersion);
  warnOfUnsafe(survey, log);
  const files = new DumpFiles(options.sink, clock.now());
  const reader = new DumpReader();
  const { accounts, outside } = await dumpAll({ ...scene, program: dump, reader, files }, options);
  if (accounts === null) log.warn({}, 'the login may not read the accounts: none are backed up');
  await files.writeFile(accountsPath, Buffer.from(formatAccounts(accounts ?? [])));
  const contents: DumpContents = {
    format: 1,
    server_version: survey.serverVersion,
    has_accounts: accounts !== null,
    accounts: [...(accounts ?? [])],
    files: [...files.end()],
    databases: survey.databases.map((one) => describe(one, reader)),
  };
  await files.writeFile(contentsPath, formatContents(contents));
  const facts = await withQueries(connection, { signal }, async (query) => ({
    systemIdentifier: await readSystemIdentifier(query, survey.flavor),
    positionNow: await readPosition(query, survey),
  }));
  const position: LogPosition = reader.position
    ? { engine: 'mysql', ...reader.position }
    : facts.positionNow;
  return {
    serverVersion: survey.serverVersion,
    systemIdentifier: facts.systemIdentifier,
    startPosition: position,
    stopPosition: position,
    lastLogFile: contentsPath,
    notes: {
      ...{ version: 1, kind: logicalKind, flavor: survey.flavor, settings: survey.settings },
      ...outside,
    },
  };
}

type Dump = Scene & {
  readonly program: string;
  readonly reader: DumpReader;
  readonly files: DumpFiles;
};

type Dumped = {
  /** Null: the login may not read them. */
  readonly accounts: readonly DumpedAccount[] | null;
  /** Null: no log is replayed on it. */
  readonly outside: OutsideNotes | null;
};

/**
 * Log is to be replayed on what was dumped: it fails on a statement that makes what is there
 * already.
 */
async function dumpAll(dump: Dump, options: RunOptions): Promise<Dumped> {
  const { connection, survey, isWhole, program, reader, files } = dump;
  const { signal } = options;
  const names = survey.databases.map(({ name }) => name);
  const ask = <T>(work: (query: Query) => Promise<T>): Promise<T> =>
    withQueries(connection, { signal }, work);
  const readOwn = (query: Query): ReturnType<typeof readAccounts> =>
    readAccounts(query, survey.flavor);
  const isReplayed = isWhole && survey.hasBinaryLog;
  const before = isReplayed ? await ask(readDefinitions) : [];
  const accounts = await ask(readOwn);
  let accountsThen: typeof accounts | undefined;
  const progress = countDumped(options, survey.databases);
  const takeBytes = async (bytes: Uint8Array): Promise<void> => {
    progress(bytes);
    await files.write(reader.push(bytes));
    // The moment has just been: the dump has told where the log stood then.
    if (isReplayed && reader.position && accountsThen === undefined) {
      accountsThen = await ask(readOwn);
    }
  };
  if (names.length === 0) return { accounts, outside: null };
  await runDump(dump, { program, names, signal, take: takeBytes });
  await files.write(reader.end(names));
  if (!isReplayed) return { accounts, outside: null };
  if (!reader.position) {
    throw new CairnError('engine-refused', 'the dump does not say where the binary log stood');
  }
  // Before the definitions: these are those of the dump if nothing was changed until then.
  const outside = await ask(async (query) => {
    const dumpEnd = await readDumpEnd(query, survey.flavor);
    return describeOutside(await readOutsideSnapshot(query), dumpEnd);
  });
  assertSame('accounts', accounts, accountsThen);
  assertSame('definitions of tables, views or routines', before, await ask(readDefinitions));
  return { accounts, outside };
}

async function runDump(
  { connection, survey, isWhole }: Dump,
  run: Pick<ClientRun, 'program' | 'signal' | 'take'> & { readonly names: readonly string[] },
): Promise<void> {
  const { flavor, hasBinaryLog } = survey;
  const { program, names, signal, take } = run;
  const args = dumpArguments({
    ...{ flavor, databases: names, withHistory: hasHistory(survey), leftOut: leftOut(survey) },
    // MySQL's stops all writers for a moment, and needs more rights.
    withPosition: hasBinaryLog && (isWhole || flavor === 'mariadb'),
  });
  const silenceMs = dumpSilenceMs;
  await runClient({ connection, flavor }, { program, args, signal, silenceMs, take });
}

/** @throws engine-refused */
function assertSame(what: string, before: unknown, after: unknown): void {
  if (isDeepStrictEqual(before, after)) return;
  throw new CairnError('engine-refused', `${what} were changed while the backup was taken`, {
    hint:
      'take it again when nobody changes them, or on the server\u2019s host, where the files are ' +
      'copied',
  });
}

function describe(
  { name, characterSet, collation, withoutSnapshot, brokenViews }: FoundDatabase,
  reader: DumpReader,
): DumpContents['databases'][number] {
  const { tables, definers, largestStatementBytes } = reader.textOf(name);
  return {
    ...{ name, collation, folder: databaseFolder(name), character_set: characterSet },
    ...{ definers: [...definers], tables: [...tables] },
    statement_bytes_max: largestStatementBytes,
    tables_without_snapshot: [...withoutSnapshot],
    broken_views: brokenViews.map((view) => ({ name: view.name, create: view.create })),
  };
}

function warnOfUnsafe(survey: ServerSurvey, log: RunOptions['log']): void {
  const unsafe = survey.databases.flatMap(({ name, withoutSnapshot }) =>
    withoutSnapshot.map((table) => `${name}.${table}`),
  );
  const shown = (names: readonly string[]): { readonly count: number; readonly names: string } => ({
    count: names.length,
    names: names.slice(0, 20).join(', '),
  });
  if (unsafe.length > 0) {
    const text = 'tables without transactions are read when their turn comes, not as of one moment';
    log.warn(shown(unsafe), text);
  }
  const broken = leftOut(survey);
  if (broken.length > 0) {
    log.warn(shown(broken), 'views that speak of what is not there cannot be dumped');
  }
}

function toBackupContents({ databases }: ServerSurvey): NonNullable<BaseBackupResult['contents']> {
  const { databasesMax, tablesMax } = contentsLimits;
  let room = tablesMax;
  const listed = databases.slice(0, databasesMax).map(({ name, tables }) => {
    const shown = tables.slice(0, room).map((table) => ({ schema: '', name: table }));
    room -= shown.length;
    return { name, tables: shown };
  });
  const tableCount = databases.reduce((sum, { tables }) => sum + tables.length, 0);
  return {
    isComplete: databases.length <= databasesMax && tableCount <= tablesMax,
    databases: listed,
  };
}
