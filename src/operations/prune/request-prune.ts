import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { jobKinds } from '../job-payloads.ts';
import { requestInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random'>;

export type PruneRequest = {
  readonly projectId: ProjectId;
  /** Null: every instance of the project that has backups. */
  readonly instanceId: InstanceId | null;
  /** Only says what would go. */
  readonly dryRun: boolean;
};

/** `instanceId` null: a look for folders that belong to no instance. */
export type AskedJob = { readonly instanceId: InstanceId | null; readonly jobId: JobId };

/**
 * One job for each instance; for all of them also one that looks for folders of unknown instances.
 * A prune that waits or runs already is answered again. @throws not-found
 */
export async function requestPrune(
  parts: Parts,
  { projectId, instanceId, dryRun }: PruneRequest,
): Promise<readonly AskedJob[]> {
  const kind = dryRun ? jobKinds.planPrune : jobKinds.prune;
  const ids =
    instanceId === null
      ? await parts.catalog.backups.listInstanceIds(projectId)
      : [await requireKnown(parts.catalog, projectId, instanceId)];
  const asked: AskedJob[] = [];
  for (const id of ids) {
    const request = { kind, projectId, instanceId: id };
    asked.push({ instanceId: id, jobId: await requestInstanceJob(parts, request) });
  }
  if (instanceId !== null) return asked;
  const survey = { kind: jobKinds.planPrune, projectId, instanceId: null };
  return [...asked, { instanceId: null, jobId: await requestInstanceJob(parts, survey) }];
}

/** An instance that is gone may still have backups. @throws not-found */
export async function requireKnown(
  { backups, instances }: CatalogSession,
  projectId: ProjectId,
  instanceId: InstanceId,
): Promise<InstanceId> {
  if (await instances.find(projectId, instanceId)) return instanceId;
  const page = { offset: 0, limit: 1 };
  if ((await backups.list({ projectId, instanceId }, page)).total > 0) return instanceId;
  throw new CairnError('not-found', `there is no instance ${instanceId}, and no backup of it`, {
    reason: 'instance-unknown',
  });
}
