import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { defaultDatabases, defaultPorts, defaultTlsModes } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { HostAddress } from '../../model/instance.ts';
import { Secret } from '../../model/secret.ts';
import { checkInstance, checkServer } from '../../operations/instances/check-connection.ts';
import { getInstance } from '../../operations/instances/get-instance.ts';
import { lookAtHosts } from '../../operations/instances/look-at-hosts.ts';
import { registerInstance } from '../../operations/instances/register-instance.ts';
import type { ServerAddress } from '../../operations/instances/server-address.ts';
import { updateConnection } from '../../operations/instances/update-connection.ts';
import { findArchiveStatus } from '../../operations/log-archive/archive-status.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { answerError, readLanguage } from '../errors.ts';
import { needs } from '../permission.ts';
import { presentCheck, presentFindings } from '../present/connection-check.ts';
import { presentHostState, presentRegisteredInstance } from '../present/instance.ts';
import { presentLogArchive } from '../present/log-archive.ts';
import { refTo } from '../schema/define.ts';
import { RefusalSchema } from '../schema/error.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { ShownInstanceSchema } from '../schema/log-archive.ts';
import { readPage } from '../schema/paging.ts';
import type { ServerAddressWire } from '../schema/registered-instance.ts';
import {
  ConnectionCheckSchema,
  ListRegisteredQuerySchema,
  RegisteredInstanceListSchema,
  RegisterInstanceRequestSchema,
  RegisterInstanceResponseSchema,
  ServerAddressSchema,
} from '../schema/registered-instance.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['cairn'];
const PathSchema = Type.Object({ projectId: Type.String() });
const InstancePathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });

/** `/cairn/v1/{project}/instances…` */
export function registerRegisteredInstanceRoutes(app: ApiApp, parts: ApiParts): void {
  addRegistration(app, parts);
  addUpdate(app, parts);
  addReading(app, parts);
  addChecks(app, parts);
}

function addRegistration(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances',
    {
      config: needs('cairn:instance:register'),
      schema: {
        operationId: 'registerInstance',
        description: 'Tests the connection first; a server that cannot be backed up is refused.',
        tags,
        params: PathSchema,
        body: refTo(RegisterInstanceRequestSchema),
        response: {
          201: refTo(RegisterInstanceResponseSchema),
          422: refTo(RefusalSchema),
          ...errorAnswers,
        },
      },
    },
    async (request, reply) => {
      const result = await registerInstance(parts, {
        projectId: projectOf(request),
        name: request.body.name,
        address: readAddress(request.body),
        pool: request.body.pool ?? null,
      });
      const findings = presentFindings(result.findings);
      if (result.outcome === 'refused') {
        const { body } = answerError(result.error, contextOf(request));
        return await reply.code(422).send({ ...body, findings });
      }
      const instance = presentRegisteredInstance(result.instance);
      return await reply.code(201).send({ instance, findings });
    },
  );
}

function addUpdate(app: ApiApp, parts: ApiParts): void {
  app.put(
    '/instances/:instanceId',
    {
      config: needs('cairn:instance:register'),
      schema: {
        operationId: 'updateInstanceConnection',
        description:
          'Another address or password for the same server, tested first as a registration is. ' +
          'Refused while a job uses the connection.',
        tags,
        params: InstancePathSchema,
        body: refTo(ServerAddressSchema),
        response: {
          200: refTo(RegisterInstanceResponseSchema),
          422: refTo(RefusalSchema),
          ...errorAnswers,
        },
      },
    },
    async (request, reply) => {
      const result = await updateConnection(parts, projectOf(request), {
        instanceId: requireInstanceId(request.params.instanceId),
        address: readAddress(request.body),
      });
      const findings = presentFindings(result.findings);
      if (result.outcome === 'refused') {
        const { body } = answerError(result.error, contextOf(request));
        return await reply.code(422).send({ ...body, findings });
      }
      return { instance: presentRegisteredInstance(result.instance), findings };
    },
  );
}

function addReading(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/instances',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listRegisteredInstances',
        tags,
        params: PathSchema,
        querystring: ListRegisteredQuerySchema,
        response: { 200: refTo(RegisteredInstanceListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.query;
      const filter = { projectId: projectOf(request), ...(name === undefined ? {} : { name }) };
      const page = await parts.catalog.instances.list(filter, readPage(request.query));
      return { instances: page.items.map(presentRegisteredInstance), total_count: page.total };
    },
  );
  app.get(
    '/instances/:instanceId',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'showRegisteredInstance',
        tags,
        params: InstancePathSchema,
        response: { 200: refTo(ShownInstanceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      const instance = await getInstance(parts.catalog, projectOf(request), id);
      const hosts = await lookAtHosts(parts.engines, instance);
      const archive = await findArchiveStatus(parts.catalog, id);
      return {
        instance: presentRegisteredInstance(instance),
        hosts: hosts && hosts.map(presentHostState),
        log_archive: archive && presentLogArchive(archive, parts.clock.now()),
      };
    },
  );
}

function addChecks(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/check',
    {
      config: needs('cairn:instance:register'),
      schema: {
        operationId: 'checkServer',
        description: 'Tests a connection without registering anything.',
        tags,
        params: PathSchema,
        body: refTo(ServerAddressSchema),
        response: { 200: refTo(ConnectionCheckSchema), ...errorAnswers },
      },
    },
    async (request) => presentCheck(await checkServer(parts, readAddress(request.body))),
  );
  app.post(
    '/instances/:instanceId/check',
    {
      config: needs('cairn:instance:check'),
      schema: {
        operationId: 'checkInstance',
        tags,
        params: InstancePathSchema,
        response: { 200: refTo(ConnectionCheckSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      return presentCheck(await checkInstance(parts, projectOf(request), id));
    },
  );
}

function readAddress(body: ServerAddressWire): ServerAddress {
  const standbysOn = (defaultPort: number): HostAddress[] =>
    (body.standbys ?? []).map(({ host, port }) => ({ host, port: port ?? defaultPort }));
  if (body.url !== undefined) {
    return { kind: 'url', url: body.url, standbys: standbysOn(defaultPorts.postgresql) };
  }
  const { engine, host, user } = body;
  if (engine === undefined || host === undefined || user === undefined) {
    throw new CairnError('invalid', 'either url, or engine, host and user must be given');
  }
  const password = body.password ?? null;
  return {
    kind: 'connection',
    engine,
    connection: {
      host,
      port: body.port ?? defaultPorts[engine],
      standbys: standbysOn(defaultPorts[engine]),
      database: body.database ?? defaultDatabases[engine],
      user,
      password: password === null ? null : new Secret(password),
      tls: body.sslmode ?? defaultTlsModes[engine],
      tlsCaPem: body.ca ?? null,
      ...(body.options ? { options: body.options } : {}),
    },
  };
}

function contextOf(request: FastifyRequest) {
  return { language: readLanguage(request.headers['x-language']), requestId: request.id };
}
