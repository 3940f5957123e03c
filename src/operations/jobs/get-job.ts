import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { JobId, ProjectId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';

/** @throws not-found with the reason that clients know */
export async function getJob(
  catalog: CatalogSession,
  projectId: ProjectId,
  id: JobId,
): Promise<Job> {
  const job = await catalog.jobs.find(projectId, id);
  if (job) return job;
  throw new CairnError('not-found', `job ${id} does not exist`, { reason: 'job-unknown' });
}
