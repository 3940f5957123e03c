// A backup between its row and the model.
import type { Backup, BackupState, BackupTotals } from '../model/backup.ts';
import { backupStatuses, backupTypes } from '../model/backup.ts';
import { engines } from '../model/engine-kind.ts';
import type { BackupId, InstanceId, JobId, ProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { formatLogPosition, parseLogPosition } from '../model/log-position.ts';
import {
  damagedRow,
  readDate,
  readDateOrNull,
  readNumber,
  readTexts,
  readWord,
} from './row-values.ts';
import type { BackupRow } from './schema.ts';

export type BackupStateColumns = Pick<BackupRow, 'status'> & Partial<BackupRow>;

export function toBackupRow(backup: Backup): BackupRow {
  return {
    id: backup.id,
    project_id: backup.projectId,
    instance_id: backup.instanceId,
    instance_name: backup.instanceName,
    engine: backup.engine,
    server_version: backup.serverVersion,
    name: backup.name,
    description: backup.description,
    type: backup.type,
    databases: JSON.stringify(backup.databases),
    job_id: backup.jobId,
    started_at: backup.startedAt.getTime(),
    ended_at: null,
    failure_reason: null,
    file_count: null,
    logical_bytes: null,
    new_bytes: null,
    stored_bytes: null,
    start_position: null,
    stop_position: null,
    log_stream_id: null,
    ...toStateColumns(backup.state),
  };
}

/** The columns that a state sets; a backup that is being deleted keeps what it amounted to. */
export function toStateColumns(state: BackupState): BackupStateColumns {
  const { status } = state;
  switch (status) {
    case 'building':
      return { status, ended_at: null, failure_reason: null };
    case 'completed':
      return {
        status,
        ended_at: state.endedAt.getTime(),
        failure_reason: null,
        file_count: state.totals.fileCount,
        logical_bytes: state.totals.logicalBytes,
        new_bytes: state.totals.newBytes,
        stored_bytes: state.totals.storedBytes,
        start_position: formatLogPosition(state.startPosition),
        stop_position: formatLogPosition(state.stopPosition),
      };
    case 'failed':
      return { status, ended_at: state.endedAt.getTime(), failure_reason: state.reason };
    case 'deleting':
      return { status, ended_at: state.endedAt?.getTime() ?? null };
  }
}

export function toBackup(row: BackupRow): Backup {
  return {
    id: row.id as BackupId,
    projectId: row.project_id as ProjectId,
    instanceId: row.instance_id as InstanceId,
    instanceName: row.instance_name,
    engine: readWord(engines, row.engine, 'backups.engine'),
    serverVersion: row.server_version,
    name: row.name,
    description: row.description,
    type: readWord(backupTypes, row.type, 'backups.type'),
    databases: readTexts(row.databases, 'backups.databases'),
    jobId: row.job_id as JobId,
    startedAt: new Date(row.started_at),
    state: toState(row),
  };
}

function toState(row: BackupRow): BackupState {
  const status = readWord(backupStatuses, row.status, 'backups.status');
  switch (status) {
    case 'building':
      return { status };
    case 'completed':
      return {
        status,
        endedAt: readDate(row.ended_at, 'backups.ended_at'),
        totals: toTotals(row),
        startPosition: toPosition(row.start_position, 'backups.start_position'),
        stopPosition: toPosition(row.stop_position, 'backups.stop_position'),
      };
    case 'failed':
      return {
        status,
        endedAt: readDate(row.ended_at, 'backups.ended_at'),
        reason: row.failure_reason ?? '',
      };
    case 'deleting':
      return { status, endedAt: readDateOrNull(row.ended_at, 'backups.ended_at') };
  }
}

function toTotals(row: BackupRow): BackupTotals {
  return {
    fileCount: readNumber(row.file_count, 'backups.file_count'),
    logicalBytes: readNumber(row.logical_bytes, 'backups.logical_bytes'),
    newBytes: readNumber(row.new_bytes, 'backups.new_bytes'),
    storedBytes: readNumber(row.stored_bytes, 'backups.stored_bytes'),
  };
}

function toPosition(text: string | null, place: string): LogPosition {
  const position = text === null ? null : parseLogPosition(text);
  if (!position) throw damagedRow(place);
  return position;
}
