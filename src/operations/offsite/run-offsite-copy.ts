import type { OffsiteEntry } from '../../catalog/catalog.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import type { CopyReport } from '../../repository/repository.ts';
import { parseCopyOffsitePayload } from '../job-payloads.ts';
import { assertUntouched } from '../lock/assert-untouched.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { reportCopy } from './offsite-report.ts';

const dayMs = 86_400_000;

/**
 * Copies the backups of an instance to the second storage, as its off-site policy says now, and
 * removes from there what has outlived it. One backup that cannot be copied fails the job when the
 * others are done. @throws storage errors, repository-damaged
 */
export async function runOffsiteCopy(
  job: Job,
  context: JobContext,
  { catalog, secondStorage }: Pick<WorkerParts, 'catalog' | 'secondStorage'>,
): Promise<void> {
  const { id, instanceId, createdAt } = job;
  if (instanceId === null) throw new CairnError('bug', `copy job ${id} names no instance`);
  const { removeOlder } = parseCopyOffsitePayload(job.payload);
  const keepDays = longestOf((await catalog.policies.find(instanceId))?.offsite ?? []);
  // The policy was closed meanwhile.
  if (keepDays === 0) return;
  if (!secondStorage) {
    throw new CairnError('invalid', 'there is no second storage to copy backups to', {
      hint: 'set CAIRN_OFFSITE_STORAGE for the service, or close the off-site policy',
    });
  }
  context.progress({ phase: 'looking', doneBytes: 0, totalBytes: null });
  const copy = await secondStorage.open();
  const report = await copy.copyInstance(instanceId, {
    // As of the moment when the clock was trusted.
    keepSince: new Date(createdAt.getTime() - keepDays * dayMs),
    ...{ removeOlder, removeGone: false },
    onProgress: (progress) => context.progress({ phase: 'copying', ...progress }),
    assertLease: () => context.assertLease(),
    signal: context.signal,
  });
  await context.commit((tx) => tx.jobs.setResult(id, reportCopy(report)));
  assertCopied(report, copy.location);
  assertUntouched(report.locks);
  const { copied, removed, bytes } = report;
  const counts = { copied: copied.length, removed: removed.length, bytes };
  context.log.info({ instanceId, ...counts }, 'off-site copy ended');
}

/** One copy has all kinds of backups, so the longest counts. */
export function longestOf(entries: readonly OffsiteEntry[]): number {
  return Math.max(0, ...entries.map(({ keepDays }) => keepDays));
}

function assertCopied({ failed, failedLog, copied }: CopyReport, location: string): void {
  const [first] = failed;
  const [log] = failedLog;
  if (!first && log) {
    const text = `archived log could not be copied to ${location}: ${log.error.message}`;
    throw new CairnError(log.error.kind, text, {
      hint: log.error.hint ?? 'cairn check says more of the source; what was whole was copied',
      cause: log.error,
    });
  }
  if (!first) return;
  const { backupId, error } = first;
  const count = `${failed.length} of ${failed.length + copied.length} backups`;
  const text = `${count} could not be copied to ${location}; ${backupId}: ${error.message}`;
  throw new CairnError(error.kind, text, {
    hint: error.hint ?? 'cairn check says more of the source; the others were copied',
    cause: error,
  });
}
