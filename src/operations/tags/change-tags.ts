import type { Tag } from '../../catalog/catalog.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RequestParts } from '../parts.ts';
import { assertTagCount, assertTagsWellFormed } from './tag-rules.ts';

type Target = { readonly projectId: ProjectId; readonly instanceId: InstanceId };

/** A key that the instance has gets the new value. @throws not-found, invalid */
export async function addTags(
  { catalog }: Pick<RequestParts, 'catalog'>,
  { projectId, instanceId }: Target,
  tags: readonly Tag[],
): Promise<void> {
  assertTagsWellFormed(tags);
  await catalog.transaction(async (tx) => {
    await getInstance(tx, projectId, instanceId);
    assertTagCount([...(await tx.tags.list([instanceId])), ...tags]);
    for (const { key, value } of tags) await tx.tags.put(projectId, { instanceId, key, value });
  });
}

/**
 * Without a value whatever value the key has; a tag that is not there is no error. @throws
 * not-found, invalid
 */
export async function removeTags(
  { catalog }: Pick<RequestParts, 'catalog'>,
  { projectId, instanceId }: Target,
  tags: readonly { readonly key: string; readonly value: string | null }[],
): Promise<void> {
  assertTagsWellFormed(tags);
  await catalog.transaction(async (tx) => {
    await getInstance(tx, projectId, instanceId);
    for (const { key, value } of tags) await tx.tags.delete(instanceId, key, value);
  });
}
