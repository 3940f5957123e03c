import { Type } from 'typebox';
import { requestBackupDeletion } from '../../operations/backup/request-backup-deletion.ts';
import { stopBackup } from '../../operations/backup/stop-backup.ts';
import type { ApiApp, ApiParts } from '../api-parts.ts';
import { projectOf } from '../auth.ts';
import type { Language } from '../errors.ts';
import { answerError, readError, readLanguage } from '../errors.ts';
import { needs } from '../permission.ts';
import type { BatchDeleteResponse } from '../schema/backup.ts';
import { BatchDeleteRequestSchema, BatchDeleteResponseSchema } from '../schema/backup.ts';
import { refTo } from '../schema/define.ts';
import { errorAnswers } from '../schema/error-answers.ts';
import { JobReferenceSchema } from '../schema/job.ts';
import { requireBackupId, requireInstanceId } from './path-ids.ts';

const tags = ['backups'];
const accepted = { error_code: '0', error_msg: 'Success' } as const;

/** Stopping one that runs, deleting many. */
export function registerBackupChangeRoutes(app: ApiApp, parts: ApiParts): void {
  app.post(
    '/instances/:instanceId/backups/stop',
    {
      config: needs('rds:backup:stop'),
      schema: {
        operationId: 'stopBackup',
        description:
          'The backup that runs on the instance stops within seconds and is then FAILED, its job ' +
          'Failed. 409 DBS.200402 when there is none.',
        tags,
        params: Type.Object({ projectId: Type.String(), instanceId: Type.String() }),
        response: { 200: refTo(JobReferenceSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const instanceId = requireInstanceId(request.params.instanceId);
      const { jobId } = await stopBackup(parts, projectOf(request), instanceId);
      return { job_id: jobId };
    },
  );
  app.post(
    '/backups/batch-delete',
    {
      config: needs('rds:backup:delete'),
      schema: {
        operationId: 'batchDeleteManualBackup',
        description: 'Each backup has an answer of its own; one that is refused stops no other.',
        tags,
        params: Type.Object({ projectId: Type.String() }),
        body: refTo(BatchDeleteRequestSchema),
        response: { 200: refTo(BatchDeleteResponseSchema), ...errorAnswers },
      },
    },
    async (request) => {
      const results: BatchDeleteResponse['delete_results'] = [];
      const context = {
        language: readLanguage(request.headers['x-language']),
        requestId: request.id,
      };
      for (const id of new Set(request.body.backup_ids)) {
        const outcome = await attempt(context, async () => {
          await requestBackupDeletion(parts, projectOf(request), requireBackupId(id));
        });
        results.push({ backup_id: id, ...outcome });
      }
      return { delete_results: results };
    },
  );
}

/** What is wrong with the service, and not with one backup, fails the whole call. */
async function attempt(
  context: { readonly language: Language; readonly requestId: string },
  work: () => Promise<void>,
): Promise<{ readonly error_code: string; readonly error_msg: string }> {
  try {
    await work();
    return accepted;
  } catch (error) {
    const { status, body } = answerError(readError(error), context);
    if (status >= 500) throw error;
    return { error_code: body.error_code, error_msg: body.error_msg };
  }
}
