import { Type } from 'typebox';
import { requestDatabaseRestore } from '../../operations/logical/request-database-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import { RestoreDatabasesRequestSchema } from '../schema/logical.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';

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
          'that runs, beside what it has. All of them appear, whole, or none.',
        tags: ['cairn'],
        params: Type.Object({ projectId: Type.String(), instanceId: Type.String() }),
        body: refTo(RestoreDatabasesRequestSchema),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { backup_id, databases = [], with_roles = false } = request.body;
      const { jobId } = await requestDatabaseRestore(parts, {
        projectId: projectOf(request),
        backupId: requireBackupId(backup_id),
        targetInstanceId: requireInstanceId(request.params.instanceId),
        databases: databases.map(({ old_name, new_name }) => ({
          oldName: old_name,
          newName: new_name,
        })),
        missingRoles: with_roles ? 'create' : 'refuse',
      });
      return { job_id: jobId };
    },
  );
}
