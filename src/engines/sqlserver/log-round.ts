// One round: the log of each database is backed up into the exchange, found in the server's
// history, and handed to the archive. A backup of the log exists nowhere else once it is taken, so
// nothing is thrown away here but what the history does not have, and that not before the next
// backup of the same database: the server writes one after the other, so an earlier one whose
// connection was lost has ended by then, one way or the other.
import { CairnError } from '../../model/errors.ts';
import { compareLogPositions } from '../../model/log-position.ts';
import { isPreferredHere } from './always-on.ts';
import { silenceMaxMs } from './backup-set.ts';
import { databaseFolder } from './database-folder.ts';
import type { LogWarning } from './log-choice.ts';
import { chooseForLog, warnOfNoBase } from './log-choice.ts';
import { getLogFile } from './log-files.ts';
import type { OwnLog } from './log-history.ts';
import type { LogName } from './log-names.ts';
import { logFileName, momentToDate, toExchangeName } from './log-names.ts';
import type { LogScene } from './log-scene.ts';
import { toPosition } from './log-sender.ts';
import type { FoundDatabase } from './server-databases.ts';
import { isSystemDatabase, readDatabases } from './server-databases.ts';
import { readServerInfo } from './server-info.ts';
import { isServerError } from './session.ts';
import { backupStatement } from './tsql-backup.ts';

/** What the server answers with; anything else ends the connection's work. */
const refusals: readonly CairnError['kind'][] = [
  ...(['engine-refused', 'conflict', 'storage-full', 'log-gap'] as const),
];
const noFullBackup = 4214;
const secondMs = 1000;

/**
 * Answers what people should know. @throws log-gap when a chain is broken; what the server refuses
 * for one database, after the others have been taken; engine-unreachable; whatever the sink throws
 */
export async function takeRound(scene: LogScene): Promise<readonly LogWarning[]> {
  const { session, sink, sender, signal } = scene;
  const { moment } = await readServerInfo(session, signal);
  const databases = await readDatabases(session, signal);
  const { chosen, warnings } = await choose(databases, scene);
  const failures: CairnError[] = [];
  for (const database of chosen) {
    const failure = await takeLog(database, scene);
    if (failure !== null && (await isWithoutBase(failure, database, scene))) {
      warnings.push(warnOfNoBase(database.name));
    } else if (failure !== null) {
      failures.push(failure);
    }
    await sender.removeStored();
  }
  const folders = new Set(databases.map(({ name }) => databaseFolder(name)));
  await dropUnfinished(
    takeLeftovers(scene, (folder) => !folders.has(folder)),
    scene,
  );
  if (failures[0] !== undefined) throw failures[0];
  sink.mark({ position: sender.end, at: toMark(moment) });
  return warnings;
}

/**
 * What was committed by then is in the backups of a round that began at the moment. The history
 * keeps whole seconds, and a commit takes its time a moment before its record gets a place in the
 * log: one second is left out for each.
 */
export function toMark(moment: string): Date {
  const ms = momentToDate(moment).getTime();
  return new Date(ms - (ms % secondMs) - secondMs);
}

async function choose(
  databases: readonly FoundDatabase[],
  scene: LogScene,
): Promise<{ readonly chosen: readonly FoundDatabase[]; readonly warnings: LogWarning[] }> {
  const { session, chains, signal, leftovers } = scene;
  const chosen: FoundDatabase[] = [];
  const warnings: LogWarning[] = [];
  for (const database of databases) {
    if (isSystemDatabase(database.name)) continue;
    const isFollowed = (await chains.findEnd(database.name)) !== null;
    const isHere = !database.isInGroup || (await isPreferredHere(session, database.name, signal));
    const choice = chooseForLog({ database, isFollowed, isPreferredHere: isHere });
    if (choice.kind === 'take') chosen.push(database);
    else if (choice.warning !== null) warnings.push(choice.warning);
  }
  // What one of these has ended late lies before all that comes now.
  const isLate = ({ name }: FoundDatabase): boolean =>
    leftovers.some(({ folder }) => folder === databaseFolder(name));
  return { chosen: chosen.toSorted((a, b) => Number(isLate(b)) - Number(isLate(a))), warnings };
}

