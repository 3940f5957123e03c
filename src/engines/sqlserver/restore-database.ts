// One database under its hidden name: each of its backups is put into the exchange, looked at,
// verified and restored, one after another; then the database is opened and every page of it read.
//
// The server proves less than it seems to: a header is what a file says of itself, VERIFYONLY looks
// into no page, and a restore that stops too early ends without an error. So headers are compared
// with what was recorded when the backup was taken, and only CHECKDB says that the database is
// good.
import { CairnError } from '../../model/errors.ts';
import type { LogicalSource, LogSource } from '../engine.ts';
import type { BackupRecord } from './backup-record.ts';
import { silenceMaxMs } from './backup-set.ts';
import type { BackupDevices } from './devices.ts';
import type { Exchange, ExchangeName } from './exchange.ts';
import { isHeaderOf } from './media-header.ts';
import type { BackedUpFile } from './plan-move.ts';
import { planMoves } from './plan-move.ts';
import { checkDatabase } from './restore-check.ts';
import type { PlannedDatabase } from './restore-log.ts';
import { markUnknown } from './restore-log.ts';
import { exchangePrefix } from './restore-names.ts';
import type { RestoreProgress } from './restore-progress.ts';
import type { RestoreTarget } from './restore-target.ts';
import type { SqlRow, SqlSession } from './session.ts';
import { databaseStateStatement } from './tsql-inspect.ts';
import { mediaStatement, verifyStatement } from './tsql-media.ts';
import type { MovedFile, RestoreStep } from './tsql-restore.ts';
import { recoverStatement, restoreStatement } from './tsql-restore.ts';

/**
 * A server may fill files with zeros before it says anything, undo what was unfinished after it has
 * said all, and checks without a word: however large the database is.
 */
const longSilenceMs = 24 * 60 * 60_000;

export type RestoreRun = {
  readonly session: SqlSession;
  readonly exchange: Exchange;
  readonly target: RestoreTarget;
  /** Of files of all databases of the server, before anything was restored. */
  readonly takenPaths: readonly string[];
  readonly source: LogicalSource;
  readonly log: LogSource | null;
  readonly tag: string;
  readonly progress: RestoreProgress;
  readonly signal: AbortSignal;
};

export type WholeDatabase = {
  readonly files: readonly MovedFile[];
  /** How many of the planned backups of log were needed. */
  readonly logCount: number;
  /** A line for people: what DBCC CHECKDB has said. */
  readonly checked: string;
};

/** One backup that is restored, of as many files as the server has written. */
type Step = {
  readonly kind: RestoreStep['kind'];
  readonly number: number;
  readonly record: BackupRecord;
  readonly files: readonly StepFile[];
};
type StepFile = {
  readonly sizeBytes: number;
  readonly read: (signal: AbortSignal) => AsyncIterable<Uint8Array>;
};

/** What `RestoreProgress` counts for a database. */
export function countBytes(planned: PlannedDatabase, source: LogicalSource): number {
  const { full, differential } = planned.stored;
  const paths = new Set([...full.paths, ...(differential?.paths ?? [])]);
  const data = source.files().filter(({ path }) => paths.has(path));
  const logBytes = planned.logs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return 3 * sumBytes(data) + 2 * logBytes;
}

/**
 * The database is whole, open and checked when it answers. @throws engine-refused (also when it is
 * damaged), repository-damaged, invalid for a mark that is nowhere; what session, exchange and the
 * sources throw
 */
export async function restoreDatabase(
  run: RestoreRun,
  planned: PlannedDatabase,
): Promise<WholeDatabase> {
  const placed = new Map<string, MovedFile>();
  const { full, differential } = planned.stored;
  await restoreStep(run, planned, placed, setStep('full', full.paths, planned.full, run));
  if (differential !== null && planned.differential !== null) {
    const step = setStep('differential', differential.paths, planned.differential, run);
    await restoreStep(run, planned, placed, step);
  }
  const logCount = await replayLogs(run, planned, placed);
  const { session, progress, signal } = run;
  progress.begin(`checking ${planned.oldName}`, 0);
  const limits = { signal, silenceMaxMs: longSilenceMs };
  const checked = await checkDatabase(session, planned, limits);
  return { files: [...placed.values()], logCount, checked };
}

async function replayLogs(
  run: RestoreRun,
  planned: PlannedDatabase,
  placed: Map<string, MovedFile>,
): Promise<number> {
  const { session, signal } = run;
  const { workName, stop } = planned;
  for (const [index, log] of planned.logs.entries()) {
    const step = logStep(index, log.record, { ...log, source: run.log });
    await restoreStep(run, planned, placed, step);
    if (stop?.kind !== 'mark') continue;
    const [state] = await session.run(databaseStateStatement(workName), { signal });
    if (state?.['state_desc'] === 'ONLINE') return index + 1;
  }
  if (stop?.kind === 'mark') throw markUnknown(stop.mark);
  run.progress.begin('recovering', 0);
  await session.run(recoverStatement(workName), { signal, silenceMaxMs: longSilenceMs });
  return planned.logs.length;
}

