// Who is calling, and which project they may use. Checking a signature against the secret key is
// the HTTP door's business: it depends on the bytes of the request.
import { createHash } from 'node:crypto';
import type { Catalog, Project, Token, User } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { parseProjectId } from '../../model/ids.ts';
import type { Secret } from '../../model/secret.ts';
import type { Clock } from '../../platform/clock.ts';

type IdentityParts = { readonly catalog: Catalog; readonly clock: Clock };

/**
 * Access keys reach every project of the user's domain; tokens only the one that they were issued
 * for.
 */
export type Caller =
  | { readonly kind: 'token'; readonly user: User; readonly token: Token }
  | { readonly kind: 'access-key'; readonly user: User };

export type Signer = { readonly user: User; readonly secretKey: Secret };

export function hashToken(text: Secret): string {
  return createHash('sha256').update(text.reveal()).digest('hex');
}

/** @throws unauthenticated, without a word on whether the token ever existed */
export async function authenticateToken(
  { catalog, clock }: IdentityParts,
  text: Secret,
): Promise<Extract<Caller, { kind: 'token' }>> {
  const token = await catalog.identity.findToken(hashToken(text));
  if (!token || token.expiresAt.getTime() <= clock.now().getTime()) throw tokenError();
  const user = await catalog.identity.findUser(token.userId);
  if (!user) throw tokenError();
  return { kind: 'token', user, token };
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
  { catalog }: Pick<IdentityParts, 'catalog'>,
  caller: Caller,
  idText: string,
): Promise<ProjectId> {
  const id = parseProjectId(idText);
  const project = id && (await catalog.identity.findProject(id));
  const allowed =
    project &&
    project.domainId === caller.user.domainId &&
    (caller.kind === 'access-key' || caller.token.projectId === project.id);
  if (!allowed) {
    throw new CairnError('forbidden', 'the project of the path is not the one of the login', {
      reason: 'project-mismatch',
    });
  }
  return project.id;
}

/** The projects that the caller may ask a token for. */
export async function listOwnProjects(
  { catalog }: Pick<IdentityParts, 'catalog'>,
  { user }: Caller,
): Promise<readonly Project[]> {
  const projects = await catalog.identity.listProjects();
  return projects.filter((project) => project.domainId === user.domainId);
}

function tokenError(): CairnError {
  return new CairnError('unauthenticated', 'the token is unknown or has expired');
}
