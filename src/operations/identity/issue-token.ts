import type { Project, Token, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { UserId } from '../../model/ids.ts';
import { parseProjectId } from '../../model/ids.ts';
import { Secret } from '../../model/secret.ts';
import type { RequestParts } from '../parts.ts';
import type { Caller } from './authenticate.ts';
import { authenticateToken, hashToken } from './authenticate.ts';
import { domainNameSetting } from './bootstrap-identity.ts';
import { checkNobody, isPassword } from './passwords.ts';

export const tokenLifeMs = 24 * 60 * 60 * 1000;

/** A user by id, or by name within a domain; no domain named: the only one there is. */
export type UserReference =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'name'; readonly name: string; readonly domain: DomainReference | null };
export type DomainReference =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'name'; readonly name: string };

export type Credentials =
  | { readonly kind: 'password'; readonly user: UserReference; readonly password: Secret }
  /** A token for another scope; it ends when the first one does. */
  | { readonly kind: 'token'; readonly token: Secret };

export type TokenScope =
  | { readonly kind: 'domain' }
  | { readonly kind: 'project-id'; readonly id: string }
  | { readonly kind: 'project-name'; readonly name: string };

export type IssuedToken = {
  readonly text: Secret;
  readonly token: Token;
  readonly user: User;
  readonly project: Project | null;
};

type IdentityParts = Pick<RequestParts, 'catalog' | 'clock' | 'random'>;

/**
 * @throws unauthenticated, the same for an unknown user and a wrong password; forbidden for the
 * scope
 */
export async function issueToken(
  parts: IdentityParts,
  credentials: Credentials,
  scope: TokenScope,
): Promise<IssuedToken> {
  const now = parts.clock.now();
  const { user, expiresAt } = await login(parts, credentials, now);
  const project = await findScope(parts, user, scope);
  const text = new Secret(parts.random.bytes(48).toString('base64url'));
  const token: Token = {
    hash: hashToken(text),
    userId: user.id,
    projectId: project?.id ?? null,
    issuedAt: now,
    expiresAt,
  };
  await parts.catalog.transaction(async (tx) => {
    await tx.identity.deleteExpiredTokens(now);
    await tx.identity.insertToken(token);
  });
  return { text, token, user, project };
}

/** What a token says, for a caller who asks about one. @throws unauthenticated */
export async function describeToken(
  parts: Pick<RequestParts, 'catalog' | 'clock'>,
  text: Secret,
): Promise<IssuedToken> {
  const { user, token } = await authenticateToken(parts, text);
  const { projectId } = token;
  const project = projectId && (await parts.catalog.identity.findProject(projectId));
  return { text, token, user, project };
}

/** The project that a caller's answers are about: the token's, else the first of the domain. */
export async function homeProject(
  parts: Pick<RequestParts, 'catalog'>,
  caller: Caller,
): Promise<Project | null> {
  if (caller.kind === 'token' && caller.token.projectId) {
    return await parts.catalog.identity.findProject(caller.token.projectId);
  }
  const projects = await parts.catalog.identity.listProjects();
  return projects.find((project) => project.domainId === caller.user.domainId) ?? null;
}

async function login(
  parts: IdentityParts,
  credentials: Credentials,
  now: Date,
): Promise<{ readonly user: User; readonly expiresAt: Date }> {
  if (credentials.kind === 'token') {
    const { user, token } = await authenticateToken(parts, credentials.token);
    return { user, expiresAt: token.expiresAt };
  }
  const user = await findUser(parts, credentials.user);
  const right = user
    ? await isPassword(credentials.password, user.passwordHash)
    : await checkNobody(credentials.password);
  if (!user || !right) {
    throw new CairnError('unauthenticated', 'the user name or password is wrong');
  }
  return { user, expiresAt: new Date(now.getTime() + tokenLifeMs) };
}

async function findUser({ catalog }: IdentityParts, wanted: UserReference): Promise<User | null> {
  if (wanted.kind === 'id') return await catalog.identity.findUser(wanted.id as UserId);
  const { domain } = wanted;
  const own = await catalog.settings.find(domainNameSetting);
  const domainName = domain?.kind === 'name' ? domain.name : own;
  if (domainName === null) return null;
  const user = await catalog.identity.findUserByName(domainName, wanted.name);
  return domain?.kind === 'id' && user?.domainId !== domain.id ? null : user;
}

async function findScope(
  { catalog }: IdentityParts,
  user: User,
  scope: TokenScope,
): Promise<Project | null> {
  if (scope.kind === 'domain') return null;
  const id = scope.kind === 'project-id' ? parseProjectId(scope.id) : null;
  const project =
    scope.kind === 'project-name'
      ? await catalog.identity.findProjectByName(scope.name)
      : id && (await catalog.identity.findProject(id));
  if (project && project.domainId === user.domainId) return project;
  throw new CairnError('forbidden', 'the project of the scope does not exist for this user', {
    reason: 'project-mismatch',
  });
}
