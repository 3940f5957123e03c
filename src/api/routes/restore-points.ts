import { CairnError } from '../../model/errors.ts';
import type { RestorePoint } from '../../operations/restore/restore-point.ts';
import type { RestorePointWire } from '../schema/restore-point.ts';
import { requireBackupId } from './path-ids.ts';

/**
 * `type` may be missing: then whichever of the two values is there decides. An empty id counts as
 * absent. @throws invalid
 */
export function readPoint(point: RestorePointWire): RestorePoint {
  assertWholeServer(point);
  const backupId = point.backup_id || null;
  const timeMs = point.restore_time ?? null;
  const type = point.type ?? (backupId === null && timeMs !== null ? 'timestamp' : 'backup');
  if (type === 'timestamp') {
    if (timeMs === null) throw new CairnError('invalid', 'restore_time is missing');
    return { kind: 'time', at: new Date(Number(timeMs)) };
  }
  if (backupId === null) throw new CairnError('invalid', 'backup_id is missing');
  return { kind: 'end-of-backup', backupId: requireBackupId(backupId) };
}

function assertWholeServer({ database_name: databases }: RestorePointWire): void {
  if (Object.keys(databases ?? {}).length === 0) return;
  throw new CairnError('invalid', 'a restore of single databases is not offered yet', {
    reason: 'databases-not-offered',
  });
}
