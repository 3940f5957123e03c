// A closed stretch of log as the backup that the catalog shows.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { JobId } from '../../model/ids.ts';
import type { LogInterval, LogStreamRecord } from '../../repository/repository.ts';
import { freeName } from '../rebuild/free-name.ts';

/** With a number after its name when that is taken by now. */
export async function insertInterval(
  tx: CatalogSession,
  {
    record,
    interval,
    jobId,
  }: {
    readonly record: LogStreamRecord;
    readonly interval: LogInterval;
    readonly jobId: JobId;
  },
): Promise<void> {
  const { projectId, instanceId, instanceName, engine, facts, streamId } = record;
  const { files, logicalBytes, storedBytes, startPosition } = interval;
  const backup: Backup = {
    id: interval.backupId,
    ...{ projectId, instanceId, instanceName, engine, jobId },
    serverVersion: facts.serverVersion,
    name: await freeName(interval.name, (name) => tx.backups.isNameTaken(projectId, name)),
    description: '',
    type: 'incremental',
    databases: [],
    startedAt: interval.startAt,
    state: {
      status: 'completed',
      endedAt: interval.endAt,
      totals: { fileCount: files.length, logicalBytes, newBytes: logicalBytes, storedBytes },
      startPosition,
      stopPosition: interval.endPosition,
    },
  };
  await tx.intervals.insert(backup, streamId);
}
