// Unique indexes are called `<table>_<column>_<column>`: `catalog-errors.ts` relies on it to tell
// which one a write has violated. An index exists only where a query or a rule needs it; the
// comment says which.
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { CatalogSchema } from '../schema.ts';

type Database = Kysely<CatalogSchema>;

export async function createInitialTables(db: Database): Promise<void> {
  await createIdentity(db);
  await createInstances(db);
  await createBackups(db);
  await createBackupCounts(db);
  await createJobs(db);
  await db.schema
    .createTable('settings')
    .addColumn('key', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute();
}

async function createIdentity(db: Database): Promise<void> {
  await db.schema
    .createTable('projects')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('domain_id', 'text', (column) => column.notNull())
    .addUniqueConstraint('projects_name', ['name'])
    .execute();
  await db.schema
    .createTable('users')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('domain_id', 'text', (column) => column.notNull())
    .addColumn('domain_name', 'text', (column) => column.notNull())
    .addColumn('password_hash', 'text', (column) => column.notNull())
    .addUniqueConstraint('users_domain_name_name', ['domain_name', 'name'])
    .execute();
  await db.schema
    .createTable('access_keys')
    .addColumn('access_key', 'text', (column) => column.primaryKey())
    .addColumn('wrapped_secret_key', 'text', (column) => column.notNull())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .execute();
  await db.schema
    .createTable('tokens')
    .addColumn('hash', 'text', (column) => column.primaryKey())
    .addColumn('user_id', 'text', (column) => column.notNull().references('users.id'))
    .addColumn('project_id', 'text', (column) => column.references('projects.id'))
    .addColumn('issued_at', 'bigint', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .execute();
  // deleteExpiredTokens
  await db.schema.createIndex('tokens_expiry').on('tokens').column('expires_at').execute();
}

async function createInstances(db: Database): Promise<void> {
  await db.schema
    .createTable('instances')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('project_id', 'text', (column) => column.notNull().references('projects.id'))
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('engine', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('failure_reason', 'text')
    .addColumn('connection', 'text')
    .addColumn('wrapped_password', 'text')
    .addColumn('server_version', 'text')
    .addColumn('system_identifier', 'text')
    .addColumn('managed', 'text')
    .addColumn('pool', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('instances_project_id_name', ['project_id', 'name'])
    .execute();
  // list, newest first
  await db.schema
    .createIndex('instances_newest')
    .on('instances')
    .columns(['project_id', 'created_at', 'id'])
    .execute();
}

/** A backup outlives its instance, so it refers to the project only. */
async function createBackups(db: Database): Promise<void> {
  await db.schema
    .createTable('backups')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('project_id', 'text', (column) => column.notNull().references('projects.id'))
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('instance_name', 'text', (column) => column.notNull())
    .addColumn('engine', 'text', (column) => column.notNull())
    .addColumn('server_version', 'text', (column) => column.notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('databases', 'text', (column) => column.notNull())
    .addColumn('job_id', 'text', (column) => column.notNull())
    .addColumn('started_at', 'bigint', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('failure_reason', 'text')
    .addColumn('file_count', 'bigint')
    .addColumn('logical_bytes', 'bigint')
    .addColumn('new_bytes', 'bigint')
    .addColumn('stored_bytes', 'bigint')
    .addColumn('start_position', 'text')
    .addColumn('stop_position', 'text')
    .execute();
  await createBackupIndexes(db);
}

async function createBackupIndexes(db: Database): Promise<void> {
  const order = ['started_at', 'id'] as const;
  // list by project alone, and with the filters that may match few of very many rows
  const lists = {
    backups_newest: ['project_id', ...order],
    backups_newest_by_status: ['project_id', 'status', ...order],
    backups_newest_by_type: ['project_id', 'type', ...order],
    backups_newest_by_instance: ['instance_id', ...order],
    // also findLatestCompleted, among very many incremental ones
    backups_newest_by_instance_type: ['instance_id', 'type', ...order],
  } as const;
  for (const [name, columns] of Object.entries(lists)) {
    await db.schema
      .createIndex(name)
      .on('backups')
      .columns([...columns])
      .execute();
  }
  // The rules that two requests at the same moment could break: one name, one backup at a time.
  await db.schema
    .createIndex('backups_project_id_name')
    .unique()
    .on('backups')
    .columns(['project_id', 'name'])
    .where(sql.ref('status'), '<>', sql.lit('deleting'))
    .execute();
  await db.schema
    .createIndex('backups_instance_id')
    .unique()
    .on('backups')
    .column('instance_id')
    .where(sql.ref('status'), '=', sql.lit('building'))
    .execute();
}

async function createBackupCounts(db: Database): Promise<void> {
  const key = ['project_id', 'instance_id', 'type', 'status'] as const;
  await db.schema
    .createTable('backup_counts')
    .addColumn('project_id', 'text', (column) => column.notNull())
    .addColumn('instance_id', 'text', (column) => column.notNull())
    .addColumn('type', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('backup_count', 'bigint', (column) => column.notNull())
    .addPrimaryKeyConstraint('backup_counts_key', [...key])
    .execute();
}

/** A job is shown after its instance is gone, so it refers to the project only. */
async function createJobs(db: Database): Promise<void> {
  await db.schema
    .createTable('jobs')
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('project_id', 'text', (column) => column.notNull().references('projects.id'))
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('pool', 'text', (column) => column.notNull())
    .addColumn('instance_id', 'text')
    .addColumn('instance_name', 'text', (column) => column.notNull())
    .addColumn('payload', 'text', (column) => column.notNull())
    .addColumn('status', 'text', (column) => column.notNull())
    .addColumn('attempt', 'integer', (column) => column.notNull())
    .addColumn('attempts_max', 'integer', (column) => column.notNull())
    .addColumn('cancel_requested', 'integer', (column) => column.notNull())
    .addColumn('lease_owner', 'text')
    .addColumn('lease_expires_at', 'bigint')
    .addColumn('fence', 'bigint', (column) => column.notNull())
    .addColumn('progress', 'text')
    .addColumn('error', 'text')
    .addColumn('not_before', 'bigint', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('started_at', 'bigint')
    .addColumn('ended_at', 'bigint')
    .execute();
  const indexes = {
    // claim (the oldest queued), listAbandoned (the running)
    jobs_oldest: ['status', 'created_at', 'id'],
    // claim (what else is open on the instance), listOpen
    jobs_by_instance: ['instance_id', 'status'],
    // list, newest first
    jobs_newest: ['project_id', 'created_at', 'id'],
    jobs_newest_by_instance: ['instance_id', 'created_at', 'id'],
  } as const;
  for (const [name, columns] of Object.entries(indexes)) {
    await db.schema
      .createIndex(name)
      .on('jobs')
      .columns([...columns])
      .execute();
  }
}
