import type { Job, JobStatus } from '../../model/job.ts';
import type { JobDetailWire, JobWire } from '../schema/job.ts';
import { formatWireTime } from '../wire-time.ts';

/** Clients know three words only; a job that waits counts as running. */
const statusWords: Readonly<Record<JobStatus, JobWire['status']>> = {
  queued: 'Running',
  running: 'Running',
  succeeded: 'Completed',
  failed: 'Failed',
  cancelled: 'Failed',
};

/** No client matches on these names; they are for people. */
const jobNames: Readonly<Record<string, string>> = {
  backup: 'CreateBackup',
  'delete-backup': 'DeleteBackup',
  'restore-new-instance': 'RestoreToNewInstance',
  'remove-instance': 'DeleteInstance',
};

export function presentJob(job: Job): JobWire {
  const status = statusWords[job.status];
  return {
    id: job.id,
    name: jobNames[job.kind] ?? job.kind,
    status,
    created: formatWireTime(job.createdAt),
    ...(job.endedAt ? { ended: formatWireTime(job.endedAt) } : {}),
    process: status === 'Running' ? presentShare(job) : '',
    instance: { id: job.instanceId ?? '', name: job.instanceName },
    entities: {},
    ...(status === 'Failed' ? { fail_reason: presentFailure(job) } : {}),
  };
}

export function presentJobDetail(job: Job): JobDetailWire {
  const { error } = job;
  const progress = progressOf(job);
  const backupId = job.payload['backupId'];
  return {
    id: job.id,
    kind: job.kind,
    status: job.status,
    instance: job.instanceId === null ? null : { id: job.instanceId, name: job.instanceName },
    backup_id: typeof backupId === 'string' ? backupId : null,
    attempt: job.attempt,
    attempts_max: job.attemptsMax,
    cancel_requested: job.cancelRequested,
    progress: progress && {
      phase: progress.phase,
      done_bytes: progress.doneBytes,
      total_bytes: progress.totalBytes,
      bytes_per_second: Math.round(progress.bytesPerSecond),
    },
    error: error && { kind: error.kind, message: error.message, hint: error.hint },
    created: formatWireTime(job.createdAt),
    started: job.startedAt && formatWireTime(job.startedAt),
    ended: job.endedAt && formatWireTime(job.endedAt),
  };
}

/** A job that waits for its next attempt has nothing to show for the last one. */
function progressOf(job: Job): Job['progress'] {
  return job.status === 'queued' ? null : job.progress;
}

/** The total is an estimate that may be overrun: 100% is said only by `Completed`. */
function presentShare(job: Job): string {
  const progress = progressOf(job);
  if (!progress?.totalBytes) return '0%';
  return `${Math.min(99, Math.floor((100 * progress.doneBytes) / progress.totalBytes))}%`;
}

function presentFailure({ status, error }: Job): string {
  if (!error) return status === 'cancelled' ? 'cancelled' : 'failed';
  return error.hint === null ? error.message : `${error.message}; ${error.hint}`;
}
