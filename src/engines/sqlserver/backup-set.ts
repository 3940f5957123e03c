// One backup that the server writes into the exchange, and the proof that it is one: the server's
// history has it, the files are here and as large as it says, and the server finds its own
// checksums in them. An answer without an error proves nothing, and a connection that was lost
// disproves nothing: in both cases the history is looked at.

import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Random } from '../../platform/random.ts';
import type { BackupRecord } from './backup-record.ts';
import { parseBackupRow } from './backup-record.ts';
import { watched } from './backup-watch.ts';
import { compressionOf, findBackupFolder } from './connection-url.ts';
import { databaseFolder } from './database-folder.ts';
import { deviceNames } from './devices.ts';
import type { Exchange, ExchangeFile, ExchangeName } from './exchange.ts';
import { isHeaderOf } from './media-header.ts';
import type { DataKind } from './plan-data.ts';
import { planStripes } from './plan-stripes.ts';
import type { ServerInfo } from './server-info.ts';
import { readProgress } from './server-progress.ts';
import type { DatabaseTraits } from './server-traits.ts';
import type { SqlInfo, SqlRow, SqlSession } from './session.ts';
import { isServerError, openSession } from './session.ts';
import { judgeSize } from './stored-size.ts';
import { backupStatement } from './tsql-backup.ts';
import { backupByDeviceStatement } from './tsql-history.ts';
import { mediaStatement, verifyStatement } from './tsql-media.ts';

export type SetScene = {
  readonly connection: Connection;
  readonly exchange: Exchange;
  readonly server: ServerInfo;
  /** Names in the exchange begin so. */
  readonly prefix: string;
  readonly label: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type SetOrder = {
  readonly kind: DataKind;
  readonly database: DatabaseTraits;
  readonly sizeBytes: number | null;
  readonly isCopyOnly: boolean;
  /** From 0 to 1. */
  readonly onWritten: (fraction: number) => void;
};

export type TakenSet = {
  readonly name: ExchangeName;
  readonly record: BackupRecord;
  /** One for each stripe. */
  readonly files: readonly ExchangeFile[];
  /** False: the login may not have the server read backups. */
  readonly isVerified: boolean;
  /** By so much the files are shorter than the history says. */
  readonly missingBytes: number;
};

/** For a file to appear here that the server has written: caches of shares keep what is absent. */
const appearTries = 40;
const appearWaitMs = 1000;
const growTries = 10;
const lookTries = 4;
const lookWaitMs = 5000;
const cleanTries = 4;
const cleanWaitMs = 2000;
const cleanTimeoutMs = 60_000;
const minuteMs = 60_000;
/** A server that is slower than that, in bytes a second, is given up on. */
const slowest = 5 * 1024 * 1024;
/** Of the right CREATE DATABASE, in whichever words the server says so. */
const rightMissing = [262, 3110, 15247];

/**
 * Has the server write it, proves it, hands it to `work`, and takes it out of the exchange in every
 * case. @throws engine-unreachable, engine-refused, conflict, storage-full, storage-unavailable,
 * cancelled; what `work` throws
 */
export async function withBackupSet<T>(
  order: SetOrder,
  scene: SetScene,
  work: (set: TakenSet) => Promise<T>,
): Promise<T> {
  const name = nameSet(order, scene);
  try {
    return await work(await takeSet(name, order, scene));
  } finally {
    await removeSet(name, scene);
  }
}

/**
 * What earlier attempts have left behind is worth nothing. What a second Cairn has there from the
 * same server would go too: each needs a place of its own.
 */
export async function removeLeftovers(
  scene: Pick<SetScene, 'exchange' | 'prefix' | 'clock' | 'log' | 'signal'>,
): Promise<void> {
  for (const name of await scene.exchange.list(scene.prefix, scene.signal)) {
    scene.log.warn({ ...name }, 'an earlier backup has left files behind: they are removed');
    await removeSet(name, scene);
  }
}

function nameSet({ database, sizeBytes }: SetOrder, scene: SetScene): ExchangeName {
  const name = `${scene.prefix}${scene.random.hex(6)}-${databaseFolder(database.name)}`;
  const { kind } = scene.exchange.devices({ name, stripes: 1 });
  return { name, stripes: planStripes(sizeBytes, kind) };
}

async function takeSet(name: ExchangeName, order: SetOrder, scene: SetScene): Promise<TakenSet> {
  const lost = await runBackup(name, order, scene);
  await using session = await openAfter(lost, scene);
  const record = await confirm(name, order, scene, session, lost);
  const found = await findFiles(name, record, scene);
  const isVerified = await verify(name, { ...order, record }, scene, session);
  const files = await findFiles(name, record, scene);
  const changed = found.some((file, index) => file.sizeBytes !== files[index]?.sizeBytes);
  const missingBytes = Math.max(0, record.storedBytes - sumBytes(files));
  if (!changed) return { name, record: record.record, files, isVerified, missingBytes };
  throw notWhole(order, 'its files have changed since they were written');
}

/** The error with which the connection was lost; null: the server has said that it is done. */
async function runBackup(
  name: ExchangeName,
  { kind, database, sizeBytes, isCopyOnly, onWritten }: SetOrder,
  scene: SetScene,
): Promise<CairnError | null> {
  const { connection, exchange, server, label, signal, log } = scene;
  const statement = backupStatement({
    ...{ kind, server, database, isCopyOnly, devices: exchange.devices(name) },
    compression: compressionOf(connection),
    ...{ encryption: null, estimatedBytes: sizeBytes },
    sizes: { transferBytes: null, bufferCount: null, blockBytes: null },
    ...{ label, description: 'Taken by Cairn, which stores its files itself' },
  });
  await using session = await openSession(connection, { signal });
  try {
    const onInfo = (info: SqlInfo): void => {
      const fraction = readProgress(info);
      if (fraction !== null) onWritten(fraction);
    };
    const options = { signal, silenceMaxMs: silenceMaxMs(sizeBytes), onInfo };
    await watched(session, scene, onWritten, () => session.run(statement, options));
    return null;
  } catch (error) {
    if (!isErrorKind(error, 'engine-unreachable') || signal.aborted) throw error;
    log.warn({ err: error, database: database.name }, 'the connection was lost during a backup');
    return error;
  }
}

/** Messages come every few percent: large databases are silent for long. */
export function silenceMaxMs(sizeBytes: number | null): number {
  const stepBytes = (sizeBytes ?? 1024 ** 4) / 10;
  return 30 * minuteMs + Math.ceil((stepBytes / slowest) * 1000);
}

async function openAfter(
  lost: CairnError | null,
  { connection, clock, signal }: SetScene,
): Promise<SqlSession> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await openSession(connection, { signal });
    } catch (error) {
      if (lost === null || tries >= lookTries) throw lost ?? error;
      if (!isErrorKind(error, 'engine-unreachable')) throw error;
      await clock.sleep(lookWaitMs, signal);
    }
  }
}

