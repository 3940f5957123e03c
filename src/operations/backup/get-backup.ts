import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, ProjectId } from '../../model/ids.ts';

/** @throws not-found with the reason that clients know */
export async function getBackup(
  catalog: CatalogSession,
  projectId: ProjectId,
  id: BackupId,
): Promise<Backup> {
  const backup = await catalog.backups.find(projectId, id);
  if (backup) return backup;
  throw new CairnError('not-found', `backup ${id} does not exist`, { reason: 'backup-unknown' });
}
