import { Type } from 'typebox';
import type { BackupFilter } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { getBackup } from '../../operations/backup/get-backup.ts';
import { requestBackup } from '../../operations/backup/request-backup.ts';
import { requestBackupDeletion } from '../../operations/backup/request-backup-deletion.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import {
  backupStatuses,
  presentBackup,
  presentBackupDetail,
  presentNewBackup,
} from '../present/backup.ts';
import type { BackupListWire, ListBackupsQuery } from '../schema/backup.ts';
import {
  BackupDetailSchema,
  BackupListSchema,
  CreateBackupRequestSchema,
  CreateBackupResponseSchema,
  ListBackupsQuerySchema,
} from '../schema/backup.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { noBody } from '../schema/no-body.ts';
import { readPage } from '../schema/paging.ts';
import { parseWireTime } from '../wire-time.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';

const PathSchema = Type.Object({ projectId: Type.String() });
const BackupPathSchema = Type.Object({ projectId: Type.String(), backupId: Type.String() });

/** `/v3/{project}/backups…` */
export function registerBackupRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['backups'];
  app.post(
    '/backups',
    {
      config: needs('rds:backup:create'),
      schema: {
        operationId: 'createManualBackup',
        tags,
        params: PathSchema,
        body: refTo(CreateBackupRequestSchema),
        response: { 200: refTo(CreateBackupResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { body } = request;
      const { backup } = await requestBackup(parts, {
        projectId: projectOf(request),
        instanceId: requireInstanceId(body.instance_id),
        name: body.name,
        description: body.description ?? '',
        databases: (body.databases ?? []).map(({ name }) => name),
        individually: body.backup_database_individually ?? false,
        type: body.type ?? 'manual',
      });
      return presentNewBackup(backup);
    },
  );
  app.get(
    '/backups',
    {
      config: needs('rds:backup:list'),
      schema: {
        operationId: 'listBackups',
        description: 'Newest first. Either instance_id or backup_id must be there.',
        tags,
        params: PathSchema,
        querystring: ListBackupsQuerySchema,
        response: { 200: refTo(BackupListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { query } = request;
      if (query.instance_id === undefined && query.backup_id === undefined) {
        throw new CairnError('invalid', 'instance_id or backup_id must be given');
      }
      return await listBackups(parts, projectOf(request), query);
    },
  );
  app.delete(
    '/backups/:backupId',
    {
      config: needs('rds:backup:delete'),
      schema: {
        operationId: 'deleteManualBackup',
        tags,
        params: BackupPathSchema,
        response: { 200: noBody, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const backupId = requireBackupId(request.params.backupId);
      await requestBackupDeletion(parts, projectOf(request), backupId);
      return await reply.code(200).send(undefined);
    },
  );
}

/** `/cairn/v1/{project}/backups…` */
export function registerBackupDetailRoutes(app: ApiApp, parts: ApiParts): void {
  const tags = ['cairn'];
  app.get(
    '/backups',
    {
      config: needs('rds:backup:list'),
      schema: {
        operationId: 'listAllBackups',
        description: 'As listBackups, without the need to name an instance.',
        tags,
        params: PathSchema,
        querystring: ListBackupsQuerySchema,
        response: { 200: refTo(BackupListSchema), ...errorAnswers },
      },
    },
    async (request) => await listBackups(parts, projectOf(request), request.query),
  );
  app.get(
    '/backups/:backupId',
    {
      config: needs('rds:backup:list'),
      schema: {
        operationId: 'showBackup',
        tags,
        params: BackupPathSchema,
        response: {
          200: Type.Object({ backup: refTo(BackupDetailSchema) }),
          ...errorAnswers,
        },
      },
    },
    async (request) => {
      const backupId = requireBackupId(request.params.backupId);
      const projectId = projectOf(request);
      const backup = await getBackup(parts.catalog, projectId, backupId);
      const job = await parts.catalog.jobs.find(projectId, backup.jobId);
      return { backup: presentBackupDetail(backup, job) };
    },
  );
}

async function listBackups(
  { catalog }: ApiParts,
  projectId: ProjectId,
  query: ListBackupsQuery,
): Promise<BackupListWire> {
  const page = await catalog.backups.list(readFilter(projectId, query), readPage(query));
  return { backups: page.items.map(presentBackup), total_count: page.total };
}

function readFilter(projectId: ProjectId, query: ListBackupsQuery): BackupFilter {
  return {
    projectId,
    ...(query.instance_id === undefined ? {} : { instanceId: query.instance_id }),
    ...(query.backup_id === undefined ? {} : { backupId: query.backup_id }),
    ...(query.backup_type === undefined ? {} : { type: query.backup_type }),
    ...(query.status === undefined ? {} : { status: backupStatuses[query.status] }),
    ...readRange(query),
  };
}

/** @throws invalid */
export function readRange(
  query: Pick<ListBackupsQuery, 'begin_time' | 'end_time'>,
): Pick<BackupFilter, 'startedFrom' | 'startedTo'> {
  if (query.begin_time === undefined && query.end_time === undefined) return {};
  if (query.begin_time === undefined || query.end_time === undefined) {
    throw new CairnError('invalid', 'begin_time and end_time must come together');
  }
  const startedFrom = requireTime('begin_time', query.begin_time);
  const startedTo = requireTime('end_time', query.end_time);
  if (startedTo <= startedFrom) {
    throw new CairnError('invalid', 'end_time must be later than begin_time');
  }
  return { startedFrom, startedTo };
}

function requireTime(name: string, text: string): Date {
  const at = parseWireTime(text);
  if (at) return at;
  throw new CairnError('invalid', `${name} is not a time of the form yyyy-mm-ddThh:mm:ss+hhmm`);
}
