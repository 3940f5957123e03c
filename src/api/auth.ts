// Who is calling. A token (`X-Auth-Token`) or a signature (`Authorization`); 401 means only that
// the login is wrong: token clients then fetch a new token and repeat. A login for another project
// is 403.
import type { FastifyRequest } from 'fastify';
import { CairnError } from '../model/errors.ts';
import type { ProjectId } from '../model/ids.ts';
import { Secret } from '../model/secret.ts';
import type { Caller } from '../operations/identity/authenticate.ts';
import {
  authenticateToken,
  authorizeProject,
  findSigner,
} from '../operations/identity/authenticate.ts';
import type { ApiApp, ApiParts } from './api-parts.ts';
import type { SignedRequest } from './signature.ts';
import { isSignatureValid, parseAuthorization, signatureDate } from './signature.ts';

const skewMaxMs = 15 * 60 * 1000;
const callerKey = 'caller';
const projectKey = 'projectId';

/** Must run on the app itself, once, before the hooks below. */
export function decorateRequests(app: ApiApp): void {
  app.decorateRequest(callerKey, null);
  app.decorateRequest(projectKey, null);
}

/** Every route of the scope needs a login. The body must still be the raw bytes. */
export function requireLogin(scope: ApiApp, parts: ApiParts): void {
  scope.addHook('preValidation', async (request) => {
    request.setDecorator(callerKey, await authenticate(request, parts));
  });
}

/** Every route of the scope needs a login for the project of its path (`:projectId`). */
export function requireProject(scope: ApiApp, parts: ApiParts): void {
  requireLogin(scope, parts);
  scope.addHook('preValidation', async (request) => {
    const { projectId } = request.params as { readonly projectId: string };
    const claimed = headerOf(request, 'x-project-id');
    if (claimed !== null && claimed !== '' && claimed !== projectId) {
      throw new CairnError('forbidden', 'the project of the path is not the one of X-Project-Id', {
        reason: 'project-mismatch',
      });
    }
    const id = await authorizeProject(parts, callerOf(request), projectId);
    request.setDecorator(projectKey, id);
  });
}

export function callerOf(request: FastifyRequest): Caller {
  return request.getDecorator<Caller>(callerKey);
}

export function projectOf(request: FastifyRequest): ProjectId {
  return request.getDecorator<ProjectId>(projectKey);
}

async function authenticate(request: FastifyRequest, parts: ApiParts): Promise<Caller> {
  const token = headerOf(request, 'x-auth-token');
  if (token) return await authenticateToken(parts, new Secret(token));
  const authorization = headerOf(request, 'authorization');
  if (authorization) return await authenticateSignature(request, authorization, parts);
  throw new CairnError('unauthenticated', 'neither X-Auth-Token nor Authorization was sent');
}

async function authenticateSignature(
  request: FastifyRequest,
  header: string,
  parts: ApiParts,
): Promise<Caller> {
  const authorization = parseAuthorization(header);
  if (!authorization) {
    throw new CairnError('unauthenticated', 'the Authorization header is not understood', {
      hint: 'sign with SDK-HMAC-SHA256, or use X-Auth-Token',
    });
  }
  const signed = toSignedRequest(request);
  const signedAt = signatureDate(signed, authorization);
  if (!signedAt) throw new CairnError('unauthenticated', 'X-Sdk-Date is missing or not signed');
  if (Math.abs(parts.clock.now().getTime() - signedAt.getTime()) > skewMaxMs) {
    throw new CairnError('unauthenticated', 'X-Sdk-Date is more than 15 minutes off', {
      hint: 'set the clock of the client',
    });
  }
  const signer = await findSigner(parts, authorization.accessKey);
  if (!signer || !isSignatureValid(signed, authorization, signer.secretKey)) {
    throw new CairnError('unauthenticated', 'the access key or the signature is wrong');
  }
  return { kind: 'access-key', user: signer.user };
}

function toSignedRequest(request: FastifyRequest): SignedRequest {
  return {
    method: request.method,
    target: request.raw.url ?? '/',
    header: (name) => headerOf(request, name),
    body: request.body instanceof Uint8Array ? request.body : new Uint8Array(),
  };
}

function headerOf({ headers }: FastifyRequest, name: string): string | null {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? null);
}
