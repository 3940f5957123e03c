// The server's own history of backups, in msdb: the proof that a backup exists, and what others
// have done meanwhile (SQL Server documentation, "backupset", "backupmediafamily"). Log positions
// are numeric(25,0) and come as text; times are those of the server's clock, with its offset when
// the backup began (`time_zone`, in quarters of an hour, 127: not known).
import { CairnError } from '../../model/errors.ts';
import { deviceNameMax } from './devices.ts';
import { checkIdentifier, checkText } from './identifier.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';

/** The most rows of one answer; ask again after the last `backup_set_id`. */
export const historyPageMax = 1000;

const columns = `s.backup_set_id, CONVERT(varchar(36), s.backup_set_uuid) AS backup_set_uuid,
  s.type, s.database_name, s.server_name, s.machine_name, s.user_name, s.name, s.description,
  CONVERT(varchar(25), s.first_lsn) AS first_lsn,
  CONVERT(varchar(25), s.last_lsn) AS last_lsn,
  CONVERT(varchar(25), s.checkpoint_lsn) AS checkpoint_lsn,
  CONVERT(varchar(25), s.database_backup_lsn) AS database_backup_lsn,
  CONVERT(varchar(25), s.differential_base_lsn) AS differential_base_lsn,
  CONVERT(varchar(36), s.differential_base_guid) AS differential_base_guid,
  CONVERT(varchar(36), s.first_recovery_fork_guid) AS first_recovery_fork_guid,
  CONVERT(varchar(36), s.last_recovery_fork_guid) AS last_recovery_fork_guid,
  CONVERT(varchar(25), s.fork_point_lsn) AS fork_point_lsn,
  CONVERT(varchar(36), s.database_guid) AS database_guid,
  CONVERT(varchar(36), s.family_guid) AS family_guid,
  s.is_copy_only, s.is_damaged, s.is_snapshot, s.has_backup_checksums, s.has_bulk_logged_data,
  s.begins_log_chain, s.has_incomplete_metadata, s.recovery_model,
  CONVERT(varchar(20), s.backup_size) AS backup_size,
  CONVERT(varchar(20), s.compressed_backup_size) AS compressed_backup_size,
  CONVERT(varchar(23), s.backup_start_date, 126) AS started_at,
  CONVERT(varchar(23), s.backup_finish_date, 126) AS finished_at,
  s.time_zone, s.key_algorithm,
  CONVERT(varchar(66), s.encryptor_thumbprint, 1) AS encryptor_thumbprint`;

/**
 * The newest backup in a file or object of that name, any of its devices; no row: there is none. To
 * confirm one that has just been taken, under a name that no other has. Which folder it lies in is
 * not compared: a server may keep paths in another form than they were given in. `family_count`
 * says how many devices belong together. @throws invalid
 */
export function backupByDeviceStatement(database: string, device: string): SqlStatement {
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  const checked = checkText(device, { what: 'device', lengthMax: deviceNameMax });
  const where = parameters.text('device1', `%[\\/]${likeName(checked)}`, patternMax);
  return {
    name: 'find-backup-by-device',
    text: `SELECT TOP (1) ${columns}, f.physical_device_name,
  (SELECT COUNT(*) FROM msdb.dbo.backupmediafamily AS c
    WHERE c.media_set_id = s.media_set_id AND c.mirror = 0) AS family_count
FROM msdb.dbo.backupset AS s
INNER JOIN msdb.dbo.backupmediafamily AS f ON f.media_set_id = s.media_set_id
WHERE s.database_name = ${name} AND f.physical_device_name LIKE ${where}
ORDER BY s.backup_set_id DESC`,
    parameters: parameters.items,
  };
}

/**
 * All backups of a database since one of them, whoever took them, oldest first, up to
 * `historyPageMax`. `afterId` is a `backup_set_id` of the same server, 0 for all.
 * @throws invalid
 */
export function backupHistoryStatement(database: string, afterId: number): SqlStatement {
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  const after = parameters.int('after', checkSetId(afterId));
  return {
    name: 'list-backups',
    text: `SELECT TOP (${historyPageMax}) ${columns},
  (SELECT MIN(f.physical_device_name) FROM msdb.dbo.backupmediafamily AS f
    WHERE f.media_set_id = s.media_set_id AND f.family_sequence_number = 1) AS physical_device_name
FROM msdb.dbo.backupset AS s
WHERE s.database_name = ${name} AND s.backup_set_id > ${after}
ORDER BY s.backup_set_id`,
    parameters: parameters.items,
  };
}

