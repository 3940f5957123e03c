// A job between its row and the model.
import type { RecordedError } from '../model/errors.ts';
import { errorKinds } from '../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../model/ids.ts';
import type { Job, JobProgress } from '../model/job.ts';
import { jobStatuses } from '../model/job.ts';
import type { NewJob } from './catalog.ts';
import {
  readDateOrNull,
  readNumber,
  readNumberOrNull,
  readObject,
  readText,
  readTextOrNull,
  readWord,
} from './row-values.ts';
import type { JobRow } from './schema.ts';

export function toNewJobRow(job: NewJob): JobRow {
  return {
    id: job.id,
    project_id: job.projectId,
    kind: job.kind,
    pool: job.pool,
    instance_id: job.instanceId,
    instance_name: job.instanceName,
    payload: JSON.stringify(job.payload),
    status: 'queued',
    attempt: 0,
    attempts_max: job.attemptsMax,
    cancel_requested: 0,
    lease_owner: null,
    lease_expires_at: null,
    fence: 0,
    progress: null,
    error: null,
    not_before: job.createdAt.getTime(),
    created_at: job.createdAt.getTime(),
    started_at: null,
    ended_at: null,
    result: null,
  };
}

export function toJob(row: JobRow): Job {
  return {
    id: row.id as JobId,
    projectId: row.project_id as ProjectId,
    kind: row.kind,
    pool: row.pool,
    instanceId: row.instance_id as InstanceId | null,
    instanceName: row.instance_name,
    payload: readObject(row.payload, 'jobs.payload'),
    status: readWord(jobStatuses, row.status, 'jobs.status'),
    attempt: row.attempt,
    attemptsMax: row.attempts_max,
    cancelRequested: row.cancel_requested !== 0,
    leaseOwner: row.lease_owner,
    leaseExpiresAt: readDateOrNull(row.lease_expires_at, 'jobs.lease_expires_at'),
    fence: row.fence,
    progress: row.progress === null ? null : toProgress(row.progress),
    error: row.error === null ? null : toRecordedError(row.error),
    createdAt: new Date(row.created_at),
    startedAt: readDateOrNull(row.started_at, 'jobs.started_at'),
    endedAt: readDateOrNull(row.ended_at, 'jobs.ended_at'),
    result: row.result === null ? null : readObject(row.result, 'jobs.result'),
  };
}

function toProgress(text: string): JobProgress {
  const place = 'jobs.progress';
  const value = readObject(text, place);
  return {
    phase: readText(value['phase'], place),
    doneBytes: readNumber(value['doneBytes'], place),
    totalBytes: readNumberOrNull(value['totalBytes'], place),
    bytesPerSecond: readNumber(value['bytesPerSecond'], place),
  };
}

function toRecordedError(text: string): RecordedError {
  const place = 'jobs.error';
  const value = readObject(text, place);
  return {
    kind: readWord(errorKinds, value['kind'], place),
    message: readText(value['message'], place),
    hint: readTextOrNull(value['hint'], place),
  };
}
