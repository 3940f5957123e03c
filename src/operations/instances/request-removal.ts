import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { idSource } from '../../platform/random.ts';
import type { RemoveInstancePayload } from '../job-payloads.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import { cancelWithin } from '../jobs/cancel-job.ts';
import type { RequestParts } from '../parts.ts';
import { listOpenRestores } from '../restore/open-restores.ts';
import { getInstance } from './get-instance.ts';

/**
 * Asks for an instance to be removed; manual backups stay, automated ones go with it. The instance
 * keeps its state until it is gone: clients know no word for "being deleted". Asking again answers
 * the job that runs already.
 * @throws not-found, conflict while a backup or a restore needs the instance
 */
export async function requestRemoval(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random'>,
  projectId: ProjectId,
  id: InstanceId,
): Promise<{ readonly jobId: JobId }> {
  return await parts.catalog.transaction(async (tx) => {
    const instance = await getInstance(tx, projectId, id);
    const open = await tx.jobs.listOpen(id);
    const removal = open.find((job) => job.kind === jobKinds.removeInstance);
    if (removal) return { jobId: removal.id };
    const manual = await cancelAutomated(tx, instance, open, parts.clock.now());
    await assertUnused(tx, instance, manual);
    const jobId = newJobId(idSource(parts.random));
    const payload: RemoveInstancePayload = { instanceId: id };
    await tx.jobs.insert({
      id: jobId,
      projectId,
      kind: jobKinds.removeInstance,
      pool: instance.pool,
      instanceId: id,
      instanceName: instance.name,
      payload,
      attemptsMax: jobAttemptsMax[jobKinds.removeInstance],
      createdAt: parts.clock.now(),
    });
    return { jobId };
  });
}

/** An automated backup goes with its instance, so it need not be waited for. */
async function cancelAutomated(
  tx: CatalogSession,
  instance: Instance,
  open: readonly Job[],
  at: Date,
): Promise<readonly Job[]> {
  const building = await tx.backups.findBuilding(instance.id);
  if (building?.type !== 'auto') return open;
  const job = open.find(({ id }) => id === building.jobId);
  if (job) await cancelWithin(tx, job, at);
  return open.filter(({ id }) => id !== building.jobId);
}

async function assertUnused(
  tx: CatalogSession,
  instance: Instance,
  open: readonly { readonly kind: string }[],
): Promise<void> {
  const { backup, restore, restoreInPlace, restoreDatabases, restoreParts } = jobKinds;
  const kinds: readonly string[] = [
    ...[backup, restore, restoreInPlace, restoreDatabases, restoreParts],
  ];
  const busy = open.find((job) => kinds.includes(job.kind));
  if (busy) throw busyError(instance, busy.kind === jobKinds.backup ? 'a backup' : 'a restore');
  const restores = await listOpenRestores(tx, instance.projectId);
  if (restores.some((restore) => restore.sourceInstanceId === instance.id)) {
    throw busyError(instance, 'a restore from one of its backups');
  }
}

function busyError(instance: Instance, what: string): CairnError {
  return new CairnError('conflict', `${what} is running on instance ${instance.name}`, {
    reason: 'instance-busy',
    hint: 'wait until its job has ended, or cancel it',
  });
}
