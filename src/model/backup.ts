import type { Engine } from './engine-kind.ts';
import type { BackupId, InstanceId, JobId, ProjectId } from './ids.ts';
import type { LogPosition } from './log-position.ts';

/**
 * `manual`: on demand, full. `auto`: by schedule, full. `fragment`: differential.
 * `incremental`: a stretch of archived log.
 */
export const backupTypes = ['auto', 'manual', 'fragment', 'incremental'] as const;
export type BackupType = (typeof backupTypes)[number];

/** Each of these holds all that a restore needs, also a differential one. */
export const wholeBackupTypes = ['auto', 'manual', 'fragment'] as const;

/** Those that go by retention: asked for by a policy, or steps between two full backups. */
export const expiringTypes = ['auto', 'fragment'] as const;

export const backupStatuses = ['building', 'completed', 'failed', 'deleting'] as const;
export type BackupStatus = (typeof backupStatuses)[number];

/** What a finished backup amounts to. All sizes in bytes. */
export type BackupTotals = {
  readonly fileCount: number;
  /** Bytes of all files as the server has them: what a restore writes. */
  readonly logicalBytes: number;
  /** Bytes of pages that no earlier backup of the instance had at the same place. */
  readonly newBytes: number;
  /** Bytes that this backup added to the storage, all objects counted. */
  readonly storedBytes: number;
};

export type BackupState =
  | { readonly status: 'building' }
  | {
      readonly status: 'completed';
      readonly endedAt: Date;
      readonly totals: BackupTotals;
      readonly startPosition: LogPosition;
      readonly stopPosition: LogPosition;
    }
  | { readonly status: 'failed'; readonly endedAt: Date; readonly reason: string }
  | { readonly status: 'deleting'; readonly endedAt: Date | null };

/**
 * From where on log is replayed on top of a backup. Databases of SQL Server are backed up one after
 * another, each with a log of its own: the first one needs its log from the beginning on.
 */
export function replayStart({
  startPosition,
  stopPosition,
}: Pick<CompletedState, 'startPosition' | 'stopPosition'>): LogPosition {
  return startPosition.engine === 'sqlserver' ? startPosition : stopPosition;
}

type CompletedState = Extract<BackupState, { readonly status: 'completed' }>;

export type Backup = {
  readonly id: BackupId;
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  /** The instance's name when the backup was asked for: it survives the instance. */
  readonly instanceName: string;
  readonly engine: Engine;
  readonly serverVersion: string;
  readonly name: string;
  readonly description: string;
  readonly type: BackupType;
  /** Empty: the whole server. */
  readonly databases: readonly string[];
  readonly jobId: JobId;
  readonly startedAt: Date;
  readonly state: BackupState;
};