type Confirmed = { readonly record: BackupRecord; readonly storedBytes: number };

async function confirm(
  name: ExchangeName,
  order: SetOrder,
  { exchange, clock, signal }: SetScene,
  session: SqlSession,
  lost: CairnError | null,
): Promise<Confirmed> {
  const [device = ''] = deviceNames(exchange.devices(name));
  for (let tries = 1; ; tries += 1) {
    const statement = backupByDeviceStatement(order.database.name, device);
    const [row] = await session.run(statement, { signal });
    if (row !== undefined) return checkRow(row, name, order);
    if (lost === null) {
      throw new CairnError(
        'engine-refused',
        `the server has reported a backup of ${order.database.name} that its history does not have`,
        { hint: 'look at msdb.dbo.backupset, and at jobs that clean it up; take the backup again' },
      );
    }
    if (tries >= lookTries) throw lost;
    await clock.sleep(lookWaitMs, signal);
  }
}

function checkRow(row: SqlRow, { stripes }: ExchangeName, order: SetOrder): Confirmed {
  const record = parseBackupRow(row);
  const isWanted =
    record.type === order.kind &&
    record.database.toLowerCase() === order.database.name.toLowerCase() &&
    row['family_count'] === stripes &&
    record.isCopyOnly === order.isCopyOnly;
  if (!isWanted) {
    throw notWhole(order, `the history has it as a ${record.type} one in ${row['family_count']}`);
  }
  if (record.isDamaged) throw notWhole(order, 'the history says that it holds damaged pages');
  if (!record.hasChecksums) throw notWhole(order, 'the history says that it has no checksums');
  const storedBytes = Number(row['compressed_backup_size']);
  if (Number.isSafeInteger(storedBytes) && storedBytes >= 0) return { record, storedBytes };
  throw notWhole(order, `the history says that it has ${row['compressed_backup_size']} bytes`);
}

