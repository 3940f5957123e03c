// What a restore of databases carries in its job, and what it reports.
import type {
  DatabaseName,
  DatabaseRestoreOptions,
  RestoredDatabase,
} from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId } from '../../model/ids.ts';
import { parseBackupId, parseInstanceId } from '../../model/ids.ts';
import type { JobPayload } from '../../model/job.ts';
import type { RequestedRecovery } from '../restore/recovery-payload.ts';
import { formatRecovery, parseRecovery } from '../restore/recovery-payload.ts';

export type DatabaseRestorePayload = Pick<DatabaseRestoreOptions, 'missingRoles' | 'replace'> & {
  readonly backupId: BackupId;
  /** May be gone: its backups stay. */
  readonly sourceInstanceId: InstanceId;
  readonly targetInstanceId: InstanceId;
  /** Empty: all, under their own names. */
  readonly databases: readonly DatabaseName[];
  /** Null: the backup as it is. */
  readonly recovery: RequestedRecovery | null;
};

export type DatabaseRestoreReport = {
  readonly kind: 'restored-databases';
  readonly backupId: BackupId;
  readonly databases: readonly RestoredDatabase[];
};

export function formatDatabaseRestore(payload: DatabaseRestorePayload): JobPayload {
  return { ...payload, recovery: payload.recovery && formatRecovery(payload.recovery) };
}

/** @throws bug */
export function parseDatabaseRestore(payload: JobPayload): DatabaseRestorePayload {
  const backupId = parseBackupId(String(payload['backupId']));
  const sourceInstanceId = parseInstanceId(String(payload['sourceInstanceId']));
  const targetInstanceId = parseInstanceId(String(payload['targetInstanceId']));
  const { databases, missingRoles, replace, recovery } = payload;
  if (!backupId || !sourceInstanceId || !targetInstanceId || !isNameList(databases)) {
    throw new CairnError('bug', 'job payload is no valid restore of databases');
  }
  return {
    ...{ backupId, sourceInstanceId, targetInstanceId, databases },
    missingRoles: missingRoles === 'create' ? 'create' : 'refuse',
    replace: replace === true,
    recovery: parseRecovery(recovery),
  };
}

function isNameList(value: unknown): value is readonly DatabaseName[] {
  return (
    Array.isArray(value) &&
    value.every((one) => typeof one?.oldName === 'string' && typeof one?.newName === 'string')
  );
}
