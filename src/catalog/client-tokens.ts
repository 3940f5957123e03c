import type { InstanceId, JobId, ProjectId } from '../model/ids.ts';
import type { ClientTokenRecords } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';

export function clientTokenRecords({ db }: CatalogDatabase): ClientTokenRecords {
  return {
    async find(projectId, token) {
      const row = await db
        .selectFrom('client_tokens')
        .selectAll()
        .where('project_id', '=', projectId)
        .where('token', '=', token)
        .executeTakeFirst();
      if (!row) return null;
      return {
        projectId: row.project_id as ProjectId,
        token: row.token,
        requestHash: row.request_hash,
        instanceId: row.instance_id as InstanceId,
        jobId: row.job_id as JobId,
        createdAt: new Date(row.created_at),
      };
    },
    async insert(use) {
      const insert = db.insertInto('client_tokens').values({
        project_id: use.projectId,
        token: use.token,
        request_hash: use.requestHash,
        instance_id: use.instanceId,
        job_id: use.jobId,
        created_at: use.createdAt.getTime(),
      });
      await explainConflict(insert.execute(), {
        client_tokens_key: 'the client token was used at the same moment',
      });
    },
    async deleteOlderThan(at) {
      await db.deleteFrom('client_tokens').where('created_at', '<', at.getTime()).execute();
    },
  };
}
