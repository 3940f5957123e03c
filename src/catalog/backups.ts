import type { SqlBool } from 'kysely';
import { sql } from 'kysely';
import type { Backup } from '../model/backup.ts';
import { wholeBackupTypes } from '../model/backup.ts';
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../model/ids.ts';
import { findCount, moveCount } from './backup-counts.ts';
import { toBackup, toBackupRow, toStateColumns } from './backup-rows.ts';
import type { BackupFilter, BackupRecords } from './catalog.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { countRows, readNewest } from './paging.ts';
import type { BackupRow } from './schema.ts';

export function backupRecords(database: CatalogDatabase): BackupRecords {
  return { ...readingRecords(database), ...writingRecords(database) };
}

function readingRecords({
  db,
  traits,
}: CatalogDatabase): Omit<BackupRecords, 'insert' | 'setState' | 'delete'> {
  const find = async (projectId: ProjectId, id: BackupId): Promise<Backup | null> => {
    const row = await db
      .selectFrom('backups')
      .selectAll()
      .where('id', '=', id)
      .where('project_id', '=', projectId)
      .$if(traits.hasRowLocks && db.isTransaction, (query) => query.forUpdate())
      .executeTakeFirst();
    return row ? toBackup(row) : null;
  };
  return {
    find,
    async get(projectId, id) {
      const backup = await find(projectId, id);
      if (!backup) throw missingBackup(id);
      return backup;
    },
    list: (filter, page) => listBackups({ db, traits }, filter, page),
    async listInstanceIds(projectId) {
      const rows = await db
        .selectFrom('backup_counts')
        .select('instance_id')
        .distinct()
        .where('project_id', '=', projectId)
        .where('backup_count', '>', 0)
        .orderBy('instance_id')
        .execute();
      return rows.map((row) => row.instance_id as InstanceId);
    },
    async isNameTaken(projectId, name) {
      const row = await db
        .selectFrom('backups')
        .select('id')
        .where('project_id', '=', projectId)
        .where('name', '=', name)
        .where('status', '<>', 'deleting')
        .limit(1)
        .executeTakeFirst();
      return row !== undefined;
    },
    async findBuilding(instanceId) {
      const row = await db
        .selectFrom('backups')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .where('status', '=', 'building')
        .limit(1)
        .executeTakeFirst();
      return row ? toBackup(row) : null;
    },
    async findLatestCompleted(instanceId, databases = []) {
      const row = await db
        .selectFrom('backups')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .where('status', '=', 'completed')
        .where('type', 'in', wholeBackupTypes)
        .$if(databases !== 'any', (query) =>
          query.where('databases', '=', JSON.stringify(databases)),
        )
        .orderBy('started_at', 'desc')
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row ? toBackup(row) : null;
    },
  };
}

/** Each keeps the counts in step, in one transaction. */
function writingRecords(
  database: CatalogDatabase,
): Pick<BackupRecords, 'insert' | 'setState' | 'delete'> {
  return {
    async insert(backup) {
      const row = toBackupRow(backup);
      await inTransaction(database, async (tx) => {
        const insert = tx.db.insertInto('backups').values(row);
        await explainConflict(insert.execute(), rulesOf(backup));
        await moveCount(tx.db, null, row);
      });
    },
    async setState(id, state) {
      await inTransaction(database, async (tx) => {
        const before = await readLocked(tx, id);
        if (!before) throw missingBackup(id);
        const changes = toStateColumns(state);
        await tx.db.updateTable('backups').set(changes).where('id', '=', id).execute();
        if (before.status === changes.status) return;
        await moveCount(tx.db, before, { ...before, status: changes.status });
      });
    },
    async delete(id) {
      await inTransaction(database, async (tx) => {
        const before = await readLocked(tx, id);
        if (!before) return;
        await tx.db.deleteFrom('backups').where('id', '=', id).execute();
        await moveCount(tx.db, before, null);
      });
    },
  };
}

async function listBackups(
  database: CatalogDatabase,
  filter: BackupFilter,
  page: { readonly offset: number; readonly limit: number },
) {
  const matching = selectMatching(database, filter);
  const rows = await readNewest(matching.selectAll(), 'started_at', page);
  const total = (await findCount(database.db, filter)) ?? (await countRows(matching));
  return { items: rows.map(toBackup), total };
}

const wholeServer = JSON.stringify([]);

function selectMatching({ db, traits }: CatalogDatabase, filter: BackupFilter) {
  const { projectId, instanceId, backupId, type, status, startedFrom, startedTo } = filter;
  const { isWholeServer } = filter;
  let query = db.selectFrom('backups');
  if (instanceId !== undefined) query = query.where('instance_id', '=', instanceId);
  const isPlain = instanceId === undefined || traits.hasStatistics;
  query = isPlain ? query.where('project_id', '=', projectId) : query.where(isOfProject(projectId));
  if (backupId !== undefined) query = query.where('id', '=', backupId);
  if (type !== undefined) query = query.where('type', '=', type);
  if (status !== undefined) query = query.where('status', '=', status);
  if (isWholeServer) query = query.where('databases', '=', wholeServer);
  if (startedFrom) query = query.where('started_at', '>=', startedFrom.getTime());
  if (startedTo) query = query.where('started_at', '<=', startedTo.getTime());
  return query;
}

/**
 * As an expression, so that no index of the project is taken for it: with `project_id` and `type`
 * given, SQLite would walk all of the project's backups of the type for those of one instance (58
 * ms instead of 1 ms). PostgreSQL must see it plainly, or it expects few rows and sorts them all
 * (42 ms instead of 5 ms).
 */
function isOfProject(projectId: ProjectId) {
  return sql<SqlBool>`coalesce(${sql.ref('project_id')}, '') = ${projectId}`;
}

async function readLocked(tx: CatalogDatabase, id: BackupId): Promise<BackupRow | undefined> {
  return await tx.db
    .selectFrom('backups')
    .selectAll()
    .where('id', '=', id)
    .$if(tx.traits.hasRowLocks, (query) => query.forUpdate())
    .executeTakeFirst();
}

function missingBackup(id: string): CairnError {
  return new CairnError('not-found', `backup ${id} does not exist`);
}

/** What the unique indexes of the table mean. */
export function rulesOf(backup: Backup): Record<string, string> {
  return {
    backups_project_id_name: `a backup named ${backup.name} exists in the project`,
    backups_instance_id: `a backup of instance ${backup.instanceName} is running`,
  };
}
