// Puts the HTTP door together. Groups of routes differ in who may call them; a route added to a
// group has its login checked, its body read and its errors answered without a line of its own.

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger } from 'fastify';
import { fastify, LogController } from 'fastify';
import type { ApiApp, ApiParts } from './api-parts.ts';
import { decorateRequests, requireLogin, requireProject } from './auth.ts';
import { answerFailures, answerMalformed } from './failures.ts';
import { collectOpenapi, showReference } from './openapi.ts';
import { limitRequests } from './rate-limit.ts';
import { acceptRawBodies, bodyBytesMax, readRequests } from './request-body.ts';
import { mapRoutes } from './route-map.ts';
import { registerAccessKeyRoutes } from './routes/access-keys.ts';
import { registerBackupChangeRoutes } from './routes/backup-changes.ts';
import { registerBackupDetailRoutes, registerBackupRoutes } from './routes/backups.ts';
import { registerBatchRestoreRoutes } from './routes/batch-restores.ts';
import { registerDatastoreRoutes } from './routes/datastores.ts';
import { registerDiscoveryRoutes } from './routes/discovery.ts';
import { registerBackupFileRoutes, registerDownloadRoute } from './routes/downloads.ts';
import { registerIdentityRoutes, registerTokenRoute } from './routes/identity.ts';
import { registerInstanceRoutes } from './routes/instances.ts';
import { registerJobDetailRoutes, registerJobRoutes } from './routes/jobs.ts';
import { registerLogIntervalRoutes } from './routes/log-archive.ts';
import { registerLogicalRoutes } from './routes/logical.ts';
import { registerMaintenanceRoutes } from './routes/maintenance.ts';
import { registerOffsiteInstanceRoute, registerOffsiteRoutes } from './routes/offsite.ts';
import { registerPastContentsRoutes } from './routes/past-contents.ts';
import { registerPolicyRoutes } from './routes/policies.ts';
import { registerProjectRoutes } from './routes/projects.ts';
import { registerNewerRecoveryRoutes, registerRecoveryRoutes } from './routes/recovery.ts';
import { registerRegionRoutes } from './routes/regions.ts';
import { registerRegisteredInstanceRoutes } from './routes/registered-instances.ts';
import { registerRestoreRoutes } from './routes/restores.ts';
import {
  registerOldTableRestoreRoute,
  registerTableRestoreRoute,
} from './routes/table-restores.ts';
import { registerTagRoutes } from './routes/tags.ts';
import { registerTaskListRoutes } from './routes/task-list.ts';
import { registerUserRoutes } from './routes/users.ts';
import { reasonKeyword } from './schema/define.ts';
import { namedSchemas } from './schema/named-schemas.ts';

const secondMs = 1000;

/** Not listening yet. `close()` waits for the requests that are being answered. */
export function createApiServer(parts: ApiParts): ApiApp {
  const app = openApp(parts);
  decorateRequests(app);
  acceptRawBodies(app);
  answerFailures(app, parts, mapRoutes(app));
  limitRequests(app, parts.rateLimits);
  for (const schema of namedSchemas) app.addSchema(schema);
  collectOpenapi(app);
  showReference(app);
  app.register(async (scope) => {
    readRequests(scope);
    registerDiscoveryRoutes(scope, parts);
    registerTokenRoute(scope, parts);
    registerDownloadRoute(scope, parts);
  });
  app.register(async (scope) => {
    requireLogin(scope, parts);
    readRequests(scope);
    registerIdentityRoutes(scope, parts);
    registerRegionRoutes(scope, parts);
    registerOffsiteInstanceRoute(scope, parts);
  });
  app.register(
    async (scope) => {
      requireLogin(scope, parts);
      readRequests(scope);
      registerUserRoutes(scope, parts);
      registerAccessKeyRoutes(scope, parts);
      registerProjectRoutes(scope, parts);
    },
    { prefix: '/cairn/v1' },
  );
  app.register(
    async (scope) => {
      requireProject(scope, parts);
      readRequests(scope);
      registerBackupRoutes(scope, parts);
      registerBackupFileRoutes(scope, parts);
      registerBackupChangeRoutes(scope, parts);
      registerPolicyRoutes(scope, parts);
      registerLogIntervalRoutes(scope, parts);
      registerOffsiteRoutes(scope, parts);
      registerInstanceRoutes(scope, parts);
      registerRestoreRoutes(scope, parts);
      registerRecoveryRoutes(scope, parts);
      registerBatchRestoreRoutes(scope, parts);
      registerPastContentsRoutes(scope, parts);
      registerOldTableRestoreRoute(scope, parts);
      registerTaskListRoutes(scope, parts);
      registerTagRoutes(scope, parts);
      registerDatastoreRoutes(scope, parts);
      registerJobRoutes(scope, parts);
    },
    { prefix: '/v3/:projectId' },
  );
  app.register(
    async (scope) => {
      requireProject(scope, parts);
      readRequests(scope);
      registerNewerRecoveryRoutes(scope, parts);
      registerTableRestoreRoute(scope, parts);
    },
    { prefix: '/v3.1/:projectId' },
  );
  app.register(
    async (scope) => {
      requireProject(scope, parts);
      readRequests(scope);
      registerRegisteredInstanceRoutes(scope, parts);
      registerBackupDetailRoutes(scope, parts);
      registerJobDetailRoutes(scope, parts);
      registerMaintenanceRoutes(scope, parts);
      registerLogicalRoutes(scope, parts);
    },
    { prefix: '/cairn/v1/:projectId' },
  );
  return app;
}

function openApp(parts: ApiParts): ApiApp {
  const log: FastifyBaseLogger = parts.log;
  return fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => parts.random.hex(16),
    requestIdHeader: false,
    bodyLimit: bodyBytesMax,
    connectionTimeout: 120 * secondMs,
    requestTimeout: 30 * secondMs,
    keepAliveTimeout: 75 * secondMs,
    handlerTimeout: 60 * secondMs,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: false,
    routerOptions: {
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
      caseSensitive: true,
      maxParamLength: 256,
    },
    ajv: {
      customOptions: {
        // Unknown fields are let through and never read; nothing is converted behind the client's
        // back.
        removeAdditional: false,
        coerceTypes: false,
        useDefaults: true,
        allErrors: false,
        // The error handler reads the reason from the schema that a value failed.
        verbose: true,
        keywords: [reasonKeyword],
      },
    },
    ...answerMalformed(parts),
  }).withTypeProvider<TypeBoxTypeProvider>();
}
