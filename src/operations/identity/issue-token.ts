import type { Project, Token, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { UserId } from '../../model/ids.ts';
import { parseProjectId } from '../../model/ids.ts';
import type { Role } from '../../model/permission.ts';
import { Secret } from '../../model/secret.ts';
import type { RequestParts } from '../parts.ts';
import { authenticateToken, findToken, hashToken } from './authenticate.ts';
import { domainNameSetting } from './bootstrap-identity.ts';
import { guardLogin, loginKey } from './lock-out.ts';
import { checkNobody, isPassword } from './passwords.ts';
import { findRole } from './roles.ts';

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

/** No domain named: the user's own. */
export type TokenScope = (
  | { readonly kind: 'domain' }
  | { readonly kind: 'project-id'; readonly id: string }
  | { readonly kind: 'project-name'; readonly name: string }
) & { readonly domain?: DomainReference | null };

export type IssuedToken = {
  readonly text: Secret;
  readonly token: Token;
  readonly user: User;
  readonly project: Project | null;
  /** In the project, else in the domain; null: none, any more or at all. */
  readonly role: Role | null;
};

type IdentityParts = Pick<RequestParts, 'catalog' | 'clock' | 'random'>;

/**
 * @throws unauthenticated, the same for an unknown user and a wrong password, and when the login is
 * locked; conflict when too many log in at once; forbidden for the scope
 */
export async function issueToken(
  parts: IdentityParts,
  credentials: Credentials,
  scope: TokenScope,
): Promise<IssuedToken> {
  const now = parts.clock.now();
  const { user, expiresAt } = await login(parts, credentials, now);
  const { project, role } = await findScope(parts, user, scope);
  const text = new Secret(parts.random.bytes(48).toString('base64url'));
  const token: Token = {
    hash: hashToken(text),
    userId: user.id,
    projectId: project?.id ?? null,
    issuedAt: now,
    expiresAt,
  };
  await parts.catalog.identity.deleteExpiredTokens(now);
  await parts.catalog.transaction(async (tx) => {
    // Who changed the password meanwhile, or revoked the token, has ended this login too.
    const current = await tx.identity.findUser(user.id);
    if (current?.passwordHash !== user.passwordHash) throw wrongLogin();
    if (credentials.kind === 'token') {
      await authenticateToken({ catalog: tx, clock: parts.clock }, credentials.token);
    }
    await tx.identity.insertToken(token);
  });
  return { text, token, user, project, role };
}

/** What a token says. @throws not-found; forbidden when it is another user's */
export async function describeToken(
  parts: Pick<RequestParts, 'catalog' | 'clock'>,
  asker: User,
  text: Secret,
): Promise<IssuedToken> {
  const { user, token } = await findOwnToken(parts, asker, text);
  const { projectId } = token;
  const project = projectId && (await parts.catalog.identity.findProject(projectId));
  const role = await findRole(parts, user, project);
  return { text, token, user, project, role };
}

/** From now on it opens nothing. @throws not-found; forbidden when it is another user's */
export async function revokeToken(
  parts: Pick<RequestParts, 'catalog' | 'clock'>,
  asker: User,
  text: Secret,
): Promise<void> {
  const { token } = await findOwnToken(parts, asker, text);
  await parts.catalog.identity.deleteToken(token.hash);
}

async function findOwnToken(
  parts: Pick<RequestParts, 'catalog' | 'clock'>,
  asker: User,
  text: Secret,
): Promise<{ readonly user: User; readonly token: Token }> {
  const found = await findToken(parts, text);
  if (!found) {
    throw new CairnError('not-found', 'the token is unknown or has expired', {
      reason: 'token-unknown',
    });
  }
  if (found.user.id !== asker.id) {
    throw new CairnError('forbidden', 'the token is another user’s');
  }
  return found;
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
  const user = await checkPassword(parts, credentials);
  return { user, expiresAt: new Date(now.getTime() + tokenLifeMs) };
}

async function checkPassword(
  parts: IdentityParts,
  credentials: Extract<Credentials, { kind: 'password' }>,
): Promise<User> {
  const { user: wanted, password } = credentials;
  const user = await findUser(parts, wanted);
  const check = async (): Promise<User | null> => {
    if (!user) return (await checkNobody(password)) || null;
    return (await isPassword(password, user.passwordHash)) ? user : null;
  };
  // By id or by name, it is one login; who is not there is locked like everybody else.
  const login = user ? userLogin(user.id) : await nobodysLogin(parts, wanted);
  return await guardLogin(parts, login, { check, wrong: wrongLogin });
}

export function userLogin(id: UserId): string {
  return loginKey('user', id);
}

/** However the domain is spelt, it is one login: else the count would tell who is not there. */
async function nobodysLogin({ catalog }: IdentityParts, wanted: UserReference): Promise<string> {
  if (wanted.kind === 'id') return loginKey('user', 'id', wanted.id);
  const { domain, name } = wanted;
  const own = await catalog.settings.find(domainNameSetting);
  // A domain by its id stands for the only one that there is.
  return loginKey('user', 'name', name, (domain?.kind === 'name' ? domain.name : own) ?? '');
}

function wrongLogin(): CairnError {
  return new CairnError('unauthenticated', 'the user name or password is wrong');
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
  parts: IdentityParts,
  user: User,
  scope: TokenScope,
): Promise<{ readonly project: Project | null; readonly role: Role | null }> {
  const { domain } = scope;
  const own = domain?.kind === 'id' ? user.domainId : user.domainName;
  if (domain && (domain.kind === 'id' ? domain.id : domain.name) !== own) throw scopeError();
  if (scope.kind === 'domain') return { project: null, role: await findRole(parts, user, null) };
  const id = scope.kind === 'project-id' ? parseProjectId(scope.id) : null;
  const project =
    scope.kind === 'project-name'
      ? await parts.catalog.identity.findProjectByName(scope.name)
      : id && (await parts.catalog.identity.findProject(id));
  const role = project && (await findRole(parts, user, project));
  if (project && role) return { project, role };
  throw scopeError();
}

function scopeError(): CairnError {
  return new CairnError('forbidden', 'the project or domain of the scope is none of this user’s', {
    reason: 'project-mismatch',
  });
}
