import type { BackupPolicy, Weekday } from '../model/backup-policy.ts';
import { everyDay } from '../model/backup-policy.ts';
import type { BackupId, InstanceId, ProjectId } from '../model/ids.ts';
import type { OffsiteEntry, PolicyRecord, PolicyRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';
import { damagedRow, readNumber, readObject, readText, readWord } from './row-values.ts';
import type { PolicyRow } from './schema.ts';

const offsiteTypes = ['auto', 'incremental', 'all'] as const;
const offsitePlace = 'policies.offsite';

export function policyRecords({ db, traits }: CatalogDatabase): PolicyRecords {
  return {
    async find(instanceId) {
      const row = await db
        .selectFrom('policies')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
        .executeTakeFirst();
      return row ? toRecord(row) : null;
    },
    async put(record) {
      const row = toRow(record);
      const { instance_id: _, ...changes } = row;
      await db
        .insertInto('policies')
        .values(row)
        .onConflict((conflict) => conflict.column('instance_id').doUpdateSet(changes))
        .execute();
    },
    async listActive({ offset, limit }) {
      const rows = await db
        .selectFrom('policies')
        .selectAll()
        .where('keep_days', '>', 0)
        .orderBy('instance_id')
        .offset(offset)
        .limit(limit)
        .execute();
      return rows.map(toRecord);
    },
    async listOffsite({ offset, limit }) {
      const rows = await db
        .selectFrom('policies')
        .selectAll()
        .where('offsite', 'is not', null)
        .orderBy('instance_id')
        .offset(offset)
        .limit(limit)
        .execute();
      return rows.map(toRecord);
    },
    async listFor(instanceIds) {
      if (instanceIds.length === 0) return [];
      const query = db.selectFrom('policies').selectAll().where('instance_id', 'in', instanceIds);
      return (await query.execute()).map(toRecord);
    },
    async delete(instanceId) {
      await db.deleteFrom('policies').where('instance_id', '=', instanceId).execute();
    },
  };
}

function toRow(record: PolicyRecord): PolicyRow {
  const { policy, offsite } = record;
  const schedule = policy.kind === 'on' ? policy.schedule : null;
  return {
    instance_id: record.instanceId,
    project_id: record.projectId,
    keep_days: policy.kind === 'on' ? policy.keepDays : 0,
    start_minute: schedule?.startMinute ?? 0,
    weekdays: (schedule?.weekdays ?? []).join(''),
    effective_at: record.effectiveAt.getTime(),
    last_window_at: record.lastWindowAt?.getTime() ?? null,
    last_backup_id: record.lastBackupId,
    attempt_count: record.attemptCount,
    log_interval_minutes: record.logIntervalMinutes,
    offsite: offsite.length === 0 ? null : JSON.stringify({ entries: offsite }),
  };
}

function toRecord(row: PolicyRow): PolicyRecord {
  return {
    instanceId: row.instance_id as InstanceId,
    projectId: row.project_id as ProjectId,
    policy: toPolicy(row),
    effectiveAt: new Date(row.effective_at),
    lastWindowAt: row.last_window_at === null ? null : new Date(row.last_window_at),
    lastBackupId: row.last_backup_id as BackupId | null,
    attemptCount: row.attempt_count,
    logIntervalMinutes: row.log_interval_minutes,
    offsite: row.offsite === null ? [] : toOffsite(row.offsite),
  };
}

function toPolicy(row: PolicyRow): BackupPolicy {
  if (row.keep_days === 0) return { kind: 'off' };
  const weekdays = [...row.weekdays].map((digit) => toWeekday(Number(digit)));
  if (weekdays.length === 0) throw damagedRow('policies.weekdays');
  const schedule = { startMinute: row.start_minute, weekdays };
  return { kind: 'on', keepDays: row.keep_days, schedule };
}

function toWeekday(value: number): Weekday {
  const day = everyDay.find((candidate) => candidate === value);
  if (day === undefined) throw damagedRow('policies.weekdays');
  return day;
}

function toOffsite(text: string): readonly OffsiteEntry[] {
  const { entries } = readObject(text, offsitePlace);
  if (!Array.isArray(entries)) throw damagedRow(offsitePlace);
  return entries.map((entry: unknown) => {
    const value = readObject(JSON.stringify(entry), offsitePlace);
    return {
      backupType: readWord(offsiteTypes, value['backupType'], offsitePlace),
      keepDays: readNumber(value['keepDays'], offsitePlace),
      destinationRegion: readText(value['destinationRegion'], offsitePlace),
      destinationProjectId: readText(value['destinationProjectId'], offsitePlace),
    };
  });
}
