import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import type { DatabaseRestoreRequest } from '../../operations/logical/request-database-restore.ts';
import { requestDatabaseRestore } from '../../operations/logical/request-database-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import type { RestoreDatabasesRequestWire } from '../schema/logical.ts';
import { RestoreDatabasesRequestSchema } from '../schema/logical.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';
import { readPoint } from './restore-points.ts';

/** `/cairn/v1/{project}/instances/{instance}/databases/restore` */
export function registerLogicalRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/:instanceId/databases/restore',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        operationId: 'restoreDatabases',
        description:
          'Restores databases of a backup that was made of single databases into an instance ' +
          'that runs, beside what it has; of SQL Server also those of a whole backup, and up to ' +
          'a moment. All of them appear, whole, or none.',
        tags: ['cairn'],
        params: Type.Object({ projectId: Type.String(), instanceId: Type.String() }),
        body: refTo(RestoreDatabasesRequestSchema),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { databases = [], with_roles = false, replace = false } = request.body;
      const { jobId } = await requestDatabaseRestore(parts, {
        ...readSource(request.body),
        projectId: projectOf(request),
        targetInstanceId: requireInstanceId(request.params.instanceId),
        databases: databases.map(({ old_name, new_name }) => ({
          oldName: old_name,
          newName: new_name,
        })),
        missingRoles: with_roles ? 'create' : 'refuse',
        ...{ replace, rules: 'server' },
      });
      return { job_id: jobId };
    },
  );
}

/** A backup, or a point of the past of an instance. @throws invalid */
function readSource({
  backup_id: backupId,
  restore_point: point,
}: RestoreDatabasesRequestWire): Pick<DatabaseRestoreRequest, 'sourceInstanceId' | 'point'> {
  if ((backupId === undefined) === (point === undefined)) {
    throw new CairnError('invalid', 'either backup_id or restore_point must be given');
  }
  if (point) {
    return { sourceInstanceId: requireInstanceId(point.instance_id), point: readPoint(point) };
  }
  const target = { kind: 'end-of-backup', backupId: requireBackupId(backupId ?? '') } as const;
  return { sourceInstanceId: null, point: target };
}
