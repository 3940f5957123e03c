import { jobKinds } from '../job-payloads.ts';
import { insertInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';

const dayMs = 24 * 60 * 60_000;
/** The rest has its turn in the next round. */
const instancesMax = 100;

/**
 * Asks once a day for a prune of every instance that has backups, and, where the storage locks
 * objects, for longer locks; of many replicas one asks. Answers how many prunes were asked for.
 */
export async function schedulePrunes(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>,
  options: { readonly locksToo: boolean } = { locksToo: false },
): Promise<number> {
  const { catalog, clock, log } = parts;
  const now = clock.now();
  const before = new Date(now.getTime() - dayMs);
  let count = 0;
  for (const { projectId, instanceId } of await catalog.prune.listDue(before, instancesMax)) {
    await catalog.transaction(async (tx) => {
      if (!(await tx.prune.takeTurn(instanceId, before, now))) return;
      const of = { projectId, instanceId };
      await insertInstanceJob(tx, parts, { ...of, kind: jobKinds.prune });
      if (options.locksToo)
        await insertInstanceJob(tx, parts, { ...of, kind: jobKinds.extendLocks });
      count++;
    });
  }
  if (count > 0) log.info({ count }, 'prunes are due');
  return count;
}
