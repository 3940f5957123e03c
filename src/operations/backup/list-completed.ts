import type { CatalogSession } from '../../catalog/catalog.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';

const pageLimit = 200;

/** Every backup of an instance that the catalog counts on. */
export async function listCompleted(
  { backups }: Pick<CatalogSession, 'backups'>,
  { projectId, instanceId }: { readonly projectId: ProjectId; readonly instanceId: InstanceId },
): Promise<readonly BackupId[]> {
  const filter = { projectId, instanceId, status: 'completed' } as const;
  const ids: BackupId[] = [];
  for (let offset = 0; ; offset += pageLimit) {
    const { items } = await backups.list(filter, { offset, limit: pageLimit });
    ids.push(...items.map(({ id }) => id));
    if (items.length < pageLimit) return ids;
  }
}
