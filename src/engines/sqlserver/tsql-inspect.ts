// Looks at a server: nothing here changes anything. What needs more rights than others is a
// statement of its own, so that the answer "not allowed" stays apart from "there is none" (SQL
// Server documentation, "SERVERPROPERTY", "sys.databases", "sys.database_recovery_status",
// "sys.dm_database_encryption_keys", "HAS_PERMS_BY_NAME"). Sizes and thumbprints come as text.
import { checkIdentifier } from './identifier.ts';
import type { SqlStatement } from './statement.ts';
import { ParameterList } from './statement.ts';

/**
 * One row. Null where this version has no such property: the default folder for backups is known
 * from 2019 on, the path separator (`\` or `/`) from 2017 on, before which all was Windows.
 */
export function serverStatement(): SqlStatement {
  return withoutValues(
    'read-server',
    `SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')) AS product_version,
  CONVERT(nvarchar(128), SERVERPROPERTY('ProductUpdateLevel')) AS update_level,
  CONVERT(nvarchar(128), SERVERPROPERTY('Edition')) AS edition,
  CONVERT(int, SERVERPROPERTY('EngineEdition')) AS engine_edition,
  CONVERT(nvarchar(128), SERVERPROPERTY('ServerName')) AS server_name,
  CONVERT(nvarchar(128), SERVERPROPERTY('MachineName')) AS machine_name,
  CONVERT(nvarchar(128), SERVERPROPERTY('InstanceName')) AS instance_name,
  CONVERT(nvarchar(128), SERVERPROPERTY('Collation')) AS collation_name,
  CONVERT(int, SERVERPROPERTY('IsHadrEnabled')) AS is_hadr_enabled,
  CONVERT(nvarchar(4), SERVERPROPERTY('PathSeparator')) AS path_separator,
  CONVERT(nvarchar(4000), SERVERPROPERTY('InstanceDefaultBackupPath')) AS default_backup_path,
  CONVERT(nvarchar(4000), SERVERPROPERTY('InstanceDefaultDataPath')) AS default_data_path,
  CONVERT(nvarchar(4000), SERVERPROPERTY('InstanceDefaultLogPath')) AS default_log_path,
  CONVERT(varchar(33), SYSUTCDATETIME(), 126) AS utc_now,
  DATEPART(TZOFFSET, SYSDATETIMEOFFSET()) AS offset_minutes`,
  );
}

/**
 * A row for each database that the login may see; not for tempdb. `has_recovery_status` 0: the
 * login may not know whether a log chain has begun; 1 with a null `last_log_backup_lsn`: none has.
 * `size_bytes` is null without the right to see the files.
 */
export function databasesStatement(): SqlStatement {
  return withoutValues(
    'list-databases',
    `SELECT d.database_id, d.name, d.state_desc, d.recovery_model_desc, d.is_read_only,
  d.is_in_standby, d.is_encrypted, d.compatibility_level, d.collation_name, d.user_access_desc,
  CONVERT(varchar(36), d.replica_id) AS replica_id,
  CASE WHEN d.source_database_id IS NULL THEN 0 ELSE 1 END AS is_snapshot,
  CASE WHEN r.database_id IS NULL THEN 0 ELSE 1 END AS has_recovery_status,
  CONVERT(varchar(25), r.last_log_backup_lsn) AS last_log_backup_lsn,
  CONVERT(varchar(36), r.recovery_fork_guid) AS recovery_fork_guid,
  CONVERT(varchar(36), r.family_guid) AS family_guid,
  CONVERT(varchar(36), r.database_guid) AS database_guid,
  CONVERT(varchar(20), f.size_bytes) AS size_bytes
FROM sys.databases AS d
LEFT JOIN sys.database_recovery_status AS r ON r.database_id = d.database_id
LEFT JOIN (SELECT database_id, SUM(CONVERT(bigint, size)) * 8192 AS size_bytes
  FROM sys.master_files GROUP BY database_id) AS f ON f.database_id = d.database_id
WHERE d.name <> N'tempdb' ORDER BY d.database_id`,
  );
}

/** One row, none when there is no such database. */
export function databaseStateStatement(database: string): SqlStatement {
  return withDatabase(
    'read-database-state',
    database,
    (name) => `SELECT d.name, d.state_desc, d.recovery_model_desc, d.is_in_standby,
  d.user_access_desc FROM sys.databases AS d WHERE d.name = ${name}`,
  );
}

/** Of all databases, for choosing names that are free; needs the right to see definitions. */
export function databaseFilesStatement(): SqlStatement {
  return withoutValues(
    'list-database-files',
    'SELECT DB_NAME(f.database_id) AS database_name, f.file_id, f.type_desc, f.name,' +
      ' f.physical_name FROM sys.master_files AS f ORDER BY f.database_id, f.file_id',
  );
}

