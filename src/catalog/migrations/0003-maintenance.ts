// What prune remembers, and what jobs have found.
import type { Kysely } from 'kysely';
import type { CatalogSchema } from '../schema.ts';

export async function createMaintenanceTables(db: Kysely<CatalogSchema>): Promise<void> {
  await db.schema
    .createTable('prune_candidates')
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('object_name', 'text', (column) => column.notNull())
    .addColumn('first_seen_at', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('prune_candidates_key', ['instance_id', 'object_name'])
    .execute();
  await db.schema
    .createTable('prune_turns')
    .addColumn('instance_id', 'text', (column) => column.primaryKey())
    .addColumn('asked_at', 'bigint', (column) => column.notNull())
    .execute();
  await db.schema.alterTable('jobs').addColumn('result', 'text').execute();
}