async function restoreStep(
  run: RestoreRun,
  planned: PlannedDatabase,
  placed: Map<string, MovedFile>,
  step: Step,
): Promise<void> {
  const { session, exchange, progress, target, signal } = run;
  const sizeBytes = sumBytes(step.files);
  const backup = exchangeName(run.tag, planned.index, step);
  await putFiles(run, planned, backup, step);
  const devices = exchange.devices(backup);
  const watch = { signal, onInfo: progress.onInfo };
  checkHeader(await session.run(mediaStatement('header', devices), { signal }), planned, step);
  if (step.kind !== 'log') {
    progress.begin(`verifying ${planned.oldName}`, sizeBytes);
    const statement = verifyStatement(devices, 'leave-history');
    await session.run(statement, { ...watch, silenceMaxMs: silenceMaxMs(sizeBytes) });
  }
  const moves = await planNewFiles(run, planned, placed, devices);
  progress.begin(`restoring ${planned.oldName}`, sizeBytes);
  const { stop } = planned;
  await session.run(
    restoreStatement({
      ...{ kind: step.kind, database: planned.workName, platform: target.server.platform },
      ...{ devices, moves, stop: step.kind === 'log' ? stop : null, standbyPath: null },
      ...(step.kind === 'log' && stop?.kind === 'mark' ? { recovers: 'where-it-stops' } : {}),
      replace: 'never',
    }),
    { ...watch, silenceMaxMs: longSilenceMs },
  );
  for (const move of moves) placed.set(move.logicalName, move);
  await exchange.remove(backup, signal);
}

async function putFiles(
  { exchange, progress, signal }: RestoreRun,
  { oldName }: PlannedDatabase,
  backup: ExchangeName,
  { files }: Step,
): Promise<void> {
  progress.begin(`copying ${oldName}`, sumBytes(files));
  for (const [stripe, { sizeBytes, read }] of files.entries()) {
    const bytes = countedBytes(read(signal), progress);
    await exchange.put(backup, stripe, { sizeBytes, bytes }, signal);
  }
}

async function* countedBytes(
  bytes: AsyncIterable<Uint8Array>,
  progress: RestoreProgress,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    progress.add(chunk.byteLength);
    yield chunk;
  }
}

/** @throws repository-damaged for another backup than was stored */
function checkHeader(
  rows: readonly SqlRow[],
  { oldName }: PlannedDatabase,
  { kind, record }: Step,
): void {
  if (isHeaderOf(rows, { id: record.id, type: kind })) return;
  const [row = {}] = rows;
  const text = `the stored ${kind} backup ${record.id} of ${oldName} is another one by its header`;
  throw new CairnError('repository-damaged', text, {
    hint: 'check the repository; an older backup may lead to the same moment',
    details: { found: String(row['BackupSetGUID']), type: String(row['BackupType']) },
  });
}

/** Also a backup of log may hold files that the database got meanwhile. */
async function planNewFiles(
  { session, target, takenPaths, signal }: RestoreRun,
  { stem }: PlannedDatabase,
  placed: ReadonlyMap<string, MovedFile>,
  devices: BackupDevices,
): Promise<readonly MovedFile[]> {
  const rows = await session.run(mediaStatement('file-list', devices), { signal });
  const { dataDir, logDir, server } = target;
  const place = { stem, platform: server.platform, dataDir, logDir, takenPaths };
  const moves = planMoves(rows.map(parseFile), place);
  return moves.filter(({ logicalName }) => !placed.has(logicalName));
}

function parseFile(row: SqlRow): BackedUpFile {
  const type = String(row['Type']).trim();
  const logicalName = String(row['LogicalName']);
  if (type === 'D' || type === 'L' || type === 'F' || type === 'S') {
    return { logicalName, type, fileId: Number(row['FileId']) };
  }
  throw new CairnError(
    'engine-refused',
    `the backup lists ${logicalName} as a file of type ${type}`,
  );
}

function setStep(
  kind: 'full' | 'differential',
  paths: readonly string[],
  record: BackupRecord,
  { source }: Pick<RestoreRun, 'source'>,
): Step {
  const stored = new Map(source.files().map((file) => [file.path, file]));
  const files = paths.map((path): StepFile => {
    const file = stored.get(path);
    if (file === undefined) {
      throw new CairnError('repository-damaged', `${path} is not in the backup`);
    }
    return { sizeBytes: file.sizeBytes, read: (signal) => source.stream([file], signal) };
  });
  return { kind, number: 0, record, files };
}

function logStep(
  number: number,
  record: BackupRecord,
  log: {
    readonly fileName: string;
    readonly sizeBytes: number;
    readonly source: LogSource | null;
  },
): Step {
  const { fileName, sizeBytes, source } = log;
  if (source === null) throw new CairnError('bug', 'log was planned, and there is none to read');
  const file = { sizeBytes, read: (signal: AbortSignal) => source.streamFile(fileName, signal) };
  return { kind: 'log', number, record, files: [file] };
}

/** Numbered, because a share may show a file of the same name as it was before. */
function exchangeName(tag: string, index: number, { kind, number, files }: Step): ExchangeName {
  return { name: `${exchangePrefix(tag)}${index}-${kind}-${number}`, stripes: files.length };
}

function sumBytes(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
