import type { JobContext } from '../../jobs/job-kind.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Connection } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import type { RepositoryReader } from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';

/** The catalog calls it completed: without its manifest it is not unknown but lost. */
export async function openBackup(
  { instanceId, id }: Backup,
  { signal }: JobContext,
  { repository }: WorkerParts,
): Promise<RepositoryReader> {
  try {
    return await repository.openReader(instanceId, id, signal);
  } catch (cause) {
    if (!isErrorKind(cause, 'not-found')) throw cause;
    throw new CairnError('repository-damaged', `backup ${id} is lost: ${cause.message}`, { cause });
  }
}

/**
 * The roles of the backup are those of the source. When it is gone, the engine's usual superuser
 * stands in.
 */
export async function findSourceConnection(
  job: Pick<Job, 'projectId'>,
  sourceInstanceId: InstanceId,
  { catalog }: WorkerParts,
): Promise<Connection> {
  const source = await catalog.instances.find(job.projectId, sourceInstanceId);
  const unknown = { host: '127.0.0.1', port: 0, tls: 'disable', tlsCaPem: null } as const;
  const superuser = { user: 'postgres', database: 'postgres', password: null };
  return source?.connection ?? { ...unknown, ...superuser };
}
