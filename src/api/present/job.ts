import { engineTitles } from '../../model/engine-kind.ts';
import type { Instance } from '../../model/instance.ts';
import type { Job, JobStatus } from '../../model/job.ts';
import { jobStatuses } from '../../model/job.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { JobKindName } from '../../operations/job-payloads.ts';
import type { JobDetailWire, JobWire } from '../schema/job.ts';
import type { TaskWire } from '../schema/task-list.ts';
import { formatWireTime } from '../wire-time.ts';
import { instanceStatusOf } from './instance.ts';
import { presentResult } from './maintenance.ts';

/** Clients know three words only; a job that waits counts as running. */
const statusWords: Readonly<Record<JobStatus, JobWire['status']>> = {
  queued: 'Running',
  running: 'Running',
  succeeded: 'Completed',
  failed: 'Failed',
  cancelled: 'Failed',
};

/** No client matches on these names; they are for people. */
export const jobNames: Readonly<Record<JobKindName, string>> = {
  backup: 'CreateBackup',
  'delete-backup': 'DeleteBackup',
  'restore-new-instance': 'RestoreToNewInstance',
  'restore-in-place': 'RestoreToExistingInstance',
  'restore-databases': 'RestoreDatabases',
  'restore-parts': 'RestoreDatabasesOrTables',
  'remove-instance': 'DeleteInstance',
  prune: 'PruneBackups',
  'plan-prune': 'PlanPrune',
  check: 'CheckBackups',
  'copy-offsite': 'CopyOffsite',
  'rotate-key': 'RotateDataKey',
  'archive-log': 'ArchiveLog',
  'trim-log': 'TrimLog',
  'set-log-interval': 'SetIncrementalBackupPolicy',
  'extend-locks': 'ExtendLocks',
};

/** Null: no job has that name. */
export function kindOfName(name: string): string | null {
  return Object.entries(jobNames).find(([, known]) => known === name)?.[0] ?? null;
}

/** The statuses that a client knows by that word. */
export function statusesOf(word: JobWire['status']): readonly JobStatus[] {
  return jobStatuses.filter((status) => statusWords[status] === word);
}

function nameOf({ kind }: Job): string {
  return new Map<string, string>(Object.entries(jobNames)).get(kind) ?? kind;
}

/** Of a restore, what is known of the instance by now; null: it is gone, or nobody asked. */
export function presentJob(job: Job, target: Instance | null): JobWire {
  const status = statusWords[job.status];
  return {
    id: job.id,
    name: nameOf(job),
    status,
    created: formatWireTime(job.createdAt),
    ...(job.endedAt ? { ended: formatWireTime(job.endedAt) } : {}),
    process: status === 'Running' ? presentShare(job) : '',
    instance: { id: job.instanceId ?? '', name: job.instanceName },
    entities: target ? presentEntities(target) : {},
    ...(status === 'Failed' ? { fail_reason: presentFailure(job) } : {}),
  };
}

export function presentTask(job: Job, instance: Instance | null): TaskWire {
  const {
    id,
    name,
    status,
    process,
    created,
    ended = '',
    fail_reason = '',
  } = presentJob(job, null);
  return {
    ...{ id, name, status, process, fail_reason },
    instance_id: job.instanceId ?? '',
    instance_name: job.instanceName,
    instance_status: instance ? instanceStatusOf(instance) : '',
    order_id: '',
    create_time: created,
    end_time: ended,
  };
}

function presentEntities({ id, engine, connection, serverVersion }: Instance): JobWire['entities'] {
  return {
    instance: {
      endpoint: connection ? `${connection.host}:${connection.port}` : '',
      type: 'Single',
      datastore: {
        type: engineTitles[engine],
        version: majorVersion(engine, serverVersion ?? ''),
      },
    },
    resource_ids: [id],
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
    result: presentResult(job),
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
