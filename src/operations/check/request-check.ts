import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { CheckPayload } from '../job-payloads.ts';
import { jobKinds } from '../job-payloads.ts';
import { requestInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';
import type { AskedJob } from '../prune/request-prune.ts';
import { requireKnown } from '../prune/request-prune.ts';

export type CheckRequest = {
  readonly projectId: ProjectId;
  /** Null: every instance of the project that has backups. */
  readonly instanceId: InstanceId | null;
  /** So many of a hundred packs are read through; null: none. */
  readonly percent: number | null;
};

/**
 * One job for each instance. One that waits or runs already with the same wish is answered again.
 * @throws not-found, invalid
 */
export async function requestCheck(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random'>,
  { projectId, instanceId, percent }: CheckRequest,
): Promise<readonly AskedJob[]> {
  const payload: CheckPayload = { readData: readDataOf(percent, '') };
  const ids =
    instanceId === null
      ? await parts.catalog.backups.listInstanceIds(projectId)
      : [await requireKnown(parts.catalog, projectId, instanceId)];
  const asked: AskedJob[] = [];
  for (const id of ids) {
    const request = { kind: jobKinds.check, projectId, instanceId: id, payload };
    asked.push({ instanceId: id, jobId: await requestInstanceJob(parts, request) });
  }
  return asked;
}

/** @throws invalid */
export function readDataOf(percent: number | null, seed: string): CheckPayload['readData'] {
  if (percent === null) return null;
  if (Number.isInteger(percent) && percent >= 1 && percent <= 100) return { percent, seed };
  throw new CairnError('invalid', `${percent} is no share of the data`, {
    hint: 'give a whole number of percent from 1 to 100',
  });
}
