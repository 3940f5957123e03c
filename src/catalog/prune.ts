import type { InstanceId, ProjectId } from '../model/ids.ts';
import type { PruneRecords } from './catalog.ts';
import type { CatalogDatabase } from './dialect.ts';

/** Three values a row; a statement takes 999 of them in the oldest SQLite. */
const rowsPerStatement = 300;

export function pruneRecords(database: CatalogDatabase): PruneRecords {
  return { ...candidateRecords(database), ...turnRecords(database) };
}

function candidateRecords({
  db,
}: CatalogDatabase): Pick<PruneRecords, 'listCandidates' | 'addCandidates' | 'forgetCandidates'> {
  return {
    async listCandidates(instanceId) {
      const rows = await db
        .selectFrom('prune_candidates')
        .select(['object_name', 'first_seen_at'])
        .where('instance_id', '=', instanceId)
        .execute();
      return new Map(rows.map((row) => [row.object_name, new Date(row.first_seen_at)]));
    },
    async addCandidates(instanceId, names, at) {
      for (const some of slices(names)) {
        const rows = some.map((object_name) => ({
          ...{ instance_id: instanceId, object_name, first_seen_at: at.getTime() },
        }));
        await db
          .insertInto('prune_candidates')
          .values(rows)
          .onConflict((conflict) => conflict.columns(['instance_id', 'object_name']).doNothing())
          .execute();
      }
    },
    async forgetCandidates(instanceId, names) {
      for (const some of slices(names)) {
        await db
          .deleteFrom('prune_candidates')
          .where('instance_id', '=', instanceId)
          .where('object_name', 'in', some)
          .execute();
      }
    },
  };
}

function turnRecords({ db }: CatalogDatabase): Pick<PruneRecords, 'listDue' | 'takeTurn'> {
  return {
    async listDue(before, limit) {
      const rows = await db
        .selectFrom('backup_counts')
        .leftJoin('prune_turns', 'prune_turns.instance_id', 'backup_counts.instance_id')
        .select(['backup_counts.project_id', 'backup_counts.instance_id'])
        .distinct()
        .where('backup_count', '>', 0)
        .where((eb) => eb.or([eb('asked_at', 'is', null), eb('asked_at', '<=', before.getTime())]))
        .orderBy('backup_counts.instance_id')
        .limit(limit)
        .execute();
      return rows.map(({ project_id, instance_id }) => ({
        projectId: project_id as ProjectId,
        instanceId: instance_id as InstanceId,
      }));
    },
    async takeTurn(instanceId, before, at) {
      const asked_at = at.getTime();
      const result = await db
        .insertInto('prune_turns')
        .values({ instance_id: instanceId, asked_at })
        .onConflict((conflict) =>
          conflict
            .column('instance_id')
            .doUpdateSet({ asked_at })
            .where('prune_turns.asked_at', '<=', before.getTime()),
        )
        .executeTakeFirst();
      return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
    },
  };
}

function* slices(names: readonly string[]): Generator<string[]> {
  for (let at = 0; at < names.length; at += rowsPerStatement) {
    yield names.slice(at, at + rowsPerStatement);
  }
}