/** Needs VIEW SERVER STATE. Without the certificate of that thumbprint no backup is restorable. */
export function encryptionKeysStatement(): SqlStatement {
  return withoutValues(
    'list-encryption-keys',
    `SELECT DB_NAME(k.database_id) AS database_name, k.encryption_state, k.encryptor_type,
  CONVERT(varchar(66), k.encryptor_thumbprint, 1) AS encryptor_thumbprint
FROM sys.dm_database_encryption_keys AS k WHERE DB_NAME(k.database_id) <> N'tempdb'`,
  );
}

/** What the server could decrypt with; needs a right on the certificates of master. */
export function certificatesStatement(): SqlStatement {
  return withoutValues(
    'list-certificates',
    `SELECT c.name, c.pvt_key_encryption_type_desc,
  CONVERT(varchar(66), c.thumbprint, 1) AS thumbprint,
  CONVERT(varchar(33), c.pvt_key_last_backup_date, 126) AS key_saved_at,
  CONVERT(varchar(33), c.expiry_date, 126) AS expires_at
FROM master.sys.certificates AS c`,
  );
}

/** A row for each database in an availability group; needs VIEW SERVER STATE. */
export function replicasStatement(): SqlStatement {
  return withoutValues(
    'list-replicas',
    `SELECT DB_NAME(s.database_id) AS database_name, g.name AS group_name,
  s.is_primary_replica, s.synchronization_state_desc, s.synchronization_health_desc,
  s.is_suspended
FROM sys.dm_hadr_database_replica_states AS s
INNER JOIN sys.availability_groups AS g ON g.group_id = s.group_id
WHERE s.is_local = 1`,
  );
}

/** `is_preferred` 1: back up here; also for a database outside of all groups. */
export function preferredReplicaStatement(database: string): SqlStatement {
  return withDatabase(
    'read-preferred-replica',
    database,
    (name) => `SELECT sys.fn_hadr_backup_is_preferred_replica(${name}) AS is_preferred`,
  );
}

/** One row; null for a right that this version does not know. */
export function serverRightsStatement(): SqlStatement {
  return withoutValues(
    'read-server-rights',
    `SELECT SUSER_SNAME() AS login_name, IS_SRVROLEMEMBER('sysadmin') AS is_sysadmin,
  IS_SRVROLEMEMBER('dbcreator') AS is_dbcreator,
  HAS_PERMS_BY_NAME(NULL, NULL, 'CREATE ANY DATABASE') AS may_create_any_database,
  HAS_PERMS_BY_NAME('master', 'DATABASE', 'CREATE DATABASE') AS may_create_database,
  HAS_PERMS_BY_NAME(NULL, NULL, 'ALTER ANY CREDENTIAL') AS may_alter_credentials,
  HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW ANY DEFINITION') AS may_view_definitions,
  HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE') AS may_view_state,
  HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER PERFORMANCE STATE') AS may_view_performance,
  HAS_PERMS_BY_NAME('msdb.dbo.backupset', 'OBJECT', 'SELECT') AS may_read_backups,
  HAS_PERMS_BY_NAME('msdb.dbo.backupmediafamily', 'OBJECT', 'SELECT') AS may_read_media`,
  );
}

/** A row for each database that is online; null where the login has no user in it. */
export function databaseRightsStatement(): SqlStatement {
  return withoutValues(
    'read-database-rights',
    `SELECT d.name, HAS_DBACCESS(d.name) AS has_access,
  HAS_PERMS_BY_NAME(QUOTENAME(d.name), 'DATABASE', 'BACKUP DATABASE') AS may_back_up,
  HAS_PERMS_BY_NAME(QUOTENAME(d.name), 'DATABASE', 'BACKUP LOG') AS may_back_up_log
FROM sys.databases AS d
WHERE d.state = 0 AND d.source_database_id IS NULL AND d.name <> N'tempdb'`,
  );
}

/**
 * The logins that users of restored databases belong to, with the numbers that tie them together.
 * Passwords are not asked for. Without VIEW ANY DEFINITION only some of them are seen.
 */
export function loginsStatement(): SqlStatement {
  return withoutValues(
    'list-logins',
    `SELECT p.name, p.type_desc, CONVERT(varchar(172), p.sid, 1) AS sid, p.is_disabled,
  p.default_database_name
FROM sys.server_principals AS p
WHERE p.type IN ('S', 'U', 'G') AND p.name NOT LIKE N'##%' ORDER BY p.principal_id`,
  );
}

function withoutValues(name: string, text: string): SqlStatement {
  return { name, text, parameters: [] };
}

function withDatabase(
  name: string,
  database: string,
  text: (parameter: string) => string,
): SqlStatement {
  const parameters = new ParameterList();
  const parameter = parameters.sysname('database', checkIdentifier(database));
  return { name, text: text(parameter), parameters: parameters.items };
}
