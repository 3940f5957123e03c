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

export type DatabaseRestorePayload = {
  readonly backupId: BackupId;
  /** May be gone: its backups stay. */
  readonly sourceInstanceId: InstanceId;
  readonly targetInstanceId: InstanceId;
  readonly databases: readonly DatabaseName[];
  readonly missingRoles: DatabaseRestoreOptions['missingRoles'];
};

export type DatabaseRestoreReport = {
  readonly kind: 'restored-databases';
  readonly backupId: BackupId;
  readonly databases: readonly RestoredDatabase[];
};

/** @throws bug */
export function parseDatabaseRestore(payload: JobPayload): DatabaseRestorePayload {
  const backupId = parseBackupId(String(payload['backupId']));
  const sourceInstanceId = parseInstanceId(String(payload['sourceInstanceId']));
  const targetInstanceId = parseInstanceId(String(payload['targetInstanceId']));
  const { databases, missingRoles } = payload;
  if (!backupId || !sourceInstanceId || !targetInstanceId || !isNameList(databases)) {
    throw new CairnError('bug', 'job payload is no valid restore of databases');
  }
  return {
    ...{ backupId, sourceInstanceId, targetInstanceId, databases },
    missingRoles: missingRoles === 'create' ? 'create' : 'refuse',
  };
}

function isNameList(value: unknown): value is readonly DatabaseName[] {
  return (
    Array.isArray(value) &&
    value.every((one) => typeof one?.oldName === 'string' && typeof one?.newName === 'string')
  );
}
