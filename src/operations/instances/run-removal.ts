import { join } from 'node:path';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { Job } from '../../model/job.ts';
import { parseRemoveInstancePayload } from '../job-payloads.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { removeServer } from './remove-server.ts';

/**
 * Removes an instance from the catalog. A server that Cairn started after a restore is stopped and
 * its folder removed; a server of the user's is left alone. Manual backups stay.
 */
export async function runRemoval(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { instanceId } = parseRemoveInstancePayload(job.payload);
  const instance = await parts.catalog.instances.find(job.projectId, instanceId);
  if (!instance) return;
  context.progress({ phase: 'removing', doneBytes: 0, totalBytes: null });
  // Its own folder exists for a restored server only, also for one whose restore failed.
  const driver = driverFor(parts.engines, instance.engine);
  const homeDir = instance.managed?.homeDir ?? join(parts.serversDir, instance.id);
  await removeServer(driver, homeDir, context);
  await context.commit((tx) => tx.instances.delete(instance.id));
}
