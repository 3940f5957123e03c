import type { InstanceId, LogStreamId, ProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { formatLogPosition } from '../model/log-position.ts';
import type { LogStream, LogStreamProgress, LogStreamState } from '../model/log-stream.ts';
import { explainConflict } from './catalog-errors.ts';
import type { CatalogDatabase } from './dialect.ts';
import {
  toLogStream,
  toLogStreamRow,
  toProgressColumns,
  toStateColumns,
} from './log-stream-rows.ts';

export interface LogStreamRecords {
  /** Of one instance, oldest first. */
  list(instanceId: InstanceId): Promise<readonly LogStream[]>;
  /** The one that goes on. */
  findFollowing(instanceId: InstanceId): Promise<LogStream | null>;
  /** Instances that have streams, in the order of their ids; null: from the first. */
  listInstances(
    after: InstanceId | null,
    limit: number,
  ): Promise<readonly { readonly projectId: ProjectId; readonly instanceId: InstanceId }[]>;
  /** @throws conflict when another stream of the instance is followed */
  insert(stream: LogStream): Promise<void>;
  setProgress(id: LogStreamId, progress: LogStreamProgress, at: Date): Promise<void>;
  setState(id: LogStreamId, state: LogStreamState, at: Date): Promise<void>;
  /** Written before anything is deleted, so that nobody counts on what is leaving. */
  setKeptFrom(id: LogStreamId, position: LogPosition): Promise<void>;
  delete(id: LogStreamId): Promise<void>;
}

export function logStreamRecords(database: CatalogDatabase): LogStreamRecords {
  return { ...readingRecords(database), ...writingRecords(database) };
}

function readingRecords({
  db,
}: CatalogDatabase): Pick<LogStreamRecords, 'list' | 'findFollowing' | 'listInstances'> {
  return {
    async list(instanceId) {
      const rows = await db
        .selectFrom('log_streams')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .orderBy('began_at')
        .orderBy('id')
        .execute();
      return rows.map(toLogStream);
    },
    async findFollowing(instanceId) {
      const row = await db
        .selectFrom('log_streams')
        .selectAll()
        .where('instance_id', '=', instanceId)
        .where('status', '=', 'following')
        .executeTakeFirst();
      return row ? toLogStream(row) : null;
    },
    async listInstances(after, limit) {
      const rows = await db
        .selectFrom('log_streams')
        .select(['project_id', 'instance_id'])
        .distinct()
        .where('instance_id', '>', after ?? '')
        .orderBy('instance_id')
        .limit(limit)
        .execute();
      return rows.map(({ project_id, instance_id }) => ({
        projectId: project_id as ProjectId,
        instanceId: instance_id as InstanceId,
      }));
    },
  };
}

function writingRecords({
  db,
}: CatalogDatabase): Pick<
  LogStreamRecords,
  'insert' | 'setProgress' | 'setState' | 'setKeptFrom' | 'delete'
> {
  const update = (id: LogStreamId) => db.updateTable('log_streams').where('id', '=', id);
  return {
    async insert(stream: LogStream) {
      const insert = db.insertInto('log_streams').values(toLogStreamRow(stream));
      await explainConflict(insert.execute(), {
        log_streams_instance_id: `the log of instance ${stream.instanceId} is followed already`,
      });
    },
    async setProgress(id: LogStreamId, progress: LogStreamProgress, at: Date) {
      const changes = toProgressColumns(progress);
      await update(id)
        .set({ ...changes, updated_at: at.getTime() })
        .execute();
    },
    async setState(id: LogStreamId, state: LogStreamState, at: Date) {
      await update(id)
        .set({ ...toStateColumns(state), updated_at: at.getTime() })
        .execute();
    },
    async setKeptFrom(id, position) {
      await update(id)
        .set({ kept_from: formatLogPosition(position) })
        .execute();
    },
    async delete(id: LogStreamId) {
      await db.deleteFrom('log_streams').where('id', '=', id).execute();
    },
  };
}
