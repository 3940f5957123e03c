import { Type } from 'typebox';
import type { Engine } from '../../model/engine-kind.ts';
import { findEngine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RestoreRequest } from '../../operations/restore/request-restore.ts';
import { requestRestore } from '../../operations/restore/request-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentRestore } from '../present/restore.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { RestoreRequestWire } from '../schema/restore.ts';
import {
  ClientTokenHeaderSchema,
  RestoreRequestSchema,
  RestoreResponseSchema,
  readPort,
} from '../schema/restore.ts';
import { requireInstanceId } from './path-ids.ts';
import { assertWholeServer, readPoint, readSkipped } from './restore-points.ts';

const keepDaysDefault = 7;

export function registerRestoreRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances',
    {
      config: needs('rds:instance:create'),
      schema: {
        operationId: 'restoreToNewInstance',
        description:
          'Only with restore_point: Cairn starts servers from backups, never empty ones.',
        tags: ['instances'],
        params: Type.Object({ projectId: Type.String() }),
        headers: ClientTokenHeaderSchema,
        body: refTo(RestoreRequestSchema),
        response: { 202: refTo(RestoreResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { body } = request;
      const wanted = readRequest(projectOf(request), body);
      const effect = body.dry_run === true ? 'check' : 'restore';
      const clientToken = (effect === 'restore' && request.headers['x-client-token']) || null;
      const result = await requestRestore(parts, wanted, { clientToken, effect });
      return await reply.code(202).send(presentRestore(result, wanted, { body, effect }));
    },
  );
}

function readRequest(projectId: ProjectId, body: RestoreRequestWire): RestoreRequest {
  const { restore_point: point, datastore } = body;
  if (!point) {
    throw new CairnError(
      'invalid',
      'an instance is made only from a backup: restore_point is missing',
      {
        hint: 'to register a server that exists, use POST /cairn/v1/{project_id}/instances',
      },
    );
  }
  assertWholeServer(point);
  const port = readPort(body.port);
  if (port === null) throw new CairnError('invalid', 'port must be 1024 to 65535');
  return {
    projectId,
    name: body.name,
    sourceInstanceId: requireInstanceId(point.instance_id),
    point: readPoint(point),
    skippedTransactions: readSkipped(point),
    port,
    engine: datastore?.type ? readEngine(datastore.type) : null,
    version: datastore?.version || null,
    strategy: readStrategy(body.backup_strategy),
    tags: (body.tags ?? []).map(({ key, value }) => ({ key, value: value ?? '' })),
  };
}

/** Days that are not said are those that a new instance of the family starts with. */
function readStrategy(strategy: RestoreRequestWire['backup_strategy']): RestoreRequest['strategy'] {
  if (!strategy) return null;
  const { start_time: startTime = '', keep_days: keepDays = keepDaysDefault } = strategy;
  return { startTime, keepDays: Number(keepDays) };
}

function readEngine(type: string): Engine {
  const engine = findEngine(type);
  if (engine) return engine;
  throw new CairnError('invalid', 'the database type is not valid', {
    reason: 'database-type-invalid',
  });
}
