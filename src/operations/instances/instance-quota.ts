import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RequestParts } from '../parts.ts';

/**
 * Call it in the transaction that inserts the instance: of several callers at once, no one too many
 * passes. @throws conflict
 */
export async function assertQuota(
  tx: CatalogSession,
  { instanceQuota }: Pick<RequestParts, 'instanceQuota'>,
  projectId: ProjectId,
): Promise<void> {
  if (instanceQuota === null) return;
  const used = await tx.instances.count(projectId);
  if (used < instanceQuota) return;
  throw new CairnError('conflict', `the project has ${used} of ${instanceQuota} instances`, {
    reason: 'instance-quota-reached',
    hint: 'remove an instance, or raise CAIRN_INSTANCE_QUOTA',
  });
}
