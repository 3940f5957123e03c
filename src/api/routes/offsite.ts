// Backups in a second storage. There is none yet: reads say so with empty lists, and a policy that
// asks for copies is refused.
import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { getInstance } from '../../operations/instances/get-instance.ts';
import { getPolicy } from '../../operations/policy/get-policy.ts';
import { setOffsitePolicy } from '../../operations/policy/offsite-policy.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentOffsite } from '../present/policy.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { noBody } from '../schema/no-body.ts';
import {
  ListOffsiteBackupsQuerySchema,
  OffsiteBackupListSchema,
  OffsiteInstanceListSchema,
  OffsiteInstancesQuerySchema,
  OffsitePolicyResponseSchema,
  OffsiteWindowsSchema,
  SetOffsitePolicyRequestSchema,
} from '../schema/policy.ts';
import { requireInstanceId } from './path-ids.ts';

const tags = ['off-site'];
const PathSchema = Type.Object({ projectId: Type.String(), instanceId: Type.String() });
const policyUrl = '/instances/:instanceId/backups/offsite-policy';
const offsiteKeepDaysMax = 3660;

/** `/v3/{project}/…` */
export function registerOffsiteRoutes(app: ApiApp, parts: ApiParts): void {
  addPolicy(app, parts);
  app.get(
    '/offsite-backups',
    {
      config: needs('rds:backup:list'),
      schema: {
        operationId: 'listOffSiteBackups',
        description: 'Empty: there is no second storage.',
        tags,
        params: Type.Object({ projectId: Type.String() }),
        querystring: ListOffsiteBackupsQuerySchema,
        response: { 200: refTo(OffsiteBackupListSchema), ...errorAnswers },
      },
    },
    async () => ({ backups: [], total_count: 0 }),
  );
  app.get(
    '/instances/:instanceId/offsite-restore-time',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listOffSiteRestoreTimes',
        description: 'Empty: there is no second storage.',
        tags,
        params: PathSchema,
        querystring: Type.Object({ date: Type.Optional(Type.String()) }),
        response: { 200: refTo(OffsiteWindowsSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      await getInstance(parts.catalog, projectOf(request), id);
      return { restore_time: [] };
    },
  );
}

/** `/v3/backups/offsite-backup-instance`: the one path of the family without a project. */
export function registerOffsiteInstanceRoute(app: ApiApp): void {
  app.get(
    '/v3/backups/offsite-backup-instance',
    {
      schema: {
        operationId: 'listOffSiteInstances',
        description: 'Empty: there is no second storage.',
        tags,
        querystring: OffsiteInstancesQuerySchema,
        response: { 200: refTo(OffsiteInstanceListSchema), ...errorAnswers },
      },
    },
    async () => ({ offsite_backup_instances: [], total_count: 0 }),
  );
}

function addPolicy(app: ApiApp, parts: ApiParts): void {
  app.get(
    policyUrl,
    {
      config: needs('rds:instance:getBackupPolicy'),
      schema: {
        operationId: 'showOffSiteBackupPolicy',
        tags,
        params: PathSchema,
        response: { 200: refTo(OffsitePolicyResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      return presentOffsite(await getPolicy(parts.catalog, projectOf(request), id));
    },
  );
  app.put(
    policyUrl,
    {
      config: needs('rds:instance:modifyBackupPolicy'),
      schema: {
        operationId: 'setOffSiteBackupPolicy',
        description: 'Refused while there is no second storage, unless keep_days is 0.',
        tags,
        params: PathSchema,
        body: refTo(SetOffsitePolicyRequestSchema),
        response: { 200: noBody, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { policy_para: policy } = request.body;
      const keepDays = Number(policy.keep_days);
      if (keepDays < 0 || keepDays > offsiteKeepDaysMax) {
        throw new CairnError('invalid', `keep_days must be 0 to ${offsiteKeepDaysMax}`, {
          reason: 'policy-keep-days-invalid',
        });
      }
      const instanceId = requireInstanceId(request.params.instanceId);
      await setOffsitePolicy(parts, projectOf(request), instanceId, {
        backupType: policy.backup_type,
        keepDays,
        destinationRegion: policy.destination_region,
        destinationProjectId: policy.destination_project_id,
      });
      return await reply.code(200).send(undefined);
    },
  );
}