/** Its `backup_set_id`; no row: the history is empty. */
export function newestBackupStatement(): SqlStatement {
  return {
    name: 'read-newest-backup',
    text:
      'SELECT TOP (1) s.backup_set_id FROM msdb.dbo.backupset AS s' +
      ' ORDER BY s.backup_set_id DESC',
    parameters: [],
  };
}

/**
 * The backups of the log of all databases with `namePart` in the name of their device, `a-z0-9-`,
 * since one backup, oldest first, up to `historyPageMax`. A row for each device. @throws invalid
 */
export function logsByDeviceStatement(namePart: string, afterId: number): SqlStatement {
  const parameters = new ParameterList();
  const device = parameters.text('device', devicePattern(namePart), deviceNameMax);
  const after = parameters.int('after', checkSetId(afterId));
  return {
    name: 'list-logs-by-device',
    text: `SELECT TOP (${historyPageMax}) ${columns}, f.physical_device_name
FROM msdb.dbo.backupset AS s
INNER JOIN msdb.dbo.backupmediafamily AS f ON f.media_set_id = s.media_set_id
WHERE s.type = 'L' AND s.backup_set_id > ${after} AND f.physical_device_name LIKE ${device}
ORDER BY s.backup_set_id`,
    parameters: parameters.items,
  };
}

/** The newest such of one database, up to that `backup_set_id`. @throws invalid */
export function lastLogByDeviceStatement(
  database: string,
  namePart: string,
  untilId: number,
): SqlStatement {
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  const device = parameters.text('device', devicePattern(namePart), deviceNameMax);
  const until = parameters.int('until', checkSetId(untilId));
  return {
    name: 'find-last-log-by-device',
    text: `SELECT TOP (1) ${columns}, f.physical_device_name
FROM msdb.dbo.backupset AS s
INNER JOIN msdb.dbo.backupmediafamily AS f ON f.media_set_id = s.media_set_id
WHERE s.database_name = ${name} AND s.type = 'L' AND s.backup_set_id <= ${until}
  AND f.physical_device_name LIKE ${device}
ORDER BY s.backup_set_id DESC`,
    parameters: parameters.items,
  };
}

/**
 * Backups of other tools, of the kinds that are in the way of ours (full ones that are no copies,
 * and the log), of so many days by the server's clock, newest first, up to `historyPageMax`.
 * @throws invalid
 */
export function foreignBackupsStatement(days: number): SqlStatement {
  if (!Number.isSafeInteger(days) || days < 1 || days > 1000) {
    throw new CairnError('invalid', `${days} is not a number of days`);
  }
  const parameters = new ParameterList();
  const count = parameters.int('days', days);
  return {
    name: 'list-foreign-backups',
    text: `SELECT TOP (${historyPageMax}) s.database_name, s.type, s.user_name,
  CONVERT(varchar(23), s.backup_finish_date, 126) AS finished_at
FROM msdb.dbo.backupset AS s
WHERE s.type IN ('D', 'L', 'F', 'P') AND s.is_copy_only = 0
  AND s.backup_finish_date > DATEADD(day, -${count}, GETDATE())
  AND NOT EXISTS (SELECT 1 FROM msdb.dbo.backupmediafamily AS f
    WHERE f.media_set_id = s.media_set_id AND f.physical_device_name LIKE '%[\\/]cairn-%of%.bak')
ORDER BY s.backup_set_id DESC`,
    parameters: parameters.items,
  };
}

/** The alphabet has nothing that LIKE takes for something else. */
function devicePattern(namePart: string): string {
  if (/^[a-z0-9-]{1,100}$/.test(namePart)) return `%${namePart}%`;
  throw new CairnError('invalid', `${JSON.stringify(namePart)} is no part of a name of ours`);
}

const patternMax = 3 * deviceNameMax + '%[\\/]'.length;

/** The last part of a path, with what LIKE takes for something else in brackets. */
function likeName(device: string): string {
  const [name = ''] = /[^\\/]*$/.exec(device) ?? [];
  return name.replaceAll(/[%_[]/g, '[$&]');
}

function checkSetId(id: number): number {
  if (Number.isSafeInteger(id) && id >= 0 && id <= 2 ** 31 - 1) return id;
  throw new CairnError('invalid', `${id} is not the number of a backup in msdb`);
}
