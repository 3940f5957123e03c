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
 * The newest backup in a file or object, the first device of it; no row: there is none. To confirm
 * one that has just been taken. `family_count` says how many devices belong together.
 * @throws invalid
 */
export function backupByDeviceStatement(database: string, device: string): SqlStatement {
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  const checked = checkText(device, { what: 'device', lengthMax: deviceNameMax });
  const where = parameters.text('device1', checked, deviceNameMax);
  return {
    name: 'find-backup-by-device',
    text: `SELECT TOP (1) ${columns}, f.physical_device_name,
  (SELECT COUNT(*) FROM msdb.dbo.backupmediafamily AS c
    WHERE c.media_set_id = s.media_set_id AND c.mirror = 0) AS family_count
FROM msdb.dbo.backupset AS s
INNER JOIN msdb.dbo.backupmediafamily AS f ON f.media_set_id = s.media_set_id
WHERE s.database_name = ${name} AND f.physical_device_name = ${where}
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
  if (!Number.isSafeInteger(afterId) || afterId < 0 || afterId > 2 ** 31 - 1) {
    throw new CairnError('invalid', `${afterId} is not the number of a backup in msdb`);
  }
  const parameters = new ParameterList();
  const name = parameters.sysname('database', checkIdentifier(database));
  const after = parameters.int('after', afterId);
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
