// Backups of type `incremental`: rows of `backups` that also say which stream they are a stretch
// of. There are hundreds a day, so they come and go many at a time and without jobs of their own.
import type { Backup } from '../model/backup.ts';
import type { BackupId, LogStreamId } from '../model/ids.ts';
import { moveCount } from './backup-counts.ts';
import { toBackup, toBackupRow } from './backup-rows.ts';
import { rulesOf } from './backups.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';

export interface IntervalRecords {
  /** @throws conflict when the name is taken */
  insert(backup: Backup, streamId: LogStreamId): Promise<void>;
  /** Oldest first. */
  list(streamId: LogStreamId, limit: number): Promise<readonly Backup[]>;
  /** Those of the stream that are there. */
  findKnown(streamId: LogStreamId, ids: readonly BackupId[]): Promise<ReadonlySet<BackupId>>;
  delete(streamId: LogStreamId, ids: readonly BackupId[]): Promise<void>;
}

/** A statement takes 999 values in the oldest SQLite. */
const idsPerStatement = 500;

export function intervalRecords(database: CatalogDatabase): IntervalRecords {
  const { db } = database;
  return {
    async insert(backup, streamId) {
      const row = { ...toBackupRow(backup), log_stream_id: streamId };
      await inTransaction(database, async (tx) => {
        const insert = tx.db.insertInto('backups').values(row);
        await explainConflict(insert.execute(), rulesOf(backup));
        await moveCount(tx.db, null, row);
      });
    },
    async list(streamId, limit) {
      const rows = await db
        .selectFrom('backups')
        .selectAll()
        .where('log_stream_id', '=', streamId)
        .orderBy('started_at')
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map(toBackup);
    },
    async findKnown(streamId, ids) {
      const known = new Set<BackupId>();
      for (const some of slices(ids)) {
        const rows = await db
          .selectFrom('backups')
          .select('id')
          .where('log_stream_id', '=', streamId)
          .where('id', 'in', some)
          .execute();
        for (const { id } of rows) known.add(id as BackupId);
      }
      return known;
    },
    async delete(streamId, ids) {
      await inTransaction(database, async (tx) => {
        for (const some of slices(ids)) {
          const rows = await tx.db
            .deleteFrom('backups')
            .where('log_stream_id', '=', streamId)
            .where('id', 'in', some)
            .returning(['project_id', 'instance_id', 'type', 'status'])
            .execute();
          for (const row of rows) await moveCount(tx.db, row, null);
        }
      });
    },
  };
}

function* slices(ids: readonly BackupId[]): Generator<BackupId[]> {
  for (let at = 0; at < ids.length; at += idsPerStatement) {
    yield ids.slice(at, at + idsPerStatement);
  }
}