async function findFiles(
  name: ExchangeName,
  { storedBytes, record }: Confirmed,
  scene: SetScene,
): Promise<readonly ExchangeFile[]> {
  for (let tries = 1; ; tries += 1) {
    const files: ExchangeFile[] = [];
    for (let stripe = 0; stripe < name.stripes; stripe += 1) {
      files.push(await waitForFile(name, stripe, scene));
    }
    const verdict = judgeSize(sumBytes(files), storedBytes);
    if (verdict === 'whole') return files;
    // Caches of shares keep sizes for a while, too.
    if (tries < growTries) {
      await scene.clock.sleep(appearWaitMs, scene.signal);
      continue;
    }
    if (verdict === 'doubtful') return files;
    throw notWhole(
      { database: { name: record.database } },
      `the history says that it has ${storedBytes} bytes, and ${sumBytes(files)} are there`,
    );
  }
}

function sumBytes(files: readonly ExchangeFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

async function waitForFile(
  name: ExchangeName,
  stripe: number,
  { connection, exchange, clock, signal }: SetScene,
): Promise<ExchangeFile> {
  for (let tries = 1; tries <= appearTries; tries += 1) {
    const file = await exchange.open(name, stripe, signal);
    if (file !== null) return file;
    await clock.sleep(appearWaitMs, signal);
  }
  const device = deviceNames(exchange.devices(name))[stripe] ?? '';
  const folder = findBackupFolder(connection);
  const where = folder === null ? 'the bucket' : folder.here;
  throw new CairnError(
    'storage-unavailable',
    `the server has written ${device}, and Cairn does not find it in ${where}`,
    { hint: 'both must be the same place: is the share mounted, on the server and here?' },
  );
}

/** False when the login may not: then only a restore can tell. */
async function verify(
  name: ExchangeName,
  { record, ...order }: SetOrder & { readonly record: Confirmed },
  { exchange, signal, log }: SetScene,
  session: SqlSession,
): Promise<boolean> {
  const devices = exchange.devices(name);
  try {
    const rows = await session.run(mediaStatement('header', devices), { signal });
    checkHeader(rows, record.record);
    const statement = verifyStatement(devices, 'leave-history');
    await session.run(statement, { signal, silenceMaxMs: silenceMaxMs(order.sizeBytes) });
    return true;
  } catch (error) {
    if (rightMissing.some((number) => isServerError(error, number))) {
      log.info({ database: order.database.name }, 'the login may not have backups verified');
      return false;
    }
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    throw notWhole(order, error.message, error);
  }
}

function checkHeader(rows: readonly SqlRow[], record: BackupRecord): void {
  if (isHeaderOf(rows, record)) return;
  const [row = {}] = rows;
  const found = `${row['BackupSetGUID']}, of type ${row['BackupType']}`;
  throw notWhole(
    { database: { name: record.database } },
    `the file holds ${found}, and the history has ${record.id}`,
  );
}

function notWhole(
  { database }: { readonly database: Pick<DatabaseTraits, 'name'> },
  why: string,
  cause?: unknown,
): CairnError {
  return new CairnError(
    'engine-refused',
    `the backup of ${database.name} that the server has just written is not whole: ${why}`,
    { hint: 'take it again; look at the disk that the server writes its backups to', cause },
  );
}

/** Never in the way of what happened before; what stays is removed by the next backup. */
async function removeSet(
  name: ExchangeName,
  { exchange, clock, log }: Pick<SetScene, 'exchange' | 'clock' | 'log'>,
): Promise<void> {
  const signal = AbortSignal.timeout(cleanTimeoutMs);
  for (let tries = 1; ; tries += 1) {
    try {
      return await exchange.remove(name, signal);
    } catch (error) {
      // A server that has just been stopped may have the file open for a moment.
      if (tries >= cleanTries || signal.aborted) {
        return log.warn({ err: error, ...name }, 'files of a backup could not be removed');
      }
      await clock.sleep(cleanWaitMs);
    }
  }
}
