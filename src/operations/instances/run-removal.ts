import { join } from 'node:path';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { Job } from '../../model/job.ts';
import { deleteAutomatedBackups } from '../backup/delete-automated.ts';
import { parseRemoveInstancePayload } from '../job-payloads.ts';
import { removeLog } from '../log-archive/remove-log.ts';
import { driverFor } from '../parts.ts';
import { listOtherHomes } from '../restore/other-homes.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { removeServer } from './remove-server.ts';
import { assertServerHere } from './server-place.ts';

/**
 * Removes an instance from the catalog. A server that Cairn started after a restore is stopped and
 * its folder removed; a server of the user's is left alone, but for what it keeps for our archiver.
 * Its automated backups and its archived log go, manual backups stay. @throws engine-unreachable
 * when its server may live on another host
 */
export async function runRemoval(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { instanceId } = parseRemoveInstancePayload(job.payload);
  const instance = await parts.catalog.instances.find(job.projectId, instanceId);
  if (!instance) return;
  await assertServerHere(instance);
  context.progress({ phase: 'removing', doneBytes: 0, totalBytes: null });
  // Its own folder exists for a restored server only, also for one whose restore failed.
  const driver = driverFor(parts.engines, instance.engine);
  const homeDir = instance.managed?.homeDir ?? join(parts.serversDir, instance.id);
  const { serversDir } = parts;
  const homes = { serversDir, instanceId, currentHomeDir: homeDir, replacedHomeDir: homeDir };
  for (const home of [homeDir, ...(await listOtherHomes(homes))]) {
    await removeServer(driver, home, context);
  }
  await removeLog(instance, context, parts);
  // Before the commit: an attempt that dies in between finds them again as long as it is there.
  await deleteAutomatedBackups({ ...parts, log: context.log }, job.projectId, instance.id);
  await context.commit(async (tx) => {
    await tx.tags.deleteAll(instance.id);
    await tx.policies.delete(instance.id);
    await tx.instances.delete(instance.id);
  });
}
