import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import { listCompleted } from '../backup/list-completed.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { assertUntouched } from './assert-untouched.ts';
import { reportLocks } from './lock-report.ts';

/**
 * Keeps locked what the backups of an instance need, as the storage location says. The job fails
 * when somebody else has touched any of it, with the report as its result. @throws storage errors
 */
export async function runLockExtension(
  { id, projectId, instanceId }: Job,
  context: JobContext,
  { catalog, repository }: Pick<WorkerParts, 'catalog' | 'repository'>,
): Promise<void> {
  if (instanceId === null) throw new CairnError('bug', `lock job ${id} names no instance`);
  context.progress({ phase: 'locking', doneBytes: 0, totalBytes: null });
  const { signal } = context;
  const expected = await listCompleted(catalog, { projectId, instanceId });
  const report = await repository.extendLocks(instanceId, { expected, signal });
  // The location asked for locks when this was asked for.
  if (!report) return;
  await context.commit((tx) => tx.jobs.setResult(id, reportLocks(report)));
  const { needed, extended } = report;
  context.log.info({ instanceId, needed, extended }, 'locks extended');
  assertUntouched(report);
}
