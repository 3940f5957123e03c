import type { JobDetailWire } from '../api/schema/job.ts';
import type { CairnError } from '../model/errors.ts';
import type { FollowParts } from './follow-job.ts';
import { awaitEnd, failureOf } from './follow-job.ts';
import type { ServiceClient } from './service-client.ts';

/**
 * Waits for each job in turn, also when one fails; the first failure is answered with the jobs.
 * @throws cancelled after Ctrl-C: the jobs go on
 */
export async function followJobs(
  service: ServiceClient,
  ids: readonly string[],
  parts: FollowParts,
): Promise<{ readonly jobs: readonly JobDetailWire[]; readonly error: CairnError | null }> {
  const jobs: JobDetailWire[] = [];
  let error: CairnError | null = null;
  for (const id of ids) {
    const job = await awaitEnd(service, id, parts);
    error ??= failureOf(job);
    jobs.push(job);
  }
  return { jobs, error };
}
