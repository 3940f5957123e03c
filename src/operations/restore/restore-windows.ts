// The moments that an instance can be restored to. What is offered and what a restore by time
// accepts are read from the same plan, so they cannot differ.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';

/** Without archived logs a window is one moment: the end of a full backup. */
export type RestoreWindow = {
  readonly startAt: Date;
  readonly endAt: Date;
  readonly backupId: BackupId;
};

export type WindowQuery = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
};

const pageLimit = 500;
/** Older full backups than so many are not offered by time; by their id they are. */
const windowsMax = 10_000;
const dayMs = 86_400_000;

/** Ascending. Only completed full backups count. */
export function planRestoreWindows(
  backups: readonly Pick<Backup, 'id' | 'type' | 'state'>[],
): readonly RestoreWindow[] {
  return backups
    .flatMap(({ id, type, state }): RestoreWindow[] => {
      if (state.status !== 'completed' || (type !== 'auto' && type !== 'manual')) return [];
      return [{ startAt: state.endedAt, endAt: state.endedAt, backupId: id }];
    })
    .toSorted(
      (a, b) => a.endAt.getTime() - b.endAt.getTime() || (a.backupId < b.backupId ? -1 : 1),
    );
}

/** The windows that touch the day of UTC that begins then. */
export function selectDay(
  windows: readonly RestoreWindow[],
  dayAt: Date,
): readonly RestoreWindow[] {
  const nextDayMs = dayAt.getTime() + dayMs;
  return windows.filter(
    ({ startAt, endAt }) => startAt.getTime() < nextDayMs && endAt.getTime() >= dayAt.getTime(),
  );
}

/**
 * The backup that holds the moment. @throws invalid with the nearest moments that can be had
 */
export function findWindow(windows: readonly RestoreWindow[], at: Date): RestoreWindow {
  const found = windows.find(({ startAt, endAt }) => startAt <= at && at <= endAt);
  if (found) return found;
  const before = windows.findLast(({ endAt }) => endAt < at)?.endAt;
  const after = windows.find(({ startAt }) => startAt > at)?.startAt;
  const near = [before, after].filter((moment) => moment !== undefined);
  const listed = near.map((moment) => `${moment.getTime()} (${moment.toISOString()})`).join(' or ');
  throw new CairnError('invalid', `the instance cannot be restored to ${at.toISOString()}`, {
    reason: 'restore-time-unreachable',
    hint:
      near.length === 0
        ? 'it has no completed full backup'
        : `no logs are archived, so only ends of backups can be had: the nearest is ${listed}`,
  });
}

/**
 * The windows of an instance, also of one that is gone and has left backups. @throws not-found for
 * one that is gone without any
 */
export async function listRestoreWindows(
  catalog: CatalogSession,
  query: WindowQuery,
): Promise<readonly RestoreWindow[]> {
  const windows = planRestoreWindows(await listCompleted(catalog, query));
  if (windows.length === 0) await getInstance(catalog, query.projectId, query.instanceId);
  return windows;
}

async function listCompleted(
  catalog: CatalogSession,
  { projectId, instanceId }: WindowQuery,
): Promise<readonly Backup[]> {
  const backups: Backup[] = [];
  const filter = { projectId, instanceId, status: 'completed' } as const;
  for (let offset = 0; offset < windowsMax; offset += pageLimit) {
    const page = await catalog.backups.list(filter, { offset, limit: pageLimit });
    backups.push(...page.items);
    if (page.items.length < pageLimit) break;
  }
  return backups;
}
