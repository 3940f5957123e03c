import type { CatalogSession } from '../../catalog/catalog.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import { defaultPool } from '../../model/instance.ts';
import type { JobPayload } from '../../model/job.ts';
import { idSource } from '../../platform/random.ts';
import type { JobKindName } from '../job-payloads.ts';
import { jobAttemptsMax } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random'>;

export type InstanceJobRequest = {
  readonly kind: JobKindName;
  readonly projectId: ProjectId;
  /** Null: about no instance, so beside everything. */
  readonly instanceId: InstanceId | null;
  readonly payload?: JobPayload;
};

/**
 * Asks for a job that looks after what an instance has in the storage; the instance itself may be
 * gone. One of the same kind and payload that has not ended is answered in its place.
 */
export async function requestInstanceJob(
  parts: Parts,
  request: InstanceJobRequest,
): Promise<JobId> {
  return await parts.catalog.transaction((tx) => insertInstanceJob(tx, parts, request));
}

/** The same inside a transaction that does more. */
export async function insertInstanceJob(
  tx: CatalogSession,
  parts: Pick<Parts, 'clock' | 'random'>,
  { kind, projectId, instanceId, payload = {} }: InstanceJobRequest,
): Promise<JobId> {
  const instance = instanceId && (await tx.instances.find(projectId, instanceId));
  const open = await tx.jobs.listOpenByKind(projectId, [kind]);
  const same = open.find(
    (job) =>
      job.instanceId === instanceId && JSON.stringify(job.payload) === JSON.stringify(payload),
  );
  if (same) return same.id;
  const id = newJobId(idSource(parts.random));
  const name = instance?.name ?? (instanceId && (await nameOf(tx, projectId, instanceId))) ?? '';
  await tx.jobs.insert({
    ...{ id, projectId, kind, instanceId, payload, instanceName: name },
    pool: instance?.pool ?? defaultPool,
    attemptsMax: jobAttemptsMax[kind],
    createdAt: parts.clock.now(),
  });
  return id;
}

/** As its latest backup remembers it. */
async function nameOf(
  { backups }: CatalogSession,
  projectId: ProjectId,
  instanceId: InstanceId,
): Promise<string | null> {
  const { items } = await backups.list({ projectId, instanceId }, { offset: 0, limit: 1 });
  return items[0]?.instanceName ?? null;
}
