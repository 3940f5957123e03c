import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { LogIntervalPayload } from '../job-payloads.ts';
import { jobKinds, parseLogIntervalPayload } from '../job-payloads.ts';
import { insertInstanceJob } from '../jobs/request-instance-job.ts';
import type { RequestParts } from '../parts.ts';
import { emptyPolicy } from '../policy/get-policy.ts';
import type { WorkerParts } from '../worker-parts.ts';

const minutesMax = 60;

/**
 * Asks for another length of the intervals; a job sets it, because clients wait for one. @throws
 * invalid, not-found
 */
export async function requestLogInterval(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random'>,
  { projectId, instanceId }: { readonly projectId: ProjectId; readonly instanceId: InstanceId },
  minutes: number,
): Promise<JobId> {
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > minutesMax) {
    throw new CairnError('invalid', `interval must be a whole number from 1 to ${minutesMax}`, {
      reason: 'log-interval-invalid',
      hint: 'it counts minutes',
    });
  }
  const payload: LogIntervalPayload = { minutes };
  return await parts.catalog.transaction(async (tx) => {
    await getInstance(tx, projectId, instanceId);
    const kind = jobKinds.setLogInterval;
    return await insertInstanceJob(tx, parts, { kind, projectId, instanceId, payload });
  });
}

/** The recipe of the job. The archiver sees it within seconds. */
export async function setLogInterval(
  { projectId, instanceId, payload }: Job,
  context: JobContext,
  { clock }: Pick<WorkerParts, 'clock'>,
): Promise<void> {
  if (instanceId === null) throw new CairnError('bug', 'a log interval of no instance');
  const { minutes: logIntervalMinutes } = parseLogIntervalPayload(payload);
  await context.commit(async (tx) => {
    // Gone meanwhile: then nothing is left to set.
    if (!(await tx.instances.find(projectId, instanceId))) return;
    const found = await tx.policies.find(instanceId);
    const before = found ?? emptyPolicy(projectId, instanceId, clock.now());
    await tx.policies.put({ ...before, logIntervalMinutes });
  });
}
