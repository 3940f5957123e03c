// What clients ask before they have a login: which versions there are, and whether the server is
// well.
import type { FastifyRequest } from 'fastify';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { baseUrlOf } from '../api-parts.ts';
import { unlimited } from '../rate-limit.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { VersionWire } from '../schema/version.ts';
import {
  HealthSchema,
  RdsVersionResponseSchema,
  VersionListSchema,
  VersionResponseSchema,
} from '../schema/version.ts';

const tags = ['discovery'];
const security: [] = [];
const mediaType = {
  base: 'application/json',
  type: 'application/vnd.openstack.identity-v3+json',
};

export function registerDiscoveryRoutes(app: ApiApp, parts: ApiParts): void {
  const listSchema = {
    tags,
    security,
    response: { 200: refTo(VersionListSchema), ...errorAnswers },
  };
  const listVersions = async (request: FastifyRequest) => ({ versions: [describe(request)] });
  const describe = (request: FastifyRequest): VersionWire => ({
    id: 'v3',
    status: 'CURRENT',
    updated: '2019-01-15T12:00:00Z',
    links: [{ rel: 'self', href: `${baseUrlOf(request, parts)}/v3/` }],
  });
  app.get('/', { schema: { ...listSchema, operationId: 'listVersions' } }, listVersions);
  app.get('/rds', { schema: { ...listSchema, operationId: 'listRdsVersions' } }, listVersions);
  app.get(
    '/v3',
    {
      schema: {
        operationId: 'showVersion',
        tags,
        security,
        response: { 200: refTo(VersionResponseSchema), ...errorAnswers },
      },
    },
    async (request) => ({ version: { ...describe(request), 'media-types': [mediaType] } }),
  );
  app.get(
    '/rds/v3',
    {
      schema: {
        operationId: 'showRdsVersion',
        tags,
        security,
        response: { 200: refTo(RdsVersionResponseSchema), ...errorAnswers },
      },
    },
    async (request) => ({ version: describe(request), versions: describe(request) }),
  );
  app.get(
    '/healthz',
    {
      config: unlimited,
      schema: {
        operationId: 'showHealth',
        description: 'Answers 200 when the catalog answers.',
        tags,
        security,
        response: { 200: refTo(HealthSchema), ...errorAnswers },
      },
    },
    async () => {
      await parts.catalog.ping();
      return { status: 'ok' };
    },
  );
  app.get('/openapi.json', { config: unlimited, schema: { hide: true } }, async () =>
    app.swagger(),
  );
}
