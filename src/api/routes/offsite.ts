// Backups in a second storage. Lists tell what it really holds now. Without one they are empty, and
// a policy that asks for copies is refused.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { CairnError } from '../../model/errors.ts';
import { listOwnProjects } from '../../operations/identity/roles.ts';
import { getInstance } from '../../operations/instances/get-instance.ts';
import type { OffsiteBackup } from '../../operations/offsite/list-offsite.ts';
import { listOffsiteBackups, listOffsiteInstances } from '../../operations/offsite/list-offsite.ts';
import { getPolicy } from '../../operations/policy/get-policy.ts';
import { setOffsitePolicy } from '../../operations/policy/offsite-policy.ts';
import { toRecoveryBackup } from '../../operations/restore/recovery-facts.ts';
import { planRestoreWindows, selectDay } from '../../operations/restore/restore-windows.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { callerOf, projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentBackup } from '../present/backup.ts';
import { regionOf } from '../present/identity.ts';
import { presentOffsite, presentOffsiteInstance } from '../present/policy.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { noBody } from '../schema/no-body.ts';
import { readPage } from '../schema/paging.ts';
import {
  ListOffsiteBackupsQuerySchema,
  OffsiteBackupListSchema,
  OffsiteInstanceListSchema,
  OffsiteInstancesQuerySchema,
  OffsitePolicyResponseSchema,
  OffsiteWindowsSchema,
  SetOffsitePolicyRequestSchema,
} from '../schema/policy.ts';
import { RestoreTimeQuerySchema } from '../schema/recovery.ts';
import { readRange } from './backups.ts';
import { requireInstanceId } from './path-ids.ts';
import { readDay } from './recovery.ts';

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
        description: 'What the second storage holds now, newest first; empty without one.',
        tags,
        params: Type.Object({ projectId: Type.String() }),
        querystring: ListOffsiteBackupsQuerySchema,
        response: { 200: refTo(OffsiteBackupListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const { query } = request;
      const { instance_id: id } = query;
      const instanceId = id === undefined ? null : requireInstanceId(id);
      const of = { projectId: projectOf(request), instanceId };
      const backups = (await listOffsiteBackups(parts, of)).filter(matches(query));
      const { offset, limit } = readPage(query);
      const page = backups.slice(offset, offset + limit);
      return { backups: page.map(presentBackup), total_count: backups.length };
    },
  );
  app.get(
    '/instances/:instanceId/offsite-restore-time',
    {
      config: needs('rds:instance:list'),
      schema: {
        operationId: 'listOffSiteRestoreTimes',
        description: 'The ends of the backups that the second storage holds; empty without one.',
        tags,
        params: PathSchema,
        querystring: RestoreTimeQuerySchema,
        response: { 200: refTo(OffsiteWindowsSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const id = requireInstanceId(request.params.instanceId);
      const day = readDay(request.query.date);
      const of = { projectId: projectOf(request), instanceId: id };
      await getInstance(parts.catalog, of.projectId, id);
      const windows = planRestoreWindows({
        backups: (await listOffsiteBackups(parts, of)).flatMap(toRecoveryBackup),
        streams: [],
      });
      return {
        restore_time: (day === null ? windows : selectDay(windows, day)).map(
          ({ startAt, endAt }) => ({ start_time: startAt.getTime(), end_time: endAt.getTime() }),
        ),
      };
    },
  );
}

/** `/v3/backups/offsite-backup-instance`: the one path of the family without a project. */
export function registerOffsiteInstanceRoute(app: ApiApp, parts: ApiParts): void {
  app.get(
    '/v3/backups/offsite-backup-instance',
    {
      schema: {
        operationId: 'listOffSiteInstances',
        description: 'Instances with an off-site policy, of every project of the caller.',
        tags,
        querystring: OffsiteInstancesQuerySchema,
        response: { 200: refTo(OffsiteInstanceListSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const projects = await listOwnProjects(parts, callerOf(request).user);
      const byId = new Map(projects.map((project) => [project.id, project]));
      const found = await listOffsiteInstances(parts, new Set(byId.keys()));
      const { offset, limit } = readPage(request.query);
      const items = found.slice(offset, offset + limit).map(({ instance, record }) => {
        const project = byId.get(instance.projectId);
        return presentOffsiteInstance(instance, record, project ? regionOf(project) : '');
      });
      return { offsite_backup_instances: items, total_count: found.length };
    },
  );
}

function matches(query: Static<typeof ListOffsiteBackupsQuerySchema>) {
  const { backup_id: id, backup_type: type } = query;
  const { startedFrom, startedTo } = readRange(query);
  return (backup: OffsiteBackup): boolean =>
    (id === undefined || backup.id === id) &&
    (type === undefined || backup.type === type) &&
    (startedFrom === undefined || backup.startedAt >= startedFrom) &&
    (startedTo === undefined || backup.startedAt <= startedTo);
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
