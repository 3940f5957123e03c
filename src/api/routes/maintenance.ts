import { Type } from 'typebox';
import { requestCheck } from '../../operations/check/request-check.ts';
import { requestKeyRotation } from '../../operations/keys/request-key-rotation.ts';
import { requestPrune } from '../../operations/prune/request-prune.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import { needs } from '../permission.ts';
import { presentAskedJobs } from '../present/maintenance.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import {
  AskedJobsSchema,
  CheckRequestSchema,
  PruneRequestSchema,
  RotateKeysRequestSchema,
} from '../schema/maintenance.ts';
import { requireInstanceId } from './path-ids.ts';

const PathSchema = Type.Object({ projectId: Type.String() });

/** `/cairn/v1/{project}/prune`, `…/check`, `…/rotate-keys` */
export function registerMaintenanceRoutes(app: ApiApp, parts: ApiParts): void {
  addKeyRotation(app, parts);
  app.post(
    '/prune',
    {
      config: needs('cairn:repository:prune'),
      schema: {
        operationId: 'pruneBackups',
        description:
          'Deletes what no backup needs, when it has been so for the grace period. One job for ' +
          'each instance; its `result` says what it has found.',
        tags: ['cairn'],
        params: PathSchema,
        body: refTo(PruneRequestSchema),
        response: { 202: refTo(AskedJobsSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { instance_id: id, dry_run: dryRun = false } = request.body;
      const instanceId = id === undefined ? null : requireInstanceId(id);
      const asked = await requestPrune(parts, {
        ...{ projectId: projectOf(request), instanceId, dryRun },
      });
      return await reply.code(202).send(presentAskedJobs(asked));
    },
  );
  app.post(
    '/check',
    {
      config: needs('cairn:repository:check'),
      schema: {
        operationId: 'checkBackups',
        description:
          'Looks whether everything that backups need is stored and whole; changes nothing. One ' +
          'job for each instance; its `result` says what it has found, and it fails on damage.',
        tags: ['cairn'],
        params: PathSchema,
        body: refTo(CheckRequestSchema),
        response: { 202: refTo(AskedJobsSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { instance_id: id, read_data_percent: percent = null } = request.body;
      const instanceId = id === undefined ? null : requireInstanceId(id);
      const asked = await requestCheck(parts, {
        ...{ projectId: projectOf(request), instanceId, percent },
      });
      return await reply.code(202).send(presentAskedJobs(asked));
    },
  );
}

function addKeyRotation(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/rotate-keys',
    {
      config: needs('cairn:repository:rotateKeys'),
      schema: {
        operationId: 'rotateDataKeys',
        description:
          'Adds a data key to each instance; new backups are sealed with it. The old keys stay. ' +
          'One job for each instance.',
        tags: ['cairn'],
        params: PathSchema,
        body: refTo(RotateKeysRequestSchema),
        response: { 202: refTo(AskedJobsSchema), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { instance_id: id } = request.body;
      const instanceId = id === undefined ? null : requireInstanceId(id);
      const asked = await requestKeyRotation(parts, projectOf(request), instanceId);
      return await reply.code(202).send(presentAskedJobs(asked));
    },
  );
}
