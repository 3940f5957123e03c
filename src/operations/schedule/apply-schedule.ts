import type { CatalogSession, PolicyRecord } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { acceptAutomatedBackup } from '../backup/automated-backup.ts';
import type { RequestParts } from '../parts.ts';
import type { LastBackup, ScheduleDecision } from './plan-schedule.ts';
import { planSchedule } from './plan-schedule.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

/**
 * Asks for the backup that is due by this policy, if one is. Decided under a lock of the instance
 * and its policy, so that of many replicas one asks; what cannot begin now is due again next time.
 */
export async function applySchedule(parts: Parts, seen: PolicyRecord): Promise<Backup | null> {
  // Most policies are not due: they cost no transaction.
  if ((await decide(parts, parts.catalog, seen)).kind === 'wait') return null;
  const backup = await parts.catalog.transaction(async (tx) => {
    const instance = await tx.instances.find(seen.projectId, seen.instanceId);
    if (!instance) return null;
    const record = await tx.policies.find(seen.instanceId);
    const decision = record ? await decide(parts, tx, record) : null;
    if (!record || decision?.kind !== 'back-up') return null;
    const { windowAt, attempt } = decision;
    const made = await acceptAutomatedBackup(tx, parts, instance, {
      namedAfter: windowAt,
      description: '',
    });
    if (!made) return null;
    const lastBackupId = made.id;
    await tx.policies.put({
      ...record,
      ...{ lastWindowAt: windowAt, lastBackupId, attemptCount: attempt },
    });
    return made;
  });
  if (backup) parts.log.info({ backupId: backup.id, name: backup.name }, 'backup due by schedule');
  return backup;
}

async function decide(
  parts: Pick<Parts, 'clock'>,
  catalog: CatalogSession,
  record: PolicyRecord,
): Promise<ScheduleDecision> {
  const { policy } = record;
  if (policy.kind === 'off') return { kind: 'wait' };
  const lastBackup = await findLastBackup(catalog, record);
  return planSchedule({ ...record, schedule: policy.schedule, lastBackup }, parts.clock.now());
}

async function findLastBackup(
  { backups, jobs }: CatalogSession,
  { projectId, lastBackupId }: PolicyRecord,
): Promise<LastBackup | null> {
  if (lastBackupId === null) return null;
  const { items } = await backups.list(
    { projectId, backupId: lastBackupId },
    { offset: 0, limit: 1 },
  );
  const [backup] = items;
  if (!backup || backup.state.status === 'deleting') return { status: 'gone' };
  const { state, jobId } = backup;
  if (state.status !== 'failed') return { status: state.status };
  const job = await jobs.find(projectId, jobId);
  if (job?.status === 'cancelled') return { status: 'stopped' };
  return { status: 'failed', endedAt: state.endedAt };
}
