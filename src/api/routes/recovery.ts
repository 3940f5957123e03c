import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import type { JobId, ProjectId } from '../../model/ids.ts';
import { requestDatabaseRestore } from '../../operations/logical/request-database-restore.ts';
import type { InPlaceRequest } from '../../operations/restore/request-restore-in-place.ts';
import { requestRestoreInPlace } from '../../operations/restore/request-restore-in-place.ts';
import { listRestoreWindows, selectDay } from '../../operations/restore/restore-windows.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import type { RecoveryRequestWire } from '../schema/recovery.ts';
import {
  RecoveryRequestSchema,
  RestoreTimeQuerySchema,
  RestoreTimesSchema,
} from '../schema/recovery.ts';
import { parseWireTime } from '../wire-time.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';
import { readPoint, readSkipped } from './restore-points.ts';

const tags = ['instances'];
const InstancePathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const description =
  'Restores over an instance whose server Cairn started: its data is replaced, and kept until ' +
  'the new server has answered. The instance is RESTORING meanwhile.';

/** `/v3/{project}/instances/recovery` and the windows. */
export function registerRecoveryRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/recovery',
    {
      config: needs('rds:instance:restoreInPlace'),
      schema: {
        ...{ operationId: 'restoreToExistingInstance', description, tags },
        params: Type.Object({ projectId: Type.String() }),
        body: refTo(RecoveryRequestSchema),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { jobId } = await requestRecovery(parts, projectOf(request), request.body);
      return { job_id: jobId };
    },
  );
  app.get(
    '/instances/:instanceId/restore-time',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listRestoreTimes',
        description: 'Also of an instance that is gone and has left backups; else 404 DBS.200002.',
        tags,
        params: InstancePathSchema,
        querystring: RestoreTimeQuerySchema,
        response: { 200: refTo(RestoreTimesSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const day = readDay(request.query.date);
      const instanceId = requireInstanceId(request.params.instanceId);
      const query = { projectId: projectOf(request), instanceId };
      const windows = await listRestoreWindows(parts.catalog, query);
      return {
        restore_time: (day === null ? windows : selectDay(windows, day)).map(
          ({ startAt, endAt }) => ({ start_time: startAt.getTime(), end_time: endAt.getTime() }),
        ),
      };
    },
  );
}

/** `/v3.1/{project}/instances/recovery`: the same but for its status. */
export function registerNewerRecoveryRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/recovery',
    {
      config: needs('rds:instance:restoreInPlace'),
      schema: {
        ...{ operationId: 'restoreExistInstance', description, tags },
        params: Type.Object({ projectId: Type.String() }),
        body: refTo(RecoveryRequestSchema),
        response: { 202: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { jobId } = await requestRecovery(parts, projectOf(request), request.body);
      return await reply.code(202).send({ job_id: jobId });
    },
  );
}

/** With names of databases nothing is replaced: they are restored beside what the target has. */
async function requestRecovery(
  parts: ApiParts,
  projectId: ProjectId,
  body: RecoveryRequestWire,
): Promise<{ readonly jobId: JobId }> {
  const { source, target } = body;
  const names = Object.entries(source.database_name ?? {});
  if (names.length === 0) return await requestRestoreInPlace(parts, readRequest(projectId, body));
  return await requestDatabaseRestore(parts, {
    projectId,
    backupId: requireBackupId(source.backup_id ?? ''),
    targetInstanceId: requireInstanceId(target.instance_id),
    databases: names.map(([oldName, newName]) => ({ oldName, newName: newName || oldName })),
    missingRoles: 'refuse',
  });
}

function readRequest(
  projectId: ProjectId,
  { source, target }: RecoveryRequestWire,
): InPlaceRequest {
  return {
    projectId,
    sourceInstanceId: requireInstanceId(source.instance_id),
    point: readPoint(source),
    skippedTransactions: readSkipped(source),
    targetInstanceId: requireInstanceId(target.instance_id),
  };
}

/** Null: every day. @throws invalid */
/** @throws invalid */
export function readDay(date: string | undefined): Date | null {
  if (!date) return null;
  const day = parseWireTime(`${date}T00:00:00Z`);
  if (!day) throw new CairnError('invalid', `date ${date} is no day of the calendar`);
  return day;
}
