import type { RecordedError } from './errors.ts';
import type { InstanceId, JobId, ProjectId } from './ids.ts';

export const jobStatuses = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof jobStatuses)[number];

/** Bytes done may exceed the total: a server's own estimate is what the total rests on. */
export type JobProgress = {
  /** What is being done, for a reader: `reading`, `committing`, … */
  readonly phase: string;
  readonly doneBytes: number;
  /** Null when nobody knows yet. */
  readonly totalBytes: number | null;
  readonly bytesPerSecond: number;
};

/** A JSON object; what a kind of job puts there is parsed by the operation that runs it. */
export type JobPayload = Readonly<Record<string, unknown>>;

export type Job = {
  readonly id: JobId;
  readonly projectId: ProjectId;
  readonly kind: string;
  readonly pool: string;
  /** The instance that the job is about: conflicts are counted on it. */
  readonly instanceId: InstanceId | null;
  readonly instanceName: string;
  readonly payload: JobPayload;
  readonly status: JobStatus;
  /** 0 while it never ran. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly cancelRequested: boolean;
  readonly leaseOwner: string | null;
  readonly leaseExpiresAt: Date | null;
  /** Grows with every claim; a write that carries an older one is refused. */
  readonly fence: number;
  readonly progress: JobProgress | null;
  readonly error: RecordedError | null;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  /** What the job has found, for kinds that find something; each kind has its own shape. */
  readonly result: JobPayload | null;
};
