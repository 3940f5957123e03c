import { Type } from 'typebox';
import { contentsLimits } from '../../model/backup-contents.ts';
import type { ProjectId } from '../../model/ids.ts';
import { listBackupDatabases } from '../../operations/contents/list-backup-databases.ts';
import type {
  PastContents,
  PastContentsQuery,
} from '../../operations/contents/list-past-contents.ts';
import { listPastContents } from '../../operations/contents/list-past-contents.ts';
import { requireOffered } from '../../operations/instances/offered-engines.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentPastDatabases, presentPastTables } from '../present/past-contents.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import type { PastDatabasesRequestWire } from '../schema/past-contents.ts';
import {
  BackupDatabasesQuerySchema,
  BackupDatabasesSchema,
  PastDatabasesRequestSchema,
  PastDatabasesSchema,
  PastTablesRequestSchema,
  PastTablesSchema,
} from '../schema/past-contents.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';

const tags = ['instances'];
const params = Type.Object({
  projectId: Type.String(),
  engine: Type.String({ description: '`postgresql` or `mysql`, in any case' }),
});
const notes =
  'As the backup has noted them from which that moment is reached: what was made later, up to ' +
  'the moment, is not listed and can be restored all the same.';
const timeoutMs = 50_000;
const bytesPerKb = 1024;

/** `/v3/{project}/{engine}/instances/history/…` and what is in a backup. */
export function registerPastContentsRoutes(app: ApiApp, parts: ApiParts): void {
  const { repository } = parts.downloads;
  const list = (...asked: AskedWire): Promise<readonly PastContents[]> =>
    listPastContents(
      { catalog: parts.catalog, repository },
      readQuery(parts, ...asked),
      deadlineSignal(timeoutMs),
    );
  app.post(
    '/:engine/instances/history/databases',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        operationId: 'listHistoryDatabase',
        description: `Databases of a moment. ${notes}`,
        ...{ tags, params },
        body: refTo(PastDatabasesRequestSchema),
        response: { 200: refTo(PastDatabasesSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const found = await list(projectOf(request), request.params.engine, request.body);
      const { databasesMax, tablesMax } = contentsLimits;
      const instances = found.map(presentPastDatabases);
      return { database_limit: databasesMax, table_limit: tablesMax, instances };
    },
  );
  app.post(
    '/:engine/instances/history/tables',
    {
      config: needs('rds:instance:tableRestore'),
      schema: {
        operationId: 'listHistoryTable',
        description: `Tables of a moment. ${notes}`,
        ...{ tags, params },
        body: refTo(PastTablesRequestSchema),
        response: { 200: refTo(PastTablesSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const found = await list(projectOf(request), request.params.engine, request.body);
      return { table_limit: contentsLimits.tablesMax, instances: found.map(presentPastTables) };
    },
  );
  app.get(
    '/instances/:instanceId/database/db-table-name',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listBackupDatabases',
        description: 'The databases inside a full backup.',
        tags,
        params: Type.Object({ projectId: Type.String(), instanceId: Type.String() }),
        querystring: BackupDatabasesQuerySchema,
        response: { 200: refTo(BackupDatabasesSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const wanted = {
        projectId: projectOf(request),
        instanceId: requireInstanceId(request.params.instanceId),
        backupId: requireBackupId(request.query.backup_id),
      };
      const found = await listBackupDatabases(
        { ...parts, repository },
        wanted,
        deadlineSignal(timeoutMs),
      );
      return {
        databases: found.map(({ name, fileName, fileBytes }) => ({
          database_name: name,
          backup_file_name: fileName,
          backup_file_size: Math.ceil(fileBytes / bytesPerKb),
        })),
        database_limit: contentsLimits.databasesMax,
        bucket_name: '',
      };
    },
  );
}

type AskedWire = [
  projectId: ProjectId,
  engine: string,
  body: PastDatabasesRequestWire & { readonly table_name_like?: string },
];

function readQuery(parts: ApiParts, ...[projectId, engine, body]: AskedWire): PastContentsQuery {
  return {
    projectId,
    engine: requireOffered(parts.engines, engine),
    instanceIds: body.instance_ids.map(requireInstanceId),
    at: new Date(Number(body.restore_time)),
    like: {
      instance: body.instance_name_like ?? '',
      database: body.database_name_like ?? '',
      table: body.table_name_like ?? '',
    },
  };
}
