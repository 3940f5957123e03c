import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../../operations/instances/get-instance.ts';
import { requestPartsRestores } from '../../operations/logical/request-parts-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import type { RestoreTablesWire } from '../schema/batch-restore.ts';
import {
  OldJobReferenceSchema,
  OldRestoreTablesSchema,
  RestoreTablesSchema,
} from '../schema/batch-restore.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import { tablesMax } from './batch-restores.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['instances'];
const params = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const description =
  'MySQL and MariaDB: tables as they were at a moment, beside what the instance has, without ' +
  'foreign keys and triggers; a name that exists is refused by the job.';

/** `/v3.1/{project}/instances/{instance}/restore/tables` */
export function registerTableRestoreRoute(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/:instanceId/restore/tables',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        ...{ operationId: 'restoreTablesNew', description, tags, params },
        body: refTo(RestoreTablesSchema),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const instanceId = requireInstanceId(request.params.instanceId);
      const jobId = await restoreTables(parts, projectOf(request), instanceId, request.body);
      return { job_id: jobId };
    },
  );
}

/** `/v3/{project}/instances/{instance}/restore/tables` */
export function registerOldTableRestoreRoute(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/:instanceId/restore/tables',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        ...{ operationId: 'restoreTables', description, tags, params },
        body: refTo(OldRestoreTablesSchema),
        response: { 200: refTo(OldJobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { restoreTime, restoreTables: wanted } = request.body;
      const restore_tables = wanted.map(({ database, tables }) => ({
        database,
        tables: tables.map(({ oldName, newName }) => ({ old_name: oldName, new_name: newName })),
      }));
      const asked = { restore_time: restoreTime, restore_tables };
      const instanceId = requireInstanceId(request.params.instanceId);
      return { jobId: await restoreTables(parts, projectOf(request), instanceId, asked) };
    },
  );
}

async function restoreTables(
  parts: ApiParts,
  projectId: ProjectId,
  instanceId: InstanceId,
  { restore_time, restore_tables }: Pick<RestoreTablesWire, 'restore_time' | 'restore_tables'>,
): Promise<JobId> {
  const { engine, name } = await getInstance(parts.catalog, projectId, instanceId);
  if (engine !== 'mysql') {
    throw new CairnError('invalid', `instance ${name} is one of ${engine}`, {
      reason: 'engine-mismatch',
      hint: 'tables with schemas: POST /v3/{project_id}/instances/batch/restore/tables',
    });
  }
  const count = restore_tables.reduce((total, { tables }) => total + tables.length, 0);
  if (count > tablesMax) {
    throw new CairnError('invalid', `${count} tables are named: at most ${tablesMax} at once`);
  }
  const databases = restore_tables.map(({ database, tables }) => ({
    database,
    tables: tables.map(({ old_name, new_name }) => ({
      ...{ schema: '', oldName: old_name, newName: new_name },
    })),
  }));
  const at = new Date(Number(restore_time));
  const selection = { kind: 'tables', databases } as const;
  const [asked] = await requestPartsRestores(parts, [{ projectId, instanceId, at, selection }]);
  if (!asked) throw new CairnError('bug', 'no restore was asked for');
  return asked.jobId;
}
