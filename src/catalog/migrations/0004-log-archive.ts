// Streams of archived log, and the backups that are stretches of them.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { CatalogSchema } from '../schema.ts';

type Database = Kysely<CatalogSchema>;

export async function createLogArchive(db: Database): Promise<void> {
  await createStreams(db);
  await db.schema.alterTable('backups').addColumn('log_stream_id', 'text').execute();
  // the intervals of one stream, oldest first
  await db.schema
    .createIndex('backups_of_stream')
    .on('backups')
    .columns(['log_stream_id', 'started_at', 'id'])
    .where(sql.ref('log_stream_id'), 'is not', null)
    .execute();
  await db.schema
    .alterTable('policies')
    .addColumn('log_interval_minutes', 'integer', (column) => column.notNull().defaultTo(5))
    .execute();
}

async function createStreams(db: Database): Promise<void> {
  await db.schema
    .createTable('log_streams')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('project_id', 'text', (column) => column.notNull().references('projects.id'))
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('engine', 'text', (column) => column.notNull())
    .addColumn('system_identifier', 'text', (column) => column.notNull())
    .addColumn('start_position', 'text', (column) => column.notNull())
    .addColumn('began_at', 'bigint', (column) => column.notNull())
    .addColumn('kept_from', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('end_cause', 'text')
    .addColumn('end_reason', 'text')
    .addColumn('ended_at', 'bigint')
    .addColumn('stored_position', 'text')
    .addColumn('covered_until', 'bigint')
    .addColumn('interval_sequence', 'integer')
    .addColumn('interval_position', 'text')
    .addColumn('interval_at', 'bigint')
    .addColumn('behind_bytes', 'bigint')
    .addColumn('warning', 'text')
    .addColumn('trouble', 'text')
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .execute();
  // list, oldest first
  await db.schema
    .createIndex('log_streams_by_instance')
    .on('log_streams')
    .columns(['instance_id', 'began_at', 'id'])
    .execute();
  // One server has one log, so one stream of it is followed at a time.
  await db.schema
    .createIndex('log_streams_instance_id')
    .unique()
    .on('log_streams')
    .column('instance_id')
    .where(sql.ref('status'), '=', sql.lit('following'))
    .execute();
}
