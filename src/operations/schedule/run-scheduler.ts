// The clockwork of `serve`: asks for the backups that are due, expires those that are too old, sees
// to it that logs are archived, and has the storage tidied once a day.
// Every replica runs one; they need not know of each other.
import type { PolicyRecord } from '../../catalog/catalog.ts';
import { forgetOldJobs } from '../jobs/forget-jobs.ts';
import { scheduleLogArchive, scheduleLogTrims } from '../log-archive/schedule-log-archive.ts';
import { scheduleOffsiteCopies } from '../offsite/schedule-offsite.ts';
import type { LogArchiveSetting, RequestParts } from '../parts.ts';
import { schedulePrunes } from '../prune/schedule-prunes.ts';
import { applyRetention } from './apply-retention.ts';
import { applySchedule } from './apply-schedule.ts';
import { watchClock } from './clock-jumps.ts';
import { resumeDeletions } from './resume-deletions.ts';

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;
type ServiceParts = Parts &
  Pick<RequestParts, 'secondStorage' | 'engines'> & {
    readonly logArchive: LogArchiveSetting;
    /** Whether the storage locks what backups need. */
    readonly locksObjects: boolean;
  };

const tickMs = 15_000;
const tidyMs = 5 * 60_000;
const pageLimit = 200;

/** Runs until the signal fires. What fails is logged and tried again at the next tick. */
export async function runScheduler(parts: ServiceParts, signal: AbortSignal): Promise<void> {
  const { clock, log } = parts;
  const watch = watchClock(clock);
  let tidiedMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    const isTimeToTidy = clock.monotonicMs() - tidiedMs >= tidyMs;
    if (isTimeToTidy) tidiedMs = clock.monotonicMs();
    const isTrusted = watch.isTrusted();
    if (isTimeToTidy && !isTrusted) {
      log.warn('the clock has jumped: for an hour nothing is deleted because of its age');
    }
    try {
      const { locksObjects: locksToo } = parts;
      await runSchedulerOnce(parts, { tidy: isTimeToTidy && isTrusted, locksToo, signal });
      await scheduleLogArchive(parts, signal);
      if (parts.secondStorage) {
        await scheduleOffsiteCopies(parts, { removeOlder: isTrusted, signal });
      }
    } catch (error) {
      log.error({ err: error }, 'the scheduler could not do its round');
    }
    await clock.sleep(tickMs, signal).catch(() => undefined);
  }
}

/** One round over all policies; one that fails does not keep the others from theirs. */
export async function runSchedulerOnce(
  parts: Parts,
  options: { readonly tidy: boolean; readonly locksToo?: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { catalog, clock, log } = parts;
  const { tidy, locksToo = false, signal } = options;
  for (let offset = 0; !signal.aborted; offset += pageLimit) {
    const records = await catalog.policies.listActive({ offset, limit: pageLimit });
    for (const record of records) {
      if (signal.aborted) return;
      await applyPolicy(parts, record, tidy).catch((error: unknown) => {
        log.error({ err: error, instanceId: record.instanceId }, 'a backup policy failed');
      });
    }
    if (records.length < pageLimit) break;
  }
  if (!tidy || signal.aborted) return;
  await forgetOldJobs(catalog, clock.now());
  await schedulePrunes(parts, { locksToo });
  await scheduleLogTrims(parts, signal);
}

async function applyPolicy(parts: Parts, record: PolicyRecord, tidy: boolean): Promise<void> {
  await applySchedule(parts, record);
  if (!tidy) return;
  await applyRetention(parts, record);
  await resumeDeletions(parts, record);
}
