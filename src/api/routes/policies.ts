import { Type } from 'typebox';
import { getPolicy } from '../../operations/policy/get-policy.ts';
import { setPolicy } from '../../operations/policy/set-policy.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentPolicy } from '../present/policy.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { noBody } from '../schema/no-body.ts';
import { PolicyResponseSchema, SetPolicyRequestSchema } from '../schema/policy.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['policies'];
const PathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const url = '/instances/:instanceId/backups/policy';

/** `/v3/{project}/instances/{instance}/backups/policy` */
export function registerPolicyRoutes(app: ApiApp, parts: ApiParts): void {
  app.get(
    url,
    {
      config: needs('rds:instance:getBackupPolicy'),
      schema: {
        operationId: 'showBackupPolicy',
        tags,
        params: PathSchema,
        response: { 200: refTo(PolicyResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      const { policy } = await getPolicy(parts.catalog, projectOf(request), id);
      return presentPolicy(policy);
    },
  );
  app.put(
    url,
    {
      config: needs('rds:instance:modifyBackupPolicy'),
      schema: {
        operationId: 'setBackupPolicy',
        description:
          'One automated full backup in every window; those that have outlived keep_days are ' +
          'deleted, but never the newest completed backup, and never a manual one.',
        tags,
        params: PathSchema,
        body: refTo(SetPolicyRequestSchema),
        response: { 200: noBody, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { backup_policy: policy, reserve_backups: reserve } = request.body;
      await setPolicy(parts, {
        projectId: projectOf(request),
        instanceId: requireInstanceId(request.params.instanceId),
        policy: {
          keepDays: Number(policy.keep_days),
          startTime: policy.start_time ?? null,
          period: policy.period ?? null,
        },
        whenOff: reserve === false ? 'delete-backups' : 'keep-backups',
      });
      return await reply.code(200).send(undefined);
    },
  );
}
