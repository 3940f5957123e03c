// A row of the server's history of backups, as `tsql-history.ts` asks for it.
import { CairnError, isErrorKind } from '../../model/errors.ts';
import { parseLsn } from './lsn.ts';

/** D, I, L, and of parts of a database: in full (F, P), or what has changed in them (G, Q). */
export type BackupType = 'full' | 'differential' | 'log' | 'partial' | 'partial-differential';

export type BackupRecord = {
  /** The number in the history of one server; another one's differs. */
  readonly setId: number;
  /** The backup's own id, the same on every server, in lower case. */
  readonly id: string;
  readonly type: BackupType;
  readonly database: string;
  readonly serverName: string | null;
  readonly userName: string | null;
  /** The first of its devices. */
  readonly device: string | null;
  readonly firstLsn: bigint;
  /** Where the next log begins: not in this backup any more. */
  readonly lastLsn: bigint;
  /** Of a differential: the id of the full backup that it is based on. */
  readonly differentialBaseId: string | null;
  readonly firstForkId: string;
  readonly lastForkId: string;
  /** The same for all copies of one database, also after a restore under another name. */
  readonly familyId: string;
  readonly isCopyOnly: boolean;
  readonly isDamaged: boolean;
  readonly hasChecksums: boolean;
  /** Of a log: what was not logged in full lies in it, and recovery cannot stop inside. */
  readonly hasBulkLoggedData: boolean;
  /** By the server's clock, `2026-11-24T21:00:00`; in UTC only where its offset is known. */
  readonly startedLocal: string;
  readonly finishedLocal: string;
  /** Of that clock when the backup began; null: not known. */
  readonly offsetMinutes: number | null;
};

/**
 * Negative when `a` was finished first. By the clock of the server, put right where its offset is
 * known: for choosing, not for proving, as clocks are changed.
 */
export function compareFinished(a: BackupRecord, b: BackupRecord): number {
  const byTime = finishedMs(a) - finishedMs(b);
  if (byTime !== 0) return byTime;
  return a.lastLsn < b.lastLsn ? -1 : a.lastLsn > b.lastLsn ? 1 : 0;
}

function finishedMs({ finishedLocal, offsetMinutes }: BackupRecord): number {
  return Date.parse(`${finishedLocal}Z`) - (offsetMinutes ?? 0) * 60_000;
}

type Row = Readonly<Record<string, unknown>>;

const types: Readonly<Record<string, BackupType>> = {
  D: 'full',
  I: 'differential',
  L: 'log',
  F: 'partial',
  G: 'partial-differential',
  P: 'partial',
  Q: 'partial-differential',
};
/** No clock is further from UTC, in quarters of an hour; 127 stands for not known. */
const zoneMax = 56;
const zoneStepMinutes = 15;

/** @throws engine-refused when the row is not what was asked for: nothing is guessed */
export function parseBackupRow(row: Row): BackupRecord {
  const type = types[text(row, 'type').trim()];
  if (type === undefined) throw oddColumn(row, 'type');
  return {
    setId: integer(row, 'backup_set_id'),
    id: text(row, 'backup_set_uuid').toLowerCase(),
    type,
    database: text(row, 'database_name'),
    serverName: optionalText(row, 'server_name'),
    userName: optionalText(row, 'user_name'),
    device: optionalText(row, 'physical_device_name'),
    firstLsn: parseLsn(text(row, 'first_lsn')),
    lastLsn: parseLsn(text(row, 'last_lsn')),
    differentialBaseId: optionalText(row, 'differential_base_guid')?.toLowerCase() ?? null,
    firstForkId: text(row, 'first_recovery_fork_guid').toLowerCase(),
    lastForkId: text(row, 'last_recovery_fork_guid').toLowerCase(),
    familyId: text(row, 'family_guid').toLowerCase(),
    isCopyOnly: bit(row, 'is_copy_only'),
    isDamaged: bit(row, 'is_damaged'),
    hasChecksums: bit(row, 'has_backup_checksums'),
    hasBulkLoggedData: bit(row, 'has_bulk_logged_data'),
    startedLocal: text(row, 'started_at'),
    finishedLocal: text(row, 'finished_at'),
    offsetMinutes: offset(row),
  };
}

/** The same; null: it makes no sense, as in a history that was repaired, or written by others. */
export function findBackupRow(row: Row): BackupRecord | null {
  try {
    return parseBackupRow(row);
  } catch (error) {
    if (isErrorKind(error, 'engine-refused')) return null;
    throw error;
  }
}

function offset(row: Row): number | null {
  if (row['time_zone'] === null) return null;
  const zone = integer(row, 'time_zone');
  return Math.abs(zone) > zoneMax ? null : zone * zoneStepMinutes;
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string' || value === '') throw oddColumn(row, column);
  return value;
}

function optionalText(row: Row, column: string): string | null {
  const value = row[column];
  return value === null ? null : text(row, column);
}

function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw oddColumn(row, column);
  return value;
}

function bit(row: Row, column: string): boolean {
  const value = row[column];
  if (typeof value !== 'boolean') throw oddColumn(row, column);
  return value;
}

function oddColumn(row: Row, column: string): CairnError {
  const value = String(row[column]);
  return new CairnError('engine-refused', `the history of backups has ${column} = ${value}`, {
    hint: 'Look at the row in msdb.dbo.backupset; a repaired msdb may lack what a chain needs.',
    details: { backupSetId: String(row['backup_set_id']) },
  });
}
