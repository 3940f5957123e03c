import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import type { WorkerParts } from '../worker-parts.ts';

export type RotatedKeyReport = { readonly kind: 'rotated-key'; readonly keyId: string };

/** An attempt that is repeated adds one key more, which harms nothing. */
export async function runKeyRotation(
  { id, instanceId }: Job,
  context: JobContext,
  { repository, clock }: WorkerParts,
): Promise<void> {
  if (instanceId === null) throw new CairnError('bug', `job ${id} names no instance`);
  context.progress({ phase: 'reading manifests', doneBytes: 0, totalBytes: null });
  await context.assertLease();
  const { keyId } = await repository.rotateKey(instanceId, clock.now(), context.signal);
  const report: RotatedKeyReport = { kind: 'rotated-key', keyId };
  await context.commit((tx) => tx.jobs.setResult(id, report));
  context.log.info({ instanceId, keyId }, 'data key added');
}
