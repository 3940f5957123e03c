import type { CatalogSession } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RestorePayload } from '../job-payloads.ts';
import { jobKinds, parseRestorePayload } from '../job-payloads.ts';

const pageLimit = 100;

/**
 * The restores that have not ended. Each has a target instance that is still building, so the
 * instances are the short way to them: jobs are kept, instances being built are few.
 */
export async function listOpenRestores(
  tx: CatalogSession,
  projectId: ProjectId,
): Promise<readonly RestorePayload[]> {
  const restores: RestorePayload[] = [];
  for (let offset = 0; ; offset += pageLimit) {
    const page = await tx.instances.list({ projectId }, { offset, limit: pageLimit });
    for (const instance of page.items) {
      if (instance.state.status !== 'building') continue;
      const jobs = await tx.jobs.listOpen(instance.id);
      const open = jobs.filter((job) => job.kind === jobKinds.restore);
      restores.push(...open.map((job) => parseRestorePayload(job.payload)));
    }
    if (offset + pageLimit >= page.total) return restores;
  }
}
