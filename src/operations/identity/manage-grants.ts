// Grants: which role a user has in a project, or in every project.
import type { Grant, User } from '../../catalog/catalog.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RequestParts } from '../parts.ts';
import type { WantedGrant } from './manage-users.ts';
import { assertOtherOwner, requireProject, requireUser } from './manage-users.ts';
import { requireDomainOwner } from './roles.ts';

type GrantParts = Pick<RequestParts, 'catalog' | 'log'>;

/**
 * Replaces what the user had there. Answers all grants of the user.
 * @throws forbidden, not-found; conflict when nobody would be left who owns every project
 */
export async function setGrant(
  { catalog, log }: GrantParts,
  asker: User,
  id: string,
  { projectId, role }: WantedGrant,
): Promise<readonly Grant[]> {
  await requireDomainOwner({ catalog }, asker);
  const grants = await catalog.transaction(async (tx) => {
    // Grants before the user, whatever is granted: everybody keeps to that order.
    await tx.identity.listDomainGrants(asker.domainId);
    if (projectId === null && role !== 'owner') await assertOtherOwner(tx, asker, id);
    const { id: userId } = await requireUser(tx, asker, id);
    await requireProject(tx, asker, projectId);
    await tx.identity.setGrant({ userId, projectId, role });
    return await tx.identity.listGrants(userId);
  });
  log.info({ userId: id, projectId, role, by: asker.id }, 'role granted');
  return grants;
}

/**
 * No error when there was none. Tokens of the user stay, and open what the other grants open.
 * @throws forbidden, not-found; conflict when nobody would be left who owns every project
 */
export async function revokeGrant(
  { catalog, log }: GrantParts,
  asker: User,
  id: string,
  projectId: ProjectId | null,
): Promise<void> {
  await requireDomainOwner({ catalog }, asker);
  await catalog.transaction(async (tx) => {
    await tx.identity.listDomainGrants(asker.domainId);
    if (projectId === null) await assertOtherOwner(tx, asker, id);
    const { id: userId } = await requireUser(tx, asker, id);
    await tx.identity.deleteGrant(userId, projectId);
  });
  log.info({ userId: id, projectId, by: asker.id }, 'role revoked');
}
