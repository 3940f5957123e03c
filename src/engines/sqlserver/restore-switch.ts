// Restored databases get their names, all of them or none. Each is renamed from its hidden name;
// what has the name already is renamed first, and stays on the server.
//
// An attempt may die between any two of these steps. Nothing is kept about them but what the server
// shows: a database in its place is known by the names of its files, one that has made room by its
// new name. The first rename comes when all hidden databases are whole, so one that shows means
// that the rest may follow.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { Logger } from '../../platform/logger.ts';
import { databaseFolder } from './database-folder.ts';
import { deviceNames } from './devices.ts';
import type { Exchange } from './exchange.ts';
import type { WantedDatabase } from './restore-names.ts';
import { isSameName } from './restore-names.ts';
import type { TargetFile } from './restore-target.ts';
import { nameTaken, readFiles } from './restore-target.ts';
import type { FoundDatabase } from './server-databases.ts';
import { readDatabases } from './server-databases.ts';
import type { ServerInfo } from './server-info.ts';
import type { SqlSession } from './session.ts';
import { isServerError, openSession } from './session.ts';
import type { SqlStatement } from './statement.ts';
import { backupStatement } from './tsql-backup.ts';
import {
  dropDatabaseStatement,
  multiUserStatement,
  renameDatabaseStatement,
  singleUserStatement,
} from './tsql-database.ts';
import { backupByDeviceStatement } from './tsql-history.ts';

