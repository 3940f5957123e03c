// Who is calling, and whether they may. A token (`X-Auth-Token`) or a signature (`Authorization`);
// 401 means only that the login is wrong: token clients then fetch a new token and repeat. A login
// for another project, or with a role that is too weak, is 403.
import type { FastifyRequest } from 'fastify';
import { assert } from '../model/assert.ts';
import { CairnError } from '../model/errors.ts';
import type { ProjectId } from '../model/ids.ts';
import type { Action } from '../model/permission.ts';
import { Secret } from '../model/secret.ts';
import type { Caller, ProjectAccess } from '../operations/identity/authenticate.ts';
import {
  authenticateToken,
  authorizeProject,
  findSigner,
} from '../operations/identity/authenticate.ts';
import { guardLogin, loginKey } from '../operations/identity/lock-out.ts';
import { assertAllowed } from '../operations/identity/roles.ts';
import type { ApiApp, ApiParts } from './api-parts.ts';
import type { SignedRequest } from './signature.ts';
import { isSignatureValid, parseAuthorization, signatureDate } from './signature.ts';

const skewMaxMs = 15 * 60 * 1000;
const callerKey = 'caller';
const projectKey = 'projectAccess';

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

/**
 * Every route of the scope needs a login for the project of its path (`:projectId`), with a role
 * that holds the action of the route. A route that names no action (`needs(…)`) cannot be added.
 */
export function requireProject(scope: ApiApp, parts: ApiParts): void {
  scope.addHook('onRoute', ({ method, url, config }) => {
    assert(config?.action, `${String(method)} ${url} does not say which action it needs`);
  });
  requireLogin(scope, parts);
  scope.addHook('preValidation', async (request) => {
    const { projectId } = request.params as { readonly projectId: string };
    const claimed = headerOf(request, 'x-project-id');
    if (claimed !== null && claimed !== '' && claimed !== projectId) {
      throw new CairnError('forbidden', 'the project of the path is not the one of X-Project-Id', {
        reason: 'project-mismatch',
      });
    }
    const access = await authorizeProject(parts, callerOf(request), projectId);
    const { action = 'login' } = request.routeOptions.config;
    if (action !== 'login') assertAllowed(access.role, action);
    request.setDecorator(projectKey, access);
  });
}

export function callerOf(request: FastifyRequest): Caller {
  return request.getDecorator<Caller>(callerKey);
}

export function projectOf(request: FastifyRequest): ProjectId {
  return request.getDecorator<ProjectAccess>(projectKey).projectId;
}

/** For what a route cannot know before it has read the request. @throws forbidden */
export function requireAction(request: FastifyRequest, action: Action): void {
  assertAllowed(request.getDecorator<ProjectAccess>(projectKey).role, action);
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
  // Made-up access keys are not counted: there are too many of them, and nothing to protect.
  if (!signer) throw wrongSignature();
  // Access keys are no secret. The lock is for the address that guesses, so that it cannot keep
  // the others out.
  const login = loginKey('access-key', authorization.accessKey, request.ip);
  const check = async () => isSignatureValid(signed, authorization, signer.secretKey) || null;
  await guardLogin(parts, login, { check, wrong: wrongSignature });
  return { kind: 'access-key', user: signer.user };
}

function wrongSignature(): CairnError {
  return new CairnError('unauthenticated', 'the access key or the signature is wrong');
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
