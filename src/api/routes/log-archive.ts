import { Type } from 'typebox';
import { requestLogInterval } from '../../operations/log-archive/log-interval.ts';
import { getPolicy } from '../../operations/policy/get-policy.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import { LogIntervalSchema, SetLogIntervalSchema } from '../schema/log-archive.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['policies'];
const PathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const url = '/instances/:instanceId/incre-backup/policy';

/** `/v3/{project}/instances/{instance}/incre-backup/policy` */
export function registerLogIntervalRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    url,
    {
      config: needs('rds:instance:getBackupPolicy'),
      schema: {
        operationId: 'showIncrementalBackupPolicy',
        description: 'How many minutes of archived log make one incremental backup.',
        tags,
        params: PathSchema,
        response: { 200: refTo(LogIntervalSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      const record = await getPolicy(parts.catalog, projectOf(request), id);
      return { incre_backup_policy: { interval: record.logIntervalMinutes } };
    },
  );
  app.put(
    url,
    {
      config: needs('rds:instance:modifyBackupPolicy'),
      schema: {
        operationId: 'setIncrementalBackupPolicy',
        description: 'A job sets it; it counts from the interval that is being filled.',
        tags,
        params: PathSchema,
        body: refTo(SetLogIntervalSchema),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const of = {
        projectId: projectOf(request),
        instanceId: requireInstanceId(request.params.instanceId),
      };
      const minutes = Number(request.body.incre_backup_policy.interval);
      return { job_id: await requestLogInterval(parts, of, minutes) };
    },
  );
}