export type SwitchParts = {
  readonly connection: Connection;
  readonly exchange: Exchange;
  readonly server: ServerInfo;
  readonly tag: string;
  readonly replace: boolean;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What the server shows of one wanted database. */
export type Standing = {
  readonly wanted: WantedDatabase;
  /** Has the wanted name, and is not of this restore; null: there is none. */
  readonly old: FoundDatabase | null;
  /** Has the wanted name, and is of this restore. */
  readonly placed: FoundDatabase | null;
  readonly work: FoundDatabase | null;
  readonly replaced: FoundDatabase | null;
};

/** `begin`: nothing of it shows; `forward` and `back`: renames have begun. Pure. */
export function planResume(standings: readonly Standing[]): 'begin' | 'forward' | 'back' {
  const hasBegun = standings.some(({ placed, replaced }) => placed !== null || replaced !== null);
  if (!hasBegun) return 'begin';
  const isReady = ({ placed, work }: Standing): boolean =>
    placed !== null || work?.state === 'ONLINE';
  return standings.every(isReady) ? 'forward' : 'back';
}

/** @throws what the session throws */
export async function readStandings(
  session: SqlSession,
  wanted: readonly WantedDatabase[],
  { collation }: Pick<ServerInfo, 'collation'>,
  signal: AbortSignal,
): Promise<readonly Standing[]> {
  const databases = await readDatabases(session, signal);
  const files = await readFiles(session, signal);
  const find = (name: string): FoundDatabase | null =>
    databases.find((one) => isSameName(one.name, name, collation)) ?? null;
  return wanted.map((one) => {
    const found = find(one.newName);
    const isOurs = found !== null && isOfRestore(found, one, files);
    return {
      wanted: one,
      old: isOurs ? null : found,
      placed: isOurs ? found : null,
      work: find(one.workName),
      replaced: find(one.replacedName),
    };
  });
}

function isOfRestore(
  { name }: FoundDatabase,
  { stem }: WantedDatabase,
  files: readonly TargetFile[],
): boolean {
  return files.some(({ database, path }) => {
    return database === name && (path.split(/[\\/]/).at(-1) ?? '').startsWith(`${stem}_`);
  });
}

/**
 * Gives each database its name, from wherever an earlier attempt has stopped.
 * @returns lines for people, for each one
 * @throws conflict (database-name-taken) when a name was taken meanwhile
 */
export async function placeAll(
  standings: readonly Standing[],
  parts: SwitchParts,
  signal: AbortSignal,
): Promise<readonly (readonly string[])[]> {
  const notes: (readonly string[])[] = [];
  for (const standing of standings) notes.push(await placeOne(standing, parts, signal));
  return notes;
}

async function placeOne(
  { wanted, old, placed, work, replaced }: Standing,
  parts: SwitchParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { newName, workName, replacedName } = wanted;
  const notes: string[] = [];
  if (replaced !== null) {
    await letEverybodyIn(replaced, parts, signal);
    notes.push(`what was called ${newName} is called ${replacedName} now`);
  }
  if (placed !== null) {
    await letEverybodyIn(placed, parts, signal);
    return notes;
  }
  if (work === null) throw new CairnError('bug', `${workName} is not there`);
  if (old !== null) {
    if (!parts.replace || replaced !== null) throw nameTaken(old.name);
    notes.push(...(await setAside(old, wanted, parts, signal)));
  }
  await reveal(parts, { from: workName, to: newName, signal });
  return notes;
}

/** The end of its log is saved while nobody can write to it any more. */
async function setAside(
  old: FoundDatabase,
  wanted: WantedDatabase,
  parts: SwitchParts,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const notes = [`what was called ${old.name} is called ${wanted.replacedName} now`];
  await rename(parts, {
    ...{ from: old.name, to: wanted.replacedName, signal },
    whileAlone: async (session) => {
      notes.push(await saveTail(session, old, wanted, parts, signal));
    },
  });
  return notes;
}

const noLogChain = 4214;

/**
 * A copy: it takes nothing away from the log that others back up. The database goes on under its
 * other name, so nothing depends on it.
 */
async function saveTail(
  session: SqlSession,
  old: FoundDatabase,
  wanted: WantedDatabase,
  { exchange, server, tag }: SwitchParts,
  signal: AbortSignal,
): Promise<string> {
  const none = 'the end of its log was not saved, as its log is in no backup';
  if (old.recoveryModel === 'SIMPLE' || old.hasLogChain === false) return none;
  const name = `cairn-tail-${tag.toLowerCase()}-${databaseFolder(wanted.newName)}`;
  const devices = exchange.devices({ name, stripes: 1 });
  const statement = backupStatement({
    ...{ kind: 'log', server, database: { ...old, replicaRole: 'none' }, devices },
    ...{ isCopyOnly: true, compression: 'off', encryption: null, estimatedBytes: null },
    sizes: { transferBytes: null, bufferCount: null, blockBytes: null },
    ...{ label: 'Cairn: end of the log', description: `before ${old.name} is replaced` },
  });
  try {
    await session.run(statement, { signal, silenceMaxMs: longSilenceMs });
  } catch (error) {
    if (isServerError(error, noLogChain)) return none;
    throw error;
  }
  const [device = ''] = deviceNames(devices);
  const [row] = await session.run(backupByDeviceStatement(old.name, device), { signal });
  if (row === undefined) {
    throw new CairnError('engine-refused', `the end of the log of ${old.name} was not saved`, {
      hint: `the server's history has no backup in ${device}`,
    });
  }
  return `the end of its log lies in ${device}, and is nobody's to remove but yours`;
}

/** Of the log, or of transactions that are undone, there may be much. */
const longSilenceMs = 6 * 60 * 60_000;
const undoTimeoutMs = 60_000;

type Renaming = {
  readonly from: string;
  readonly to: string;
  readonly signal: AbortSignal;
  readonly whileAlone?: (session: SqlSession) => Promise<void>;
};

/** From inside of the database, so that nobody else takes the only place in it. */
async function rename(
  { connection, clock, log }: Pick<SwitchParts, 'connection' | 'clock' | 'log'>,
  { from, to, signal, whileAlone }: Renaming,
): Promise<void> {
  await using session = await openSession({ ...connection, database: from }, { signal });
  let name = from;
  try {
    await patiently(session, singleUserStatement(from), { clock, signal });
    await whileAlone?.(session);
    await patiently(session, renameDatabaseStatement(from, to), { clock, signal });
    name = to;
    await session.run(multiUserStatement(to), { signal });
  } catch (error) {
    const late = deadlineSignal(undoTimeoutMs);
    await session.run(multiUserStatement(name), { signal: late }).catch((err: unknown) => {
      log.warn({ err, database: name }, 'a database may have stayed in single-user mode');
    });
    throw isServerError(error, nameExists) ? nameTaken(to, error) : error;
  }
}

/**
 * From outside: nobody else knows of the hidden database, and a login that may make databases need
 * not get into each that it has made. Never alone in it, or whoever finds its new name first would
 * be.
 */
async function reveal(
  { connection, clock }: Pick<SwitchParts, 'connection' | 'clock'>,
  { from, to, signal }: Renaming,
): Promise<void> {
  await using session = await openSession(connection, { signal });
  try {
    await patiently(session, renameDatabaseStatement(from, to), { clock, signal });
  } catch (error) {
    throw isServerError(error, nameExists) ? nameTaken(to, error) : error;
  }
}

const nameExists = 1801;

async function letEverybodyIn(
  { name, isSingleUser }: FoundDatabase,
  { connection, clock }: Pick<SwitchParts, 'connection' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  if (!isSingleUser) return;
  await using session = await openSession(connection, { signal });
  await patiently(session, multiUserStatement(name), { clock, signal });
}

/**
 * As if nothing had been: what is of this restore goes, what has made room gets its name back.
 * @throws what the session throws: then something is left
 */
export async function undoAll(
  session: SqlSession,
  standings: readonly Standing[],
  parts: SwitchParts,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = parts;
  for (const { wanted, old, placed, work, replaced } of standings) {
    if (placed !== null) await dropDatabase(session, placed, { clock, signal });
    if (replaced !== null && old === null) {
      await letEverybodyIn(replaced, parts, signal);
      await rename(parts, { from: replaced.name, to: wanted.newName, signal });
    }
    // Only an attempt of ours that came as far as to its hidden database has closed the old one.
    const isClosedByUs = parts.replace && work !== null;
    if (old !== null && isClosedByUs) await letEverybodyIn(old, parts, signal);
    if (work !== null) await dropDatabase(session, work, { clock, signal });
    if (old === null || replaced === null) continue;
    throw new CairnError('conflict', `${replaced.name} cannot be called ${old.name} again`, {
      hint: 'somebody has made another database of that name meanwhile',
    });
  }
}

type Patience = { readonly clock: Clock; readonly signal: AbortSignal };

async function dropDatabase(
  session: SqlSession,
  { name, state }: FoundDatabase,
  patience: Patience,
): Promise<void> {
  if (state === 'ONLINE') await patiently(session, singleUserStatement(name), patience);
  await patiently(session, dropDatabaseStatement(name), patience);
}

/** In use: 3101, 3702, 5030, 5061, 5064, 5070; by a statement that was cancelled, it may end. */
const inUse = [3101, 3702, 5030, 5061, 5064, 5070];
const triesMax = 30;
const waitMs = 2000;

async function patiently(
  session: SqlSession,
  statement: SqlStatement,
  { clock, signal }: Patience,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await session.run(statement, { signal, silenceMaxMs: longSilenceMs });
      return;
    } catch (error) {
      const isInUse = inUse.some((number) => isServerError(error, number));
      if (!isInUse || tries >= triesMax) throw error;
      await clock.sleep(waitMs, signal);
    }
  }
}
