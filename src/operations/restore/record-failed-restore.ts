import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Job } from '../../model/job.ts';
import { parseRestoreInPlacePayload } from '../job-payloads.ts';

/**
 * What becomes of the target of a restore over it that did not succeed. While a copy is being made
 * the old server goes on as it is: running, or failed as an earlier restore left it. One that was
 * stopped is started again by the attempt itself; when no attempt lived to do that, nobody knows
 * what runs, and saying `active` would be a guess.
 */
export async function recordFailedRestoreInPlace(
  { projectId, payload }: Pick<Job, 'projectId' | 'payload'>,
  reason: string,
  tx: CatalogSession,
  at: Date,
): Promise<void> {
  const { targetInstanceId, replacedHomeDir } = parseRestoreInPlacePayload(payload);
  const target = await tx.instances.find(projectId, targetInstanceId);
  if (target?.state.status === 'restoring') {
    const { failure } = target.state;
    const before =
      failure === null
        ? ({ status: 'active' } as const)
        : ({ status: 'failed', reason: failure } as const);
    await tx.instances.setState(target.id, before, at);
  }
  if (target?.state.status === 'switching') {
    const kept = `${reason}; the data that was there is kept in ${replacedHomeDir}`;
    await tx.instances.setState(target.id, { status: 'failed', reason: kept }, at);
  }
}
