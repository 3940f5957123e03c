import type { InstanceId } from '../model/ids.ts';
import type { TagRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';

export function tagRecords({ db }: CatalogDatabase): TagRecords {
  return {
    async list(instanceIds) {
      if (instanceIds.length === 0) return [];
      const rows = await db
        .selectFrom('tags')
        .select(['instance_id', 'key', 'value'])
        .where('instance_id', 'in', instanceIds)
        .orderBy('instance_id')
        .orderBy('key')
        .execute();
      return rows.map(({ instance_id, key, value }) => ({
        instanceId: instance_id as InstanceId,
        key,
        value,
      }));
    },
    async listOfProject(projectId) {
      return await db
        .selectFrom('tags')
        .select(['key', 'value'])
        .distinct()
        .where('project_id', '=', projectId)
        .orderBy('key')
        .orderBy('value')
        .execute();
    },
    async put(projectId, { instanceId, key, value }) {
      await db
        .insertInto('tags')
        .values({ instance_id: instanceId, key, value, project_id: projectId })
        .onConflict((conflict) => conflict.columns(['instance_id', 'key']).doUpdateSet({ value }))
        .execute();
    },
    async delete(instanceId, key, value) {
      let query = db
        .deleteFrom('tags')
        .where('instance_id', '=', instanceId)
        .where('key', '=', key);
      if (value !== null) query = query.where('value', '=', value);
      await query.execute();
    },
    async deleteAll(instanceId) {
      await db.deleteFrom('tags').where('instance_id', '=', instanceId).execute();
    },
  };
}
