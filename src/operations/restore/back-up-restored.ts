import type { JobContext } from '../../jobs/job-kind.ts';
import type { Instance } from '../../model/instance.ts';
import { acceptAutomatedBackup } from '../backup/automated-backup.ts';
import type { WorkerParts } from '../worker-parts.ts';

/**
 * What was restored has a history of its own from now on, so its first backup is asked for at once,
 * unless its policy wants no automated ones. The restore is done whatever becomes of this.
 */
export async function backUpRestored(
  { id, projectId }: Pick<Instance, 'id' | 'projectId'>,
  { log }: Pick<JobContext, 'log'>,
  parts: WorkerParts,
): Promise<void> {
  try {
    await parts.catalog.transaction(async (tx) => {
      const instance = await tx.instances.get(projectId, id);
      const record = await tx.policies.find(id);
      if (record?.policy.kind !== 'on' || instance.state.status !== 'active') return;
      const description = 'after a restore';
      const namedAfter = parts.clock.now();
      await acceptAutomatedBackup(tx, parts, instance, { namedAfter, description });
    });
  } catch (error) {
    log.warn({ err: error, instanceId: id }, 'no backup was asked for after the restore');
  }
}
