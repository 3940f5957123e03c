// Users: made, listed and removed by the owners of the domain.
import type { CatalogSession, Grant, User } from '../../catalog/catalog.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { ProjectId, UserId } from '../../model/ids.ts';
import { newUserId } from '../../model/ids.ts';
import { isLoginName } from '../../model/names.ts';
import type { Role } from '../../model/permission.ts';
import type { Secret } from '../../model/secret.ts';
import { idSource } from '../../platform/random.ts';
import type { RequestParts } from '../parts.ts';
import { assertStrongPassword, generatePassword, hashPassword } from './passwords.ts';
import { requireDomainOwner, requireSelfOrOwner } from './roles.ts';

type UserParts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log'>;

export type UserWithGrants = { readonly user: User; readonly grants: readonly Grant[] };
export type WantedGrant = { readonly projectId: ProjectId | null; readonly role: Role };

export type NewUser = {
  readonly name: string;
  /** Null: one is made, and shown in the answer only. */
  readonly password: Secret | null;
  readonly grants: readonly WantedGrant[];
};

/** By name. @throws forbidden */
export async function listUsers(parts: UserParts, asker: User): Promise<readonly UserWithGrants[]> {
  await requireDomainOwner(parts, asker);
  const { identity } = parts.catalog;
  const users = await identity.listUsers(asker.domainId);
  const grants = Map.groupBy(
    await identity.listDomainGrants(asker.domainId),
    ({ userId }) => userId,
  );
  return users.map((user) => ({ user, grants: grants.get(user.id) ?? [] }));
}

/** @throws forbidden, not-found */
export async function getUser(parts: UserParts, asker: User, id: string): Promise<UserWithGrants> {
  await requireSelfOrOwner(parts, asker, id);
  const user = await requireUser(parts.catalog, asker, id);
  return { user, grants: await parts.catalog.identity.listGrants(user.id) };
}

/** @throws forbidden; invalid for name or password; conflict when the name is taken */
export async function createUser(
  parts: UserParts,
  asker: User,
  wanted: NewUser,
): Promise<UserWithGrants & { readonly password: Secret | null }> {
  await requireDomainOwner(parts, asker);
  const { catalog, clock, random, log } = parts;
  assertLoginName(wanted.name);
  if (wanted.password) assertStrongPassword(wanted.password, wanted.name);
  const password = wanted.password ?? generatePassword(random);
  const user: User = {
    id: newUserId(idSource(random)),
    name: wanted.name,
    domainId: asker.domainId,
    domainName: asker.domainName,
    passwordHash: await hashPassword(password, random),
    createdAt: clock.now(),
  };
  const grants = wanted.grants.map((grant) => ({ ...grant, userId: user.id }));
  await catalog.transaction(async (tx) => {
    await insertUser(tx, user);
    for (const grant of grants) {
      await requireProject(tx, asker, grant.projectId);
      await tx.identity.setGrant(grant);
    }
  });
  log.info({ userId: user.id, by: asker.id }, 'user made');
  return { user, grants, password: wanted.password ? null : password };
}

/**
 * With access keys, tokens and grants.
 * @throws forbidden, not-found; conflict for the last owner
 */
export async function deleteUser(parts: UserParts, asker: User, id: string): Promise<void> {
  await requireDomainOwner(parts, asker);
  await parts.catalog.transaction(async (tx) => {
    // Grants before the user: whoever changes both keeps to that order.
    await assertOtherOwner(tx, asker, id);
    const user = await requireUser(tx, asker, id);
    await tx.identity.deleteUser(user.id);
  });
  parts.log.info({ userId: id, by: asker.id }, 'user removed');
}

/** @throws not-found, also for the user of another domain */
export async function requireUser(
  { identity }: Pick<CatalogSession, 'identity'>,
  asker: User,
  id: string,
): Promise<User> {
  const user = await identity.findUser(id as UserId);
  if (user && user.domainId === asker.domainId) return user;
  throw new CairnError('not-found', 'the user does not exist', { reason: 'user-unknown' });
}

/** Null is every project. @throws not-found, also for the project of another domain */
export async function requireProject(
  { identity }: Pick<CatalogSession, 'identity'>,
  asker: User,
  id: ProjectId | null,
): Promise<void> {
  const project = id && (await identity.findProject(id));
  if (id === null || project?.domainId === asker.domainId) return;
  throw new CairnError('not-found', 'the project does not exist', { reason: 'project-unknown' });
}

/**
 * In a transaction: nobody else changes a grant of the domain until its end.
 * @throws conflict when the user is the only one who owns every project
 */
export async function assertOtherOwner(
  tx: CatalogSession,
  asker: User,
  userId: string,
): Promise<void> {
  const grants = await tx.identity.listDomainGrants(asker.domainId);
  const owners = grants.filter(({ projectId, role }) => projectId === null && role === 'owner');
  if (owners.some((grant) => grant.userId !== userId)) return;
  if (!owners.some((grant) => grant.userId === userId)) return;
  throw new CairnError('conflict', 'the user is the last owner of every project', {
    reason: 'last-owner',
    hint: 'make another user the owner of every project first',
  });
}

function assertLoginName(name: string): void {
  if (isLoginName(name)) return;
  throw new CairnError('invalid', 'the user name is not valid', {
    hint: 'use 1 to 64 letters, digits and . _ @ -, a letter first',
  });
}

async function insertUser(tx: CatalogSession, user: User): Promise<void> {
  try {
    await tx.identity.insertUser(user);
  } catch (cause) {
    if (!isErrorKind(cause, 'conflict')) throw cause;
    throw new CairnError('conflict', `a user named ${user.name} exists already`, {
      reason: 'user-name-taken',
      cause,
    });
  }
}
