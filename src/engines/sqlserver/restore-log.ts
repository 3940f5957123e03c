// Which of the archived backups of log a restore replays, and where each database stops: decided
// for all databases before anything is written.
import { CairnError } from '../../model/errors.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { runBounded } from '../../platform/bounded.ts';
import type { LogSource, LogSourceFile, Recovery } from '../engine.ts';
import type { BackupRecord } from './backup-record.ts';
import { databaseFolder } from './database-folder.ts';
import { momentToDate, sideFileName } from './log-names.ts';
import { findLsn } from './lsn.ts';
import type { ChainPlan, ChainTarget } from './plan-chain.ts';
import { planChain } from './plan-chain.ts';
import { backupSamples, planStopAt } from './plan-stop-at.ts';
import { readStoredLog } from './read-notes.ts';
import { recordFromJson } from './record-json.ts';
import type { WantedDatabase } from './restore-names.ts';
import type { StopPoint } from './tsql-restore.ts';
import { offsetSpanMinutes } from './tsql-session.ts';

export type ArchivedLog = {
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly record: BackupRecord;
  readonly encryptorThumbprint: string | null;
};

export type PlannedDatabase = WantedDatabase & {
  readonly full: BackupRecord;
  readonly differential: BackupRecord | null;
  /** In the order in which they are replayed. */
  readonly logs: readonly ArchivedLog[];
  /** The same on each log; null: all of them. */
  readonly stop: StopPoint | null;
};

const readersMax = 8;
/** More than a step of the server's `datetime`, in which the log keeps moments. */
const tickMs = 4;
/** No clock is put back by more. */
const clockChangeMaxMs = offsetSpanMinutes * 60_000;

/**
 * What is known of the backups of log that the recovery may need of these databases, by their
 * folders. @throws storage-unavailable, repository-damaged
 */
