// Restores databases of a backup into a server that runs, as the backup has them or to a moment
// that the archived log leads to: all of them, or none.
import { CairnError, toCairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { DatabaseRestoreOptions, RestoredDatabase } from '../engine.ts';
import type { Exchange } from './exchange.ts';
import type { Ground } from './ground.ts';
import { readNotes } from './read-notes.ts';
import type { RestoreRun, WholeDatabase } from './restore-database.ts';
import { countBytes, restoreDatabase } from './restore-database.ts';
import type { PlannedDatabase } from './restore-log.ts';
import { planDatabases, readArchivedLogs } from './restore-log.ts';
import type { WantedDatabase } from './restore-names.ts';
import { exchangePrefix, planNames } from './restore-names.ts';
import { RestoreProgress } from './restore-progress.ts';
import { describeRestored } from './restore-report.ts';
import type { SwitchParts } from './restore-switch.ts';
import { placeAll, planResume, readStandings, undoAll } from './restore-switch.ts';
import type { RestoreTarget } from './restore-target.ts';
import {
  checkCertificates,
  checkEntry,
  checkNames,
  checkTarget,
  readFiles,
  readTarget,
} from './restore-target.ts';
import { readDatabases } from './server-databases.ts';
import type { SqlSession } from './session.ts';
import { openSession } from './session.ts';
import type { StoredNotes } from './stored-notes.ts';

type Scene = {
  readonly options: DatabaseRestoreOptions;
  readonly notes: StoredNotes;
  readonly wanted: readonly WantedDatabase[];
  readonly session: SqlSession;
  readonly target: RestoreTarget;
  readonly parts: SwitchParts;
};

/** Not under the signal of the restore: that may be what ended it. */
const cleanTimeoutMs = 10 * 60_000;

/**
 * @throws invalid (database-unknown, database-name-invalid, version-mismatch, a target that is
 * nowhere), conflict (database-name-taken), log-gap, engine-unreachable, engine-refused (also when
 * the server finds a database damaged), storage-full, repository-damaged
 */
export async function restoreDatabases(
  connection: Connection,
  options: DatabaseRestoreOptions,
  ground: Ground,
): Promise<readonly RestoredDatabase[]> {
  const { signal, tag, replace, log } = options;
  const notes = readNotes(options.source.notes);
  const wanted = planNames(notes.databases, options);
  const exchange = await ground.openExchange(connection);
  await using session = await openSession(connection, { signal });
  const target = await readTarget(session, signal);
  const { server } = target;
  const parts = { connection, exchange, server, tag, replace, clock: ground.clock, log };
  const scene: Scene = { options, notes, wanted, session, target, parts };
  const finished = await resume(scene);
  if (finished !== null) return finished;
  const doubts = checkTarget(target, notes, wanted);
  const planned = await plan(scene);
  try {
    const whole = await restoreAll(scene, planned);
    const restored = await describeRestored(session, { planned, whole, doubts, server, signal });
    const places = await place(scene);
    return restored.map((one, index) => {
      return { ...one, notes: [...one.notes, ...(places[index] ?? [])] };
    });
  } catch (error) {
    throw await giveUp(scene, error);
  } finally {
    await cleanExchange(scene.parts);
  }
}

/**
 * Takes up what an earlier attempt has left: it is brought to its end where it had got that far,
 * and removed where it had not. Null: the restore begins.
 */
async function resume(scene: Scene): Promise<readonly RestoredDatabase[] | null> {
  const { session, wanted, parts, target, options } = scene;
  const { signal, log } = options;
  const standings = await readStandings(session, wanted, target.server, signal);
  const way = planResume(standings);
  if (way === 'forward') {
    log.info('an earlier attempt has restored the databases: they get their names');
    const places = await placeAll(standings, parts, signal).catch(async (error: unknown) => {
      throw await giveUp(scene, error);
    });
    await cleanExchange(parts);
    return wanted.map(({ oldName, newName }, index) => ({
      ...{ oldName, newName, tableCount: null, rowCount: null },
      notes: ['restored by an earlier attempt of this job', ...(places[index] ?? [])],
    }));
  }
  await undoAll(session, standings, parts, signal);
  await cleanExchange(parts);
  return null;
}

/** For every database, before anything is written. */
async function plan(scene: Scene): Promise<readonly PlannedDatabase[]> {
  const { options, wanted, session, target, parts } = scene;
  const { recovery, signal, replace } = options;
  const { collation } = target.server;
  const existing = await readDatabases(session, signal);
  checkNames(wanted, existing, { collation, replace });
  await checkEntry(parts.connection, wanted, existing, { collation, signal });
  const archived = recovery?.log
    ? await readArchivedLogs(recovery.log, wanted, { target: recovery.target, signal })
    : new Map();
  const planned = planDatabases(wanted, recovery, archived);
  for (const { logs } of planned) {
    checkCertificates(
      target.certificates,
      logs.map(({ encryptorThumbprint }) => encryptorThumbprint),
    );
  }
  return planned;
}

async function restoreAll(
  { options, session, target, parts }: Scene,
  planned: readonly PlannedDatabase[],
): Promise<readonly WholeDatabase[]> {
  const { source, signal, tag, recovery, onProgress } = options;
  const totalBytes = planned.reduce((sum, one) => sum + countBytes(one, source), 0);
  const files = await readFiles(session, signal);
  const run: RestoreRun = {
    ...{ session, target, source, tag, signal, exchange: parts.exchange },
    takenPaths: files.map(({ path }) => path),
    log: recovery?.log ?? null,
    progress: new RestoreProgress(totalBytes, onProgress),
  };
  const whole: WholeDatabase[] = [];
  for (const one of planned) whole.push(await restoreDatabase(run, one));
  return whole;
}

async function place(scene: Scene): Promise<readonly (readonly string[])[]> {
  const { session, wanted, target, parts, options } = scene;
  const standings = await readStandings(session, wanted, target.server, options.signal);
  return await placeAll(standings, parts, options.signal);
}

/** Leaves nothing behind, and says so where it cannot. @returns what to throw */
async function giveUp({ wanted, parts }: Scene, reason: unknown): Promise<unknown> {
  const { connection, server, replace, log } = parts;
  const signal = AbortSignal.timeout(cleanTimeoutMs);
  try {
    // The one before may be lost, or busy with what was cancelled.
    await using session = await openSession(connection, { signal });
    const standings = await readStandings(session, wanted, server, signal);
    await undoAll(session, standings, parts, signal);
    return reason;
  } catch (err) {
    const names = wanted
      .flatMap(({ workName, replacedName }) => [workName, ...(replace ? [replacedName] : [])])
      .join(', ');
    log.warn({ err, databases: names }, 'what a failed restore has left was not removed');
    const { kind, message, hint, reason: word, details } = toCairnError(reason);
    const left = `databases ${names} may be left on the server: the next attempt removes them`;
    return new CairnError(kind, message, {
      hint: hint === null ? left : `${hint}; ${left}`,
      ...(word === null ? {} : { reason: word }),
      ...{ details, cause: reason },
    });
  }
}

/** Nothing in the way of what happened before: the next attempt removes what stays. */
async function cleanExchange({
  exchange,
  tag,
  log,
}: { readonly exchange: Exchange } & Pick<SwitchParts, 'tag' | 'log'>): Promise<void> {
  const signal = AbortSignal.timeout(cleanTimeoutMs);
  try {
    for (const name of await exchange.list(exchangePrefix(tag), signal)) {
      await exchange.remove(name, signal);
    }
  } catch (err) {
    log.warn({ err }, 'files of a restore could not be removed from the exchange');
  }
}
