import type { Catalog } from '../../catalog/catalog.ts';

/** Clients of the RDS family know that jobs older than a month are not listed. */
const jobLifeMs = 31 * 86_400_000;
const batchMax = 500;
const batchesMax = 20;

/**
 * Deletes jobs that ended more than a month ago, at most 10,000 at a time: what is left goes with
 * the next call. Open jobs stay, however old. Answers how many went.
 */
export async function forgetOldJobs(catalog: Pick<Catalog, 'jobs'>, now: Date): Promise<number> {
  const before = new Date(now.getTime() - jobLifeMs);
  let total = 0;
  for (let batch = 0; batch < batchesMax; batch++) {
    const count = await catalog.jobs.deleteEndedBefore(before, batchMax);
    total += count;
    if (count < batchMax) break;
  }
  return total;
}
