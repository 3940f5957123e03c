import { CairnError } from '../../model/errors.ts';
import { normalizeGtid } from '../../model/gtid-set.ts';
import { parseBinlogPlace, parseLsn } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { targetTime } from '../../model/recovery-target.ts';
import type { RecoveryTargetWire, RestorePointWire } from '../schema/restore-point.ts';
import { requireBackupId } from './path-ids.ts';

/**
 * `type` may be missing: then whichever of the two values is there decides. An empty id counts as
 * absent. @throws invalid
 */
export function readPoint(point: RestorePointWire): RecoveryTarget {
  const backupId = point.backup_id || null;
  const timeMs = point.restore_time ?? null;
  if (point.recovery_target) return readTarget(point.recovery_target, { backupId, timeMs });
  const type = point.type ?? (backupId === null && timeMs !== null ? 'timestamp' : 'backup');
  if (type === 'timestamp') return targetTime(requireTime(timeMs));
  return { kind: 'end-of-backup', backupId: requireBackupId(requireId(backupId)) };
}

function readTarget(
  { kind, value = '', exclusive, timeline: told }: RecoveryTargetWire,
  point: { readonly backupId: string | null; readonly timeMs: number | string | null },
): RecoveryTarget {
  const timeline = told ?? null;
  const bounded = { timeline, isInclusive: exclusive !== true };
  switch (kind) {
    case 'time':
      return { kind, at: requireTime(point.timeMs), ...bounded };
    case 'lsn':
      if (parseLsn(value) === null) throw malformed('a log position, like 16/B374D848', value);
      return { kind: 'log-position', position: value, ...bounded };
    case 'position':
      if (!parseBinlogPlace(value)) throw malformed('a place, like bin.000004:337537', value);
      return { kind: 'log-position', position: value, ...bounded };
    case 'gtid': {
      const { isInclusive } = bounded;
      if (timeline !== null) throw new CairnError('invalid', 'timeline does not go with gtid');
      return { kind, gtid: requireGtid(value, 'recovery_target.value'), isInclusive };
    }
    case 'xid':
      if (!/^[0-9]{1,20}$/.test(value)) throw malformed('a transaction id, a number', value);
      return { kind, xid: value, backupId: requireBackupId(requireId(point.backupId)), ...bounded };
    case 'name':
      if (!isPointName(value)) throw malformed('the name of a restore point', value);
      return { kind, name: value, backupId: requireBackupId(requireId(point.backupId)), timeline };
    case 'latest':
      return { kind, timeline };
  }
}

function requireTime(timeMs: number | string | null): Date {
  if (timeMs === null) throw new CairnError('invalid', 'restore_time is missing');
  return new Date(Number(timeMs));
}

function requireId(backupId: string | null): string {
  if (backupId === null) throw new CairnError('invalid', 'backup_id is missing');
  return backupId;
}

/** PostgreSQL takes names of at most 63 characters. */
function isPointName(text: string): boolean {
  return text.length >= 1 && text.length <= 63;
}

/** Each once. @throws invalid */
export function readSkipped({ skipped_transactions: ids }: RestorePointWire): readonly string[] {
  return [...new Set((ids ?? []).map((id) => requireGtid(id, 'skipped_transactions')))];
}

function requireGtid(text: string, field: string): string {
  const gtid = normalizeGtid(text);
  if (gtid !== null) return gtid;
  throw malformed('a global transaction id, like 0-11-8179', text, field);
}

function malformed(what: string, value: string, field = 'recovery_target.value'): CairnError {
  return new CairnError('invalid', `${field} must be ${what}, not “${value}”`);
}

/** @throws invalid */
export function assertWholeServer({ database_name: databases }: RestorePointWire): void {
  if (Object.keys(databases ?? {}).length === 0) return;
  throw new CairnError('invalid', 'single databases are restored into an instance that runs', {
    reason: 'databases-not-offered',
    hint: 'name the instance to restore them into: POST instances/recovery',
  });
}
