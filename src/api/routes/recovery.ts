import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import type { DatabaseName, RecoveryRequest } from '../../operations/restore/request-recovery.ts';
import { requestRecovery } from '../../operations/restore/request-recovery.ts';
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
import { requireInstanceId } from './path-ids.ts';
import { readPoint, readSkipped } from './restore-points.ts';

const tags = ['instances'];
const InstancePathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const description =
  'Restores over an instance whose server Cairn started: its data is replaced, and kept until ' +
  'the new server has answered. The instance is RESTORING meanwhile. Over one of SQL Server each ' +
  'database of the backup takes the place of the one that has its name, which gets another.';

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
      const wanted = readRequest(projectOf(request), request.body);
      const { jobId } = await requestRecovery(parts, wanted);
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
      const wanted = readRequest(projectOf(request), request.body);
      const { jobId } = await requestRecovery(parts, wanted);
      return await reply.code(202).send({ job_id: jobId });
    },
  );
}

function readRequest(
  projectId: ProjectId,
  { source, target, replace }: RecoveryRequestWire,
): RecoveryRequest {
  return {
    projectId,
    sourceInstanceId: requireInstanceId(source.instance_id),
    point: readPoint(source),
    skippedTransactions: readSkipped(source),
    targetInstanceId: requireInstanceId(target.instance_id),
    databases: Object.entries(source.database_name ?? {}).flatMap(readNames),
    replace: replace === true,
  };
}

/** A list of new names restores a database under each of them; an empty one keeps its name. */
function readNames([oldName, newNames]: readonly [string, string]): readonly DatabaseName[] {
  return newNames.split(',').map((text) => ({ oldName, newName: text.trim() || oldName }));
}

/** Null: every day. @throws invalid */
/** @throws invalid */
export function readDay(date: string | undefined): Date | null {
  if (!date) return null;
  const day = parseWireTime(`${date}T00:00:00Z`);
  if (!day) throw new CairnError('invalid', `date ${date} is no day of the calendar`);
  return day;
}
