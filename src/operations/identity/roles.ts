// Which role a user has where: the stronger of what was granted for the project and for every
// project of the domain.
import type { Catalog, Grant, Project, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { Action, Role } from '../../model/permission.ts';
import { isAllowed, rolesWith, strongerRole } from '../../model/permission.ts';

type RoleParts = { readonly catalog: Pick<Catalog, 'identity'> };

/** Null for the project: the role in the domain itself. */
export function roleFrom(grants: readonly Grant[], projectId: ProjectId | null): Role | null {
  const grantedFor = (id: ProjectId | null): Role | null =>
    grants.find((grant) => grant.projectId === id)?.role ?? null;
  return strongerRole(grantedFor(null), projectId === null ? null : grantedFor(projectId));
}

/** Null: the user may nothing in this project, or there is none in the user's domain. */
export async function findRole(
  { catalog }: RoleParts,
  user: User,
  project: Project | null,
): Promise<Role | null> {
  if (project && project.domainId !== user.domainId) return null;
  return roleFrom(await catalog.identity.listGrants(user.id), project?.id ?? null);
}

/** The projects that the user has a role in, by name. */
export async function listOwnProjects(
  { catalog }: RoleParts,
  user: User,
): Promise<readonly Project[]> {
  const grants = await catalog.identity.listGrants(user.id);
  const projects = await catalog.identity.listProjects();
  return projects.filter(
    ({ id, domainId }) => domainId === user.domainId && roleFrom(grants, id) !== null,
  );
}

/** @throws forbidden when the role does not hold the action */
export function assertAllowed(role: Role, action: Action): void {
  if (isAllowed(role, action)) return;
  const able = rolesWith(action);
  throw new CairnError('forbidden', `the role ${role} does not allow ${action}`, {
    reason: 'action-not-allowed',
    hint: `it takes the role ${able.join(' or ')} in this project`,
  });
}

/** @throws forbidden: users and projects are managed by the owners of the whole domain */
export async function requireDomainOwner(parts: RoleParts, user: User): Promise<void> {
  if ((await findRole(parts, user, null)) === 'owner') return;
  throw new CairnError('forbidden', 'users and projects are managed by owners of every project', {
    reason: 'action-not-allowed',
    hint: 'it takes the role owner in every project',
  });
}

/** Whoever it is about, or an owner of the domain. @throws forbidden */
export async function requireSelfOrOwner(
  parts: RoleParts,
  user: User,
  about: string,
): Promise<void> {
  if (user.id !== about) await requireDomainOwner(parts, user);
}
