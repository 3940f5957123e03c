import type { CatalogSession } from '../../catalog/catalog.ts';
import type { BackupId, ProjectId } from '../../model/ids.ts';

/** A manifest that is no backup for the catalog. What it needs is kept all the same. */
export type Orphan = {
  readonly backupId: BackupId;
  readonly status: 'unknown' | 'failed' | 'deleting';
  /** Failed for at least the grace period: it goes the way of every deletion. */
  readonly isStale: boolean;
};

/**
 * Of backups that have a manifest, those that the catalog does not know, or knows as failed or
 * leaving: it landed after its job had been given up, or the catalog is older than the storage.
 */
export async function findOrphans(
  { backups }: Pick<CatalogSession, 'backups'>,
  stored: { readonly projectId: ProjectId; readonly backupIds: readonly BackupId[] },
  time: { readonly now: Date; readonly graceMs: number },
): Promise<readonly Orphan[]> {
  const orphans: Orphan[] = [];
  for (const backupId of stored.backupIds) {
    const backup = await backups.find(stored.projectId, backupId);
    if (!backup) {
      orphans.push({ backupId, status: 'unknown', isStale: false });
      continue;
    }
    const { state } = backup;
    if (state.status === 'deleting') {
      orphans.push({ backupId, status: 'deleting', isStale: false });
    } else if (state.status === 'failed') {
      const isStale = time.now.getTime() - state.endedAt.getTime() >= time.graceMs;
      orphans.push({ backupId, status: 'failed', isStale });
    }
  }
  return orphans;
}
