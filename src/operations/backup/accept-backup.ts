// What manual and automated backups have in common when they are accepted: the backup (`building`)
// and its job are written in one transaction, so there is never one without the other.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import { newBackupId, newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { idSource } from '../../platform/random.ts';
import type { BackupPayload } from '../job-payloads.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';

type Parts = { readonly clock: Clock; readonly random: Random };
type Wanted = Pick<Backup, 'name' | 'description' | 'type' | 'databases'>;

/** @throws conflict: the database itself holds "one name" and "one backup at a time" */
export async function insertBackup(
  tx: CatalogSession,
  parts: Parts,
  instance: Instance,
  wanted: Wanted,
): Promise<Backup> {
  const hex = idSource(parts.random);
  const backup: Backup = {
    ...wanted,
    id: newBackupId(hex, instance.engine),
    projectId: instance.projectId,
    instanceId: instance.id,
    instanceName: instance.name,
    engine: instance.engine,
    serverVersion: instance.serverVersion ?? '',
    jobId: newJobId(hex),
    startedAt: parts.clock.now(),
    state: { status: 'building' },
  };
  await tx.backups.insert(backup);
  const payload: BackupPayload = { backupId: backup.id };
  await tx.jobs.insert({
    id: backup.jobId,
    projectId: backup.projectId,
    kind: jobKinds.backup,
    pool: instance.pool,
    instanceId: instance.id,
    instanceName: instance.name,
    payload,
    attemptsMax: jobAttemptsMax[jobKinds.backup],
    createdAt: backup.startedAt,
  });
  return backup;
}

/** Why no backup of the instance may begin, apart from one that is running already; else null. */
export async function findObstacle(
  tx: CatalogSession,
  instance: Instance,
): Promise<CairnError | null> {
  const { status } = instance.state;
  if (status === 'restoring' || status === 'switching') {
    return new CairnError('conflict', `instance ${instance.name} is being restored`, {
      reason: 'instance-busy',
      hint: 'wait until its job has ended',
    });
  }
  const open = await tx.jobs.listOpen(instance.id);
  const leaving = open.some(({ kind }) => kind === jobKinds.removeInstance);
  if (status === 'active' && !leaving) return null;
  const word = leaving ? 'being removed' : status;
  return new CairnError('conflict', `instance ${instance.name} is ${word}, not active`, {
    reason: 'instance-not-active',
  });
}
