import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import { listOwnProjects } from '../../operations/identity/authenticate.ts';
import type { IssuedToken } from '../../operations/identity/issue-token.ts';
import { describeToken, homeProject, issueToken } from '../../operations/identity/issue-token.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { baseUrlOf } from '../api-parts.ts';
import { callerOf } from '../auth.ts';
import {
  presentCatalog,
  presentDomains,
  presentProjects,
  presentToken,
} from '../present/identity.ts';
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
export const tokenPath = '/v3/auth/tokens';
const subjectHeader = 'x-subject-token';

/** The one call without a login: it makes one. */
export function registerTokenRoute(app: ApiApp, parts: ApiParts): void {
  app.post(
    tokenPath,
    {
      schema: {
        operationId: 'createToken',
        description: 'The token comes in the header X-Subject-Token.',
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
  addCatalog(app, parts);
  addProjects(app, parts);
}

function addTokenReading(app: ApiApp, parts: ApiParts): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: tokenPath,
    schema: {
      operationId: 'validateToken',
      description: 'About the token in the header X-Subject-Token, or the caller’s own.',
      tags,
      response: { 200: refTo(TokenResponseSchema), ...errorAnswers },
    },
    handler: async (request, reply) => {
      const subject = request.headers[subjectHeader] ?? request.headers['x-auth-token'];
      if (typeof subject !== 'string' || subject === '') {
        throw new CairnError('invalid', 'the header X-Subject-Token is missing');
      }
      const issued = await describeToken(parts, new Secret(subject));
      if (issued.user.id !== callerOf(request).user.id) {
        throw new CairnError('forbidden', 'the token is another user’s');
      }
      reply.header('X-Subject-Token', subject);
      const catalog = wantsCatalog(request) ? catalogOf(issued, request, parts) : null;
      return presentToken(issued, { method: 'token', catalog });
    },
  });
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
      const project = await homeProject(parts, callerOf(request));
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
      const projects = await listOwnProjects(parts, callerOf(request));
      const found = projects.filter((project) => name === undefined || project.name === name);
      return presentProjects(found, baseUrlOf(request, parts));
    },
  );
  app.get(
    '/v3/auth/projects',
    { schema: { ...schema, operationId: 'listAuthProjects' } },
    async (request) => {
      const projects = await listOwnProjects(parts, callerOf(request));
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
