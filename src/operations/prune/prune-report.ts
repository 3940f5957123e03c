// What a prune has done, or would do: the result of its job.
import type { BackupId, InstanceId } from '../../model/ids.ts';
import type { PruneSurvey } from '../../repository/repository.ts';
import type { Orphan } from './find-orphans.ts';

export type Amount = { readonly count: number; readonly bytes: number };

export type PruneReport = {
  readonly kind: 'prune';
  /** True: nothing was changed, `removed` is what would go. */
  readonly dryRun: boolean;
  readonly graceMs: number;
  readonly removed: Amount;
  /** Unneeded, but not seen so for the grace period. */
  readonly waiting: Amount;
  readonly kept: Amount;
  /** Not written by Cairn: never touched. At most `namesMax` names. */
  readonly foreign: Amount & { readonly names: readonly string[] };
  /** Manifests whose backups the catalog does not know as backups. */
  readonly orphans: ReadonlyArray<{
    readonly backupId: BackupId;
    readonly status: Orphan['status'];
    readonly removed: boolean;
  }>;
};

/** Of a look at the whole repository: folders that no catalog entry explains. */
export type UnknownInstancesReport = {
  readonly kind: 'unknown-instances';
  readonly instanceIds: readonly InstanceId[];
};

export const namesMax = 50;

export function amountOf(objects: readonly { readonly sizeBytes: number }[]): Amount {
  return { count: objects.length, bytes: objects.reduce((sum, each) => sum + each.sizeBytes, 0) };
}

/** What a survey alone can tell. */
export function reportSurvey(
  survey: PruneSurvey,
  options: { readonly graceMs: number; readonly orphans: readonly Orphan[] },
): PruneReport {
  const { remove, wait, keep, foreign } = survey;
  const names = foreign.slice(0, namesMax).map(({ name }) => name);
  const orphans = options.orphans.slice(0, namesMax);
  return {
    kind: 'prune',
    dryRun: true,
    graceMs: options.graceMs,
    removed: amountOf(remove),
    waiting: amountOf(wait),
    kept: amountOf(keep),
    foreign: { ...amountOf(foreign), names },
    orphans: orphans.map(({ backupId, status, isStale }) => ({
      ...{ backupId, status, removed: isStale },
    })),
  };
}
