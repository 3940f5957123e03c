// Who is calling, and what they may do in a project. Checking a signature against the secret key is
// the HTTP door's business: it depends on the bytes of the request.
import { createHash } from 'node:crypto';
import type { Catalog, Token, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { parseProjectId } from '../../model/ids.ts';
import type { Role } from '../../model/permission.ts';
import type { Secret } from '../../model/secret.ts';
import type { Clock } from '../../platform/clock.ts';
import { roleFrom } from './roles.ts';

type IdentityParts = { readonly catalog: Pick<Catalog, 'identity'>; readonly clock: Clock };

/**
 * Access keys reach every project that the user has a role in; tokens only the one that they were
 * issued for.
 */
export type Caller =
  | { readonly kind: 'token'; readonly user: User; readonly token: Token }
  | { readonly kind: 'access-key'; readonly user: User };

export type Signer = { readonly user: User; readonly secretKey: Secret };

export type ProjectAccess = { readonly projectId: ProjectId; readonly role: Role };

export function hashToken(text: Secret): string {
  return createHash('sha256').update(text.reveal()).digest('hex');
}

/** @throws unauthenticated, without a word on whether the token ever existed */
export async function authenticateToken(
  parts: IdentityParts,
  text: Secret,
): Promise<Extract<Caller, { kind: 'token' }>> {
  const found = await findToken(parts, text);
  if (!found) throw new CairnError('unauthenticated', 'the token is unknown or has expired');
  return { kind: 'token', ...found };
}

/** Null when the token is unknown or has expired. */
export async function findToken(
  { catalog, clock }: IdentityParts,
  text: Secret,
): Promise<{ readonly user: User; readonly token: Token } | null> {
  const found = await catalog.identity.findToken(hashToken(text));
  return found && found.token.expiresAt.getTime() > clock.now().getTime() ? found : null;
}

/** Null when there is no such access key. */
export async function findSigner(
  { catalog }: Pick<IdentityParts, 'catalog'>,
  accessKey: string,
): Promise<Signer | null> {
  const key = await catalog.identity.findAccessKey(accessKey);
  const user = key && (await catalog.identity.findUser(key.userId));
  return key && user ? { user, secretKey: key.secretKey } : null;
}

/**
 * @throws forbidden when the caller may not use the project, or there is none: the answer is the
 * same
 */
export async function authorizeProject(
  parts: Pick<IdentityParts, 'catalog'>,
  caller: Caller,
  idText: string,
): Promise<ProjectAccess> {
  const id = parseProjectId(idText);
  const isOutside = caller.kind === 'token' && caller.token.projectId !== id;
  const { user } = caller;
  const found =
    id && !isOutside ? await parts.catalog.identity.findProjectGrants(id, user.id) : null;
  const isOwn = found?.project.domainId === user.domainId;
  const role = found && isOwn ? roleFrom(found.grants, found.project.id) : null;
  if (!found || !role) {
    throw new CairnError('forbidden', 'the project of the path is not the one of the login', {
      reason: 'project-mismatch',
    });
  }
  return { projectId: found.project.id, role };
}
