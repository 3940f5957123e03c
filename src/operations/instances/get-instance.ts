import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';

/** @throws not-found with the reason that clients know */
export async function getInstance(
  catalog: CatalogSession,
  projectId: ProjectId,
  id: InstanceId,
): Promise<Instance> {
  const instance = await catalog.instances.find(projectId, id);
  if (instance) return instance;
  throw new CairnError('not-found', `instance ${id} does not exist`, {
    reason: 'instance-unknown',
  });
}
