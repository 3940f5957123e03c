import type { PolicyRecord } from '../../catalog/catalog.ts';
import type { BackupPolicy } from '../../model/backup-policy.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { findObstacle } from '../backup/accept-backup.ts';
import { deleteAutomatedBackups } from '../backup/delete-automated.ts';
import { getInstance } from '../instances/get-instance.ts';
import { cancelJob } from '../jobs/cancel-job.ts';
import type { RequestParts } from '../parts.ts';
import { emptyPolicy } from './get-policy.ts';
import type { PolicyText } from './policy-rules.ts';
import { readPolicy } from './policy-rules.ts';

export type PolicyChange = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly policy: PolicyText;
  /** What becomes of the automated backups when the policy is switched off. */
  readonly whenOff: 'keep-backups' | 'delete-backups';
};

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

/**
 * Sets when automated backups are made and how long they are kept. Manual ones are never touched.
 * Switching off stops an automated backup that runs. Asking again with `delete-backups` goes on
 * where an interrupted call stopped.
 * @throws invalid, not-found, conflict while the instance is built, restored over or removed
 */
export async function setPolicy(parts: Parts, change: PolicyChange): Promise<void> {
  const { projectId, instanceId } = change;
  const policy = await parts.catalog.transaction(async (tx) => {
    const instance = await getInstance(tx, projectId, instanceId);
    const obstacle = await findObstacle(tx, instance);
    if (obstacle) throw obstacle;
    const wanted = readPolicy(change.policy, instance.engine);
    const before =
      (await tx.policies.find(instanceId)) ?? emptyPolicy(projectId, instanceId, now());
    await tx.policies.put(withPolicy(before, wanted, now()));
    return wanted;
  });
  parts.log.info({ instanceId, policy }, 'backup policy set');
  if (policy.kind === 'off') {
    await stopAutomatedBackup(parts, change);
    if (change.whenOff === 'delete-backups') {
      await deleteAutomatedBackups(parts, projectId, instanceId);
    }
  }

  function now(): Date {
    return parts.clock.now();
  }
}

/** Not in the transaction: from its end on the schedule begins no other. */
async function stopAutomatedBackup(
  parts: Parts,
  { projectId, instanceId }: PolicyChange,
): Promise<void> {
  const backup = await parts.catalog.backups.findBuilding(instanceId);
  if (backup?.type !== 'auto') return;
  try {
    await cancelJob(parts, projectId, backup.jobId);
  } catch (error) {
    if (!isErrorKind(error, 'conflict') || error.reason !== 'job-ended') throw error;
  }
}

/** Windows are counted from the moment of a change of the schedule; the days kept may change. */
function withPolicy(before: PolicyRecord, policy: BackupPolicy, now: Date): PolicyRecord {
  const isSameSchedule =
    before.policy.kind === 'on' &&
    policy.kind === 'on' &&
    before.policy.schedule.startMinute === policy.schedule.startMinute &&
    before.policy.schedule.weekdays.join() === policy.schedule.weekdays.join();
  return { ...before, policy, effectiveAt: isSameSchedule ? before.effectiveAt : now };
}