/** The server's refusal; null: its log has been sent. */
async function takeLog(database: FoundDatabase, scene: LogScene): Promise<CairnError | null> {
  const { session, chains, signal, takeMoment } = scene;
  await chains.checkUntouched(database);
  const folder = databaseFolder(database.name);
  const { moment } = await readServerInfo(session, signal);
  const name: LogName = { moment: takeMoment(moment), folder };
  const refusal = await backUp(name, database, scene);
  const logs = await chains.readNew(database.name);
  for (const log of logs) await sendLog(log, scene);
  const sent = new Set(logs.map((log) => log.name.moment));
  // What is in the way of ours may be the one that was lost sight of.
  const older = refusal?.kind === 'conflict' ? [] : takeLeftovers(scene, (one) => one === folder);
  await dropUnfinished(
    [...older, name].filter((one) => !sent.has(one.moment)),
    scene,
  );
  if (refusal !== null || sent.has(name.moment)) return refusal;
  return new CairnError(
    'engine-refused',
    `the server has reported a log backup of ${database.name} that its history does not have`,
    { hint: 'look at msdb.dbo.backupset, and at jobs that clean it up' },
  );
}

async function backUp(
  name: LogName,
  database: FoundDatabase,
  { session, server, exchange, keeperName, signal }: LogScene,
): Promise<CairnError | null> {
  const statement = backupStatement({
    ...{ kind: 'log', server, isCopyOnly: false, compression: 'off', encryption: null },
    database: { ...database, replicaRole: database.isInGroup ? null : 'none' },
    devices: exchange.devices(toExchangeName(keeperName, name)),
    sizes: { transferBytes: null, bufferCount: null, blockBytes: null },
    ...{ estimatedBytes: null, label: 'Cairn log', description: logFileName(name) },
  });
  try {
    await session.run(statement, { signal, silenceMaxMs: silenceMaxMs(database.sizeBytes) });
    return null;
  } catch (error) {
    // Whether it goes on over there, nobody knows: the next attempt looks.
    if (!(error instanceof CairnError) || !refusals.includes(error.kind)) throw error;
    return error;
  }
}

/** One that the history has. @throws log-gap when it does not go on where the archive ends */
export async function sendLog(log: OwnLog, scene: LogScene): Promise<void> {
  const { sender, chains } = scene;
  if (compareLogPositions(toPosition(log.name.moment), sender.end) < 0) {
    const text = `the log of ${log.record.database} was backed up at ${log.name.moment}`;
    throw new CairnError('log-gap', `${text}, and that was not known before later log was stored`, {
      hint: 'the server had been lost sight of: the archive begins anew, with a full backup',
    });
  }
  const file = await getLogFile(log, scene);
  await chains.append(log);
  await sender.send(log, file);
}

function takeLeftovers({ leftovers }: LogScene, of: (folder: string) => boolean): LogName[] {
  const [taken, others] = [true, false].map((isTaken) =>
    leftovers.filter(({ folder }) => of(folder) === isTaken),
  );
  leftovers.splice(0, leftovers.length, ...(others ?? []));
  return taken ?? [];
}

async function dropUnfinished(names: readonly LogName[], scene: LogScene): Promise<void> {
  for (const name of names) {
    // Found by its name alone when the database had another one by then: the next attempt sends it.
    if ((await scene.history.findAt(name.moment)) === null) await scene.sender.remove(name);
  }
}

async function isWithoutBase(
  failure: CairnError,
  { name }: FoundDatabase,
  { chains }: LogScene,
): Promise<boolean> {
  return isServerError(failure, noFullBackup) && (await chains.findEnd(name)) === null;
}
