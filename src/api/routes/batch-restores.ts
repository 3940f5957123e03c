import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { getInstance } from '../../operations/instances/get-instance.ts';
import type { PartsRestoreRequest } from '../../operations/logical/request-parts-restore.ts';
import { requestPartsRestores } from '../../operations/logical/request-parts-restore.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import type { BatchRestoreTablesWire } from '../schema/batch-restore.ts';
import {
  BatchRestoreDatabasesSchema,
  BatchRestoreResultSchema,
  BatchRestoreTablesSchema,
  FastRestoreRequestSchema,
  FastRestoreSchema,
} from '../schema/batch-restore.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['instances'];
const params = Type.Object({ projectId: Type.String() });
/** Of one restore. */
export const tablesMax = 2000;

/** `/v3/{project}/instances/batch/restore/…` */
export function registerBatchRestoreRoutes(app: ApiApp, parts: ApiParts): void {
  const ask = async (requests: readonly PartsRestoreRequest[]) => ({
    restore_result: (await requestPartsRestores(parts, requests)).map(({ instanceId, jobId }) => ({
      instance_id: instanceId,
      job_id: jobId,
    })),
  });
  app.post(
    '/instances/batch/restore/databases',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        operationId: 'batchRestoreDatabase',
        description:
          'Databases as they were at a moment, beside what the instance has. All or none of one ' +
          'instance appear; a name that exists is refused by the job.',
        ...{ tags, params },
        body: refTo(BatchRestoreDatabasesSchema),
        response: { 200: refTo(BatchRestoreResultSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const projectId = projectOf(request);
      return await ask(
        request.body.instances.map(({ databases, ...wire }) => ({
          ...readMoment(projectId, wire),
          selection: { kind: 'databases', databases: databases.map(readName) },
        })),
      );
    },
  );
  app.post(
    '/instances/batch/restore/tables',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        operationId: 'batchRestorePostgreSqlTables',
        description:
          'Tables as they were at a moment, beside what the instance has, without foreign keys ' +
          'and triggers. Not partitioned ones; a name that exists is refused by the job.',
        ...{ tags, params },
        body: refTo(BatchRestoreTablesSchema),
        response: { 200: refTo(BatchRestoreResultSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const projectId = projectOf(request);
      return await ask(
        request.body.instances.map(({ databases, ...wire }) => ({
          ...readMoment(projectId, wire),
          selection: { kind: 'tables', databases: readTables(databases) },
        })),
      );
    },
  );
  app.post(
    '/instances/fast-restore',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'showFastRestore',
        description: 'No instance has a faster way.',
        ...{ tags, params },
        body: refTo(FastRestoreRequestSchema),
        response: { 200: refTo(FastRestoreSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const ids = request.body.instance_ids.map(requireInstanceId);
      for (const id of ids) await getInstance(parts.catalog, projectOf(request), id);
      return {
        support_fast_restore_list: ids.map((id) => ({
          instance_id: id,
          is_support_fast_table_restore: false,
          is_support_fast_database_restore: false,
        })),
      };
    },
  );
}

function readMoment(
  projectId: PartsRestoreRequest['projectId'],
  wire: Pick<BatchRestoreTablesWire['instances'][number], 'instance_id' | 'restore_time'>,
) {
  const { instance_id, restore_time } = wire;
  return {
    ...{ projectId, instanceId: requireInstanceId(instance_id) },
    at: new Date(Number(restore_time)),
  };
}

function readName(wire: { readonly old_name: string; readonly new_name: string }) {
  return { oldName: wire.old_name, newName: wire.new_name };
}

/** @throws invalid for more tables than are restored at once */
function readTables(databases: BatchRestoreTablesWire['instances'][number]['databases']) {
  const read = databases.map(({ database, schemas }) => ({
    database,
    tables: schemas.flatMap(({ schema, tables }) =>
      tables.map((table) => ({ schema, ...readName(table) })),
    ),
  }));
  const count = read.reduce((sum, { tables }) => sum + tables.length, 0);
  if (count > tablesMax) throw new CairnError('invalid', `${count} tables are too many at once`);
  if (new Set(read.map(({ database }) => database)).size < read.length) {
    throw new CairnError('invalid', 'a database is named twice');
  }
  return read;
}