export async function readArchivedLogs(
  log: LogSource,
  wanted: readonly WantedDatabase[],
  { target, signal }: { readonly target: RecoveryTarget; readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, readonly ArchivedLog[]>> {
  const folders = new Set(wanted.map(({ oldName }) => databaseFolder(oldName)));
  const files = (await log.listFiles(signal)).flatMap((file) => {
    const name = parseName(file.name);
    // Of one that has not come to its end only the next attempt of the archive knows the rest.
    const isWanted = name !== null && file.isComplete && folders.has(name.folder);
    return isWanted ? [{ ...file, ...name }] : [];
  });
  const needed = [...Map.groupBy(files, ({ folder }) => folder).values()].flatMap((own) =>
    untilTarget(own, target),
  );
  const found = needed.map((file) => ({ folder: file.folder, log: null as ArchivedLog | null }));
  await runBounded(needed.entries(), readersMax, async ([index, file]) => {
    const entry = found[index];
    if (entry) entry.log = await readOne(log, file, signal);
  });
  const groups = Map.groupBy(found, ({ folder }) => folder);
  return new Map([...groups].map(([folder, own]) => [folder, own.flatMap((one) => one.log ?? [])]));
}

type LogFile = LogSourceFile & { readonly moment: string; readonly folder: string };

/**
 * Those behind a time are not needed, but for the first of them, which proves that all is there,
 * and for what shows that the clock was put back.
 */
function untilTarget(files: readonly LogFile[], target: RecoveryTarget): readonly LogFile[] {
  if (target.kind !== 'time') return files;
  const endMs = target.at.getTime() + clockChangeMaxMs;
  const end = files.findIndex(({ moment }) => momentToDate(moment).getTime() > endMs);
  return end < 0 ? files : files.slice(0, end + 1);
}

async function readOne(log: LogSource, file: LogFile, signal: AbortSignal): Promise<ArchivedLog> {
  const sideName = sideFileName(file);
  const { bytes } = await log.readFile(sideName, signal);
  const { record, encryptorThumbprint } = readStoredLog(bytes, sideName);
  const { name: fileName, sizeBytes } = file;
  return { fileName, sizeBytes, record: recordFromJson(record), encryptorThumbprint };
}

function parseName(fileName: string): { readonly moment: string; readonly folder: string } | null {
  const [, moment, folder] = /^(\d{8}T\d{6}\.\d{7})-([0-9a-f]{16})\.trn$/.exec(fileName) ?? [];
  return moment === undefined || folder === undefined ? null : { moment, folder };
}

/**
 * How each database is restored. Pure. @throws what `planChain` throws, naming every database that
 * cannot be restored to the target
 */
export function planDatabases(
  wanted: readonly WantedDatabase[],
  recovery: Pick<Recovery, 'target'> | null,
  archived: ReadonlyMap<string, readonly ArchivedLog[]>,
): readonly PlannedDatabase[] {
  const target = recovery?.target ?? null;
  if (target?.kind === 'name' && wanted.length > 1 && isPosition(target.name)) {
    throw new CairnError('invalid', `${target.name} is a position in the log of one database`, {
      hint: 'choose one database',
    });
  }
  const everything = [...archived.values()].flat().map(({ record }) => record);
  const failures: { readonly name: string; readonly error: CairnError }[] = [];
  const planned = wanted.flatMap((one): PlannedDatabase[] => {
    try {
      return [planOne(one, target, archived.get(databaseFolder(one.oldName)) ?? [], everything)];
    } catch (error) {
      if (!(error instanceof CairnError) || error.kind === 'bug') throw error;
      failures.push({ name: one.oldName, error });
      return [];
    }
  });
  if (failures.length > 0) throw joinFailures(failures);
  return planned;
}

function planOne(
  wanted: WantedDatabase,
  target: RecoveryTarget | null,
  archived: readonly ArchivedLog[],
  everything: readonly BackupRecord[],
): PlannedDatabase {
  const full = recordFromJson(wanted.stored.full.record);
  const { differential: set } = wanted.stored;
  const differential = set === null ? null : recordFromJson(set.record);
  const data = [full, ...(differential === null ? [] : [differential])];
  if (target === null || target.kind === 'end-of-backup') {
    const { id } = differential ?? full;
    return toPlanned(wanted, planChain(data, { kind: 'end-of-backup', id }), [], null);
  }
  if (wanted.stored.recoveryModel === 'SIMPLE') {
    throw new CairnError('invalid', 'its recovery model is SIMPLE, of which there is no log', {
      hint: 'choose the databases to restore, or restore the backup as it is',
    });
  }
  const { chain, stop } = planStop(target, [...data, ...everything]);
  const records = [...data, ...archived.map(({ record }) => record)];
  const plan = planChain(records, chain);
  if (stop?.kind === 'mark' && plan.logs.length === 0) throw markUnknown(stop.mark);
  return toPlanned(wanted, plan, archived, stop);
}

function toPlanned(
  wanted: WantedDatabase,
  { full, differential, logs }: ChainPlan,
  archived: readonly ArchivedLog[],
  stop: StopPoint | null,
): PlannedDatabase {
  const found = logs.flatMap(({ id }) => archived.find(({ record }) => record.id === id) ?? []);
  return { ...wanted, full, differential, logs: found, stop };
}

export function markUnknown(mark: string): CairnError {
  return new CairnError('invalid', `no log behind the backup holds the mark “${mark}”`, {
    hint: 'choose a later or an earlier backup to begin with, or another target',
  });
}

type PlannedStop = { readonly chain: ChainTarget; readonly stop: StopPoint | null };

function planStop(target: RecoveryTarget, records: readonly BackupRecord[]): PlannedStop {
  switch (target.kind) {
    case 'latest':
      return { chain: target, stop: null };
    case 'time': {
      // What was committed at the moment itself carries it, rounded.
      const at = target.isInclusive ? target.at : new Date(target.at.getTime() - tickMs);
      const localTime = planStopAt(at, backupSamples(records));
      return { chain: { kind: 'time', localTime }, stop: { kind: 'time', localTime } };
    }
    case 'name': {
      const lsn = isPosition(target.name) ? findLsn(target.name.slice(positionWord.length)) : null;
      if (lsn !== null) {
        return { chain: { kind: 'lsn', lsn }, stop: { kind: 'lsn', lsn, isInclusive: true } };
      }
      if (isPosition(target.name)) throw unknownTarget(target.name);
      // Nobody knows where it is: the server says so when it has come to it.
      const stop = { kind: 'mark', mark: target.name, isInclusive: true } as const;
      return { chain: { kind: 'latest' }, stop };
    }
    case 'end-of-backup':
    case 'log-position':
    case 'gtid':
    case 'xid':
      throw unknownTarget(target.kind);
  }
}

function unknownTarget(word: string): CairnError {
  return new CairnError('invalid', `SQL Server knows no such target: ${word}`, {
    hint: 'give a time, the name of a mark, lsn:34000000017600037, or the latest moment',
  });
}

const positionWord = 'lsn:';
const isPosition = (name: string): boolean => name.toLowerCase().startsWith(positionWord);

function joinFailures(
  failures: readonly { readonly name: string; readonly error: CairnError }[],
): CairnError {
  const [first] = failures;
  if (first === undefined) throw new CairnError('bug', 'nothing has failed');
  const { kind, hint, reason, details } = first.error;
  const text = failures.map(({ name, error }) => `database “${name}”: ${error.message}`).join('; ');
  return new CairnError(kind, text, {
    ...(hint === null ? {} : { hint }),
    ...(reason === null ? {} : { reason }),
    ...{ details, cause: first.error },
  });
}
