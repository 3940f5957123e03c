import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId } from '../../model/ids.ts';
import type { Job } from '../../model/job.ts';
import type { CheckFinding } from '../../repository/repository.ts';
import { listCompleted } from '../backup/list-completed.ts';
import { parseCheckPayload } from '../job-payloads.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { errorOf, missingManifest, storeReport } from './check-report.ts';

/**
 * Checks what an instance has in the storage, and whether every backup that the catalog counts on
 * is there. The job fails when anything is damaged, with the report as its result.
 */
export async function runCheck(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { readData: wanted } = parseCheckPayload(job.payload);
  // Another job, another sample.
  const readData = wanted && { ...wanted, seed: wanted.seed || job.id };
  const { instanceId } = job;
  if (instanceId === null) throw new CairnError('bug', `check job ${job.id} names no instance`);
  const expected = await listCompleted(parts.catalog, { projectId: job.projectId, instanceId });
  const found = await parts.repository.check({
    ...{ instanceIds: [instanceId], readData, signal: context.signal },
    onProgress: ({ phase, doneBytes, totalBytes }) => {
      context.progress({ phase: `checking ${phase}`, doneBytes, totalBytes });
    },
  });
  const suspects = expected.filter((id) => !found.storedIds.has(id));
  const missing = await findMissing(suspects, { job, instanceId, context, parts });
  const findings = [...missing, ...found.findings];
  const report = storeReport({ ...found, findings }, readData);
  await context.commit((tx) => tx.jobs.setResult(job.id, report));
  const error = errorOf(report);
  if (error) throw error;
}

/** Deleted meanwhile is no loss. */
async function findMissing(
  suspects: readonly BackupId[],
  of: {
    readonly job: Job;
    readonly instanceId: InstanceId;
    readonly context: JobContext;
    readonly parts: WorkerParts;
  },
): Promise<readonly CheckFinding[]> {
  const { job, instanceId, context, parts } = of;
  const missing: CheckFinding[] = [];
  for (const id of suspects) {
    if (await parts.repository.hasBackup(instanceId, id, context.signal)) continue;
    const backup = await parts.catalog.backups.find(job.projectId, id);
    if (backup?.state.status !== 'completed') continue;
    missing.push(missingManifest(`instances/${instanceId}/backups/${id}/manifest`, id));
  }
  return missing;
}
