// The moments that an instance can be restored to, for who chooses one.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { InstanceQuery } from './recovery-facts.ts';
import { findRecoveryFacts } from './recovery-facts.ts';
import type { RecoveryFacts } from './recovery-plan.ts';
import { planReaches } from './recovery-plan.ts';

/** Both ends can be had. Without archived log it is one moment: the end of a full backup. */
export type RestoreWindow = { readonly startAt: Date; readonly endAt: Date };

const dayMs = 86_400_000;

/** Ascending, and apart from each other. */
export function planRestoreWindows(facts: RecoveryFacts): readonly RestoreWindow[] {
  const windows: RestoreWindow[] = [];
  for (const { startAt, endAt } of planReaches(facts)) {
    const last = windows.at(-1);
    if (!last || startAt > last.endAt) windows.push({ startAt, endAt });
    else if (endAt > last.endAt) windows.splice(-1, 1, { startAt: last.startAt, endAt });
  }
  return windows;
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

/** @throws not-found for an instance that is gone and has left no backups */
export async function listRestoreWindows(
  catalog: CatalogSession,
  query: InstanceQuery,
): Promise<readonly RestoreWindow[]> {
  return planRestoreWindows(await findRecoveryFacts(catalog, query));
}
