import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import { defaultPool } from '../../model/instance.ts';
import { idSource } from '../../platform/random.ts';
import type { BackupPayload } from '../job-payloads.ts';
import { jobAttemptsMax, jobKinds, parseBackupPayload } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { listOpenRestores } from '../restore/open-restores.ts';
import { getBackup } from './get-backup.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;
/** Called in the transaction that deletes, with the backup locked. */
type Check = (tx: CatalogSession, backup: Backup) => Promise<void>;

/**
 * Marks a manual or differential backup as `deleting` and leaves the rest to a job. Asking again is
 * no error, and begins anew a deletion whose job has failed. So may an automated one be deleted
 * that no policy will: its instance is gone, or its deletion has begun. @throws not-found, conflict
 */
export async function requestBackupDeletion(
  parts: Parts,
  projectId: ProjectId,
  id: BackupId,
): Promise<void> {
  await deleteIf(parts, projectId, id, assertForUser);
}

/**
 * The same for a backup that a policy made, and that a policy gives up. What `assertDue` throws
 * keeps the backup. @throws as above
 */
export async function expireBackup(
  parts: Parts,
  projectId: ProjectId,
  id: BackupId,
  assertDue: Check = async () => undefined,
): Promise<void> {
  await deleteIf(parts, projectId, id, async (tx, backup) => {
    if (backup.type === 'manual' || backup.type === 'incremental') {
      throw new CairnError('bug', `backup ${backup.name} is ${backup.type}: it does not expire`);
    }
    await assertDue(tx, backup);
  });
}

async function deleteIf(
  parts: Parts,
  projectId: ProjectId,
  id: BackupId,
  check: Check,
): Promise<void> {
  await parts.catalog.transaction(async (tx) => {
    const backup = await getBackup(tx, projectId, id);
    await check(tx, backup);
    if (backup.state.status === 'deleting') {
      if (!(await isBeingDeleted(tx, backup))) await insertJob(tx, parts, backup);
      return;
    }
    await assertDeletable(tx, backup);
    await tx.backups.setState(id, { status: 'deleting', endedAt: endOf(backup) });
    await insertJob(tx, parts, backup);
  });
  parts.log.info({ backupId: id }, 'backup deletion accepted');
}

async function isBeingDeleted(tx: CatalogSession, backup: Backup): Promise<boolean> {
  const open = await tx.jobs.listOpen(backup.instanceId);
  return open.some(
    ({ kind, payload }) =>
      kind === jobKinds.deleteBackup && parseBackupPayload(payload).backupId === backup.id,
  );
}

async function assertForUser(tx: CatalogSession, backup: Backup): Promise<void> {
  const { type, state, name, projectId, instanceId } = backup;
  if (type !== 'auto' && type !== 'incremental') return;
  if (state.status === 'deleting') return;
  const isKept =
    type === 'incremental' || (await tx.instances.find(projectId, instanceId)) !== null;
  if (!isKept) return;
  throw new CairnError('conflict', `backup ${name} was made by schedule`, {
    reason: 'backup-not-manual',
    hint: 'scheduled backups go by retention',
  });
}

async function assertDeletable(tx: CatalogSession, backup: Backup): Promise<void> {
  if (backup.state.status === 'building') {
    throw new CairnError('conflict', `backup ${backup.name} is still being made`, {
      reason: 'backup-building',
      hint: 'wait until it has ended, or cancel its job',
    });
  }
  const restores = await listOpenRestores(tx, backup.projectId);
  if (restores.some((restore) => restore.backupId === backup.id)) {
    throw new CairnError('conflict', `backup ${backup.name} is being restored`, {
      reason: 'backup-in-use',
    });
  }
}

async function insertJob(
  tx: CatalogSession,
  parts: Pick<RequestParts, 'clock' | 'random'>,
  backup: Backup,
): Promise<void> {
  const instance = await tx.instances.find(backup.projectId, backup.instanceId);
  const payload: BackupPayload = { backupId: backup.id };
  await tx.jobs.insert({
    id: newJobId(idSource(parts.random)),
    projectId: backup.projectId,
    kind: jobKinds.deleteBackup,
    pool: instance?.pool ?? defaultPool,
    instanceId: backup.instanceId,
    instanceName: backup.instanceName,
    payload,
    attemptsMax: jobAttemptsMax[jobKinds.deleteBackup],
    createdAt: parts.clock.now(),
  });
}

function endOf({ state }: Backup): Date | null {
  return state.status === 'building' ? null : state.endedAt;
}
