import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { jobKinds } from '../job-payloads.ts';
import { requestInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';
import type { AskedJob } from '../prune/request-prune.ts';
import { requireKnown } from '../prune/request-prune.ts';

/** `instanceId` null: every instance of the project that has backups. @throws not-found */
export async function requestKeyRotation(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random'>,
  projectId: ProjectId,
  instanceId: InstanceId | null,
): Promise<readonly AskedJob[]> {
  const ids =
    instanceId === null
      ? await parts.catalog.backups.listInstanceIds(projectId)
      : [await requireKnown(parts.catalog, projectId, instanceId)];
  const asked: AskedJob[] = [];
  for (const id of ids) {
    const request = { kind: jobKinds.rotateKey, projectId, instanceId: id };
    asked.push({ instanceId: id, jobId: await requestInstanceJob(parts, request) });
  }
  return asked;
}
