import type { Backup, BackupStatus } from '../../model/backup.ts';
import { engineTitles } from '../../model/engine-kind.ts';
import type { Job } from '../../model/job.ts';
import { showLogPosition } from '../../model/log-position.ts';
import { majorVersion } from '../../model/server-version.ts';
import type {
  BackupDetailWire,
  BackupWire,
  backupStatusWords,
  CreateBackupResponse,
} from '../schema/backup.ts';
import { formatWireTime } from '../wire-time.ts';
import { presentResult } from './maintenance.ts';

type StatusWord = (typeof backupStatusWords)[number];

const statusWords: Readonly<Record<BackupStatus, StatusWord>> = {
  building: 'BUILDING',
  completed: 'COMPLETED',
  failed: 'FAILED',
  deleting: 'DELETING',
};

export const backupStatuses: Readonly<Record<StatusWord, BackupStatus>> = {
  BUILDING: 'building',
  COMPLETED: 'completed',
  FAILED: 'failed',
  DELETING: 'deleting',
};

export function presentNewBackup(backup: Backup): CreateBackupResponse {
  return { backup: presentCore(backup), job_id: backup.jobId };
}

/** `backup`: also one of which the catalog knows no job. */
export function presentBackup(backup: Omit<Backup, 'jobId'>): BackupWire {
  const { state, engine, serverVersion } = backup;
  const endedAt = state.status === 'building' ? null : state.endedAt;
  return {
    ...presentCore(backup),
    size: state.status === 'completed' ? toKilobytes(state.totals.logicalBytes) : 0,
    end_time: endedAt ? formatWireTime(endedAt) : '',
    datastore: { type: engineTitles[engine], version: majorVersion(engine, serverVersion) },
    associated_with_ddm: false,
  };
}

/** `job`: the one that took it; null when the catalog does not know it any more. */
export function presentBackupDetail(backup: Backup, job: Job | null): BackupDetailWire {
  const { state } = backup;
  const result = job && presentResult(job);
  const done = state.status === 'completed' ? state : null;
  return {
    ...presentBackup(backup),
    instance_name: backup.instanceName,
    server_version: backup.serverVersion,
    job_id: backup.jobId,
    start_position: done && showLogPosition(done.startPosition),
    stop_position: done && showLogPosition(done.stopPosition),
    totals: done && {
      file_count: done.totals.fileCount,
      logical_bytes: done.totals.logicalBytes,
      new_bytes: done.totals.newBytes,
      stored_bytes: done.totals.storedBytes,
    },
    failure_reason: state.status === 'failed' ? state.reason : null,
    taken: result?.kind === 'backup' ? result : null,
  };
}

function presentCore(backup: Omit<Backup, 'jobId'>): CreateBackupResponse['backup'] {
  return {
    id: backup.id,
    instance_id: backup.instanceId,
    name: backup.name,
    description: backup.description,
    databases: backup.databases.map((name) => ({ name })),
    begin_time: formatWireTime(backup.startedAt),
    status: statusWords[backup.state.status],
    type: backup.type,
  };
}

/** Whole kB, rounded up: something is never nothing. */
function toKilobytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 1024);
}
