import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import type { IssuedToken } from '../../operations/identity/issue-token.ts';
import { describeToken, issueToken, revokeToken } from '../../operations/identity/issue-token.ts';
import { listOwnProjects } from '../../operations/identity/roles.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { baseUrlOf } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import {
  presentCatalog,
  presentDomains,
  presentProjects,
  presentToken,
} from '../present/identity.ts';
import { limitLogins } from '../rate-limit.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { ServiceCatalog } from '../schema/identity.ts';
import {
  CatalogResponseSchema,
  CreateTokenRequestSchema,
  DomainListSchema,
  ProjectListSchema,
  TokenResponseSchema,
} from '../schema/identity.ts';
import { readCredentials, readScope } from './token-request.ts';

const tags = ['identity'];
const tokenPath = '/v3/auth/tokens';
const subjectHeader = 'x-subject-token';

/** The one call without a login: it makes one. */
export function registerTokenRoute(app: ApiApp, parts: ApiParts): void {
  app.post(
    tokenPath,
    {
      config: limitLogins(parts.rateLimits),
      schema: {
        operationId: 'createToken',
        description:
          'The token comes in the header X-Subject-Token and lives for 24 hours. Five wrong ' +
          'passwords in a row lock the login for 15 minutes: 401. Too many calls: 429.',
        tags,
        security: [],
        body: refTo(CreateTokenRequestSchema),
        response: { 201: refTo(TokenResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { identity, scope } = request.body.auth;
      const credentials = readCredentials(identity);
      const issued = await issueToken(parts, credentials, readScope(scope));
      const catalog = wantsCatalog(request) ? catalogOf(issued, request, parts) : null;
      reply.header('X-Subject-Token', issued.text.reveal());
      return await reply
        .code(201)
        .send(presentToken(issued, { method: credentials.kind, catalog }));
    },
  );
}

/** What token clients ask next to their token call. */
export function registerIdentityRoutes(app: ApiApp, parts: ApiParts): void {
  addTokenReading(app, parts);
  addTokenRevoking(app, parts);
  addCatalog(app, parts);
  addProjects(app, parts);
}

function addTokenReading(app: ApiApp, parts: ApiParts): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: tokenPath,
    schema: {
      operationId: 'validateToken',
      description:
        'About the token in the header X-Subject-Token, or the caller’s own. 404 when it is ' +
        'unknown or has expired, 403 when it is another user’s.',
      tags,
      response: { 200: refTo(TokenResponseSchema), ...errorAnswers },
    },
    handler: async (request, reply) => {
      const subject = readSubject(request) ?? readText(request.headers['x-auth-token']);
      if (subject === null) throw noSubject();
      const { user } = callerOf(request);
      const issued = await describeToken(parts, user, new Secret(subject));
      reply.header('X-Subject-Token', subject);
      const catalog = wantsCatalog(request) ? catalogOf(issued, request, parts) : null;
      return presentToken(issued, { method: 'token', catalog });
    },
  });
}

function addTokenRevoking(app: ApiApp, parts: ApiParts): void {
  app.delete(
    tokenPath,
    {
      schema: {
        operationId: 'revokeToken',
        description:
          'Ends the token in the header X-Subject-Token. 404 when it is unknown or has expired.',
        tags,
        response: { 204: Type.Null({ description: 'no body' }), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const subject = readSubject(request);
      if (subject === null) throw noSubject();
      await revokeToken(parts, callerOf(request).user, new Secret(subject));
      return await reply.code(204).send(null);
    },
  );
}

function readSubject(request: FastifyRequest): string | null {
  return readText(request.headers[subjectHeader]);
}

function readText(header: string | string[] | undefined): string | null {
  return typeof header === 'string' && header !== '' ? header : null;
}

function noSubject(): CairnError {
  return new CairnError('invalid', 'the header X-Subject-Token is missing');
}

function addCatalog(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/v3/auth/catalog',
    {
      schema: {
        operationId: 'showCatalog',
        tags,
        response: { 200: refTo(CatalogResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const projects = await listOwnProjects(parts, caller.user);
      const own = caller.kind === 'token' ? caller.token.projectId : null;
      // A login for the domain asks about the first of its projects.
      const project = projects.find(({ id }) => own === null || id === own);
      return { catalog: project ? presentCatalog(project, baseUrlOf(request, parts)) : [] };
    },
  );
}

function addProjects(app: ApiApp, parts: ApiParts): void {
  const schema = { tags, response: { 200: refTo(ProjectListSchema), ...errorAnswers } };
  app.get(
    '/v3/projects',
    {
      schema: {
        ...schema,
        operationId: 'listProjects',
        querystring: Type.Object({ name: Type.Optional(Type.String()) }),
      },
    },
    async (request) => {
      const { name } = request.query;
      const projects = await listOwnProjects(parts, callerOf(request).user);
      const found = projects.filter((project) => name === undefined || project.name === name);
      return presentProjects(found, baseUrlOf(request, parts));
    },
  );
  app.get(
    '/v3/auth/projects',
    { schema: { ...schema, operationId: 'listAuthProjects' } },
    async (request) => {
      const projects = await listOwnProjects(parts, callerOf(request).user);
      return presentProjects(projects, baseUrlOf(request, parts));
    },
  );
  app.get(
    '/v3/auth/domains',
    {
      schema: {
        operationId: 'listAuthDomains',
        tags,
        response: { 200: refTo(DomainListSchema), ...errorAnswers },
      },
    },
    async (request) => presentDomains(callerOf(request).user, baseUrlOf(request, parts)),
  );
}

function catalogOf(
  { project }: IssuedToken,
  request: FastifyRequest,
  parts: ApiParts,
): ServiceCatalog {
  return project ? presentCatalog(project, baseUrlOf(request, parts)) : [];
}

/** `?nocatalog`, with or without a value. */
function wantsCatalog(request: FastifyRequest): boolean {
  return !Object.hasOwn(request.query as object, 'nocatalog');
}
