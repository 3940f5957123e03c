import { Type } from 'typebox';
import type { Engine } from '../../model/engine-kind.ts';
import { engines, engineTitles } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { RestorePoint, RestoreRequest } from '../../operations/restore/request-restore.ts';
import { requestRestore } from '../../operations/restore/request-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { presentRestore } from '../present/restore.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { RestoreRequestWire } from '../schema/restore.ts';
import { RestoreRequestSchema, RestoreResponseSchema, readPort } from '../schema/restore.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';

type RestorePointWire = NonNullable<RestoreRequestWire['restore_point']>;

export function registerRestoreRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances',
    {
      schema: {
        operationId: 'restoreToNewInstance',
        description:
          'Only with restore_point: Cairn starts servers from backups, never empty ones.',
        tags: ['instances'],
        params: Type.Object({ projectId: Type.String() }),
        body: refTo(RestoreRequestSchema),
        response: { 202: refTo(RestoreResponseSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const wanted = readRequest(projectOf(request), request.body);
      const result = await requestRestore(parts, wanted);
      return await reply.code(202).send(presentRestore(result, wanted, request.body));
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
  const port = readPort(body.port);
  if (port === null) throw new CairnError('invalid', 'port must be 1024 to 65535');
  assertWholeServer(point);
  return {
    projectId,
    name: body.name,
    sourceInstanceId: requireInstanceId(point.instance_id),
    point: readPoint(point),
    port,
    engine: datastore?.type ? readEngine(datastore.type) : null,
    version: datastore?.version || null,
  };
}

/**
 * `type` may be missing: then whichever of the two values is there decides. An empty id counts as
 * absent.
 */
function readPoint(point: RestorePointWire): RestorePoint {
  const backupId = point.backup_id || null;
  const timeMs = point.restore_time ?? null;
  const type = point.type ?? (backupId === null && timeMs !== null ? 'timestamp' : 'backup');
  if (type === 'timestamp') {
    if (timeMs === null) throw new CairnError('invalid', 'restore_time is missing');
    return { kind: 'time', at: new Date(timeMs) };
  }
  if (backupId === null) throw new CairnError('invalid', 'backup_id is missing');
  return { kind: 'end-of-backup', backupId: requireBackupId(backupId) };
}

function readEngine(type: string): Engine {
  const folded = type.toLowerCase();
  const engine = engines.find((name) => engineTitles[name].toLowerCase() === folded);
  if (engine) return engine;
  throw new CairnError('invalid', 'the database type is not valid', {
    reason: 'database-type-invalid',
  });
}

function assertWholeServer({ database_name: databases }: RestorePointWire): void {
  if (Object.keys(databases ?? {}).length === 0) return;
  throw new CairnError('invalid', 'a restore of single databases is not offered yet', {
    reason: 'databases-not-offered',
  });
}
