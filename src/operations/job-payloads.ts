// The kinds of job that operations request and run, and what each carries. A payload is JSON in the
// catalog, so it is parsed again by the recipe that runs it.
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { parseBackupId, parseInstanceId } from '../model/ids.ts';
import type { JobPayload } from '../model/job.ts';
import type { RequestedRecovery } from './restore/recovery-payload.ts';
import { formatRecovery, parseRecovery } from './restore/recovery-payload.ts';

export const jobKinds = {
  backup: 'backup',
  deleteBackup: 'delete-backup',
  restore: 'restore-new-instance',
  restoreInPlace: 'restore-in-place',
  restoreDatabases: 'restore-databases',
  restoreParts: 'restore-parts',
  removeInstance: 'remove-instance',
  prune: 'prune',
  planPrune: 'plan-prune',
  check: 'check',
  copyOffsite: 'copy-offsite',
  rotateKey: 'rotate-key',
  archiveLog: 'archive-log',
  trimLog: 'trim-log',
  setLogInterval: 'set-log-interval',
  extendLocks: 'extend-locks',
} as const;
export type JobKindName = (typeof jobKinds)[keyof typeof jobKinds];

/** How often each kind may be tried before it counts as failed. */
export const jobAttemptsMax = {
  backup: 3,
  'delete-backup': 5,
  'restore-new-instance': 2,
  'restore-in-place': 3,
  'restore-databases': 3,
  'restore-parts': 2,
  'remove-instance': 5,
  prune: 3,
  'plan-prune': 3,
  check: 2,
  'copy-offsite': 3,
  'rotate-key': 3,
  // Each is a worker that died; the scheduler asks for another when they are used up.
  'archive-log': 100,
  'trim-log': 3,
  'set-log-interval': 3,
  'extend-locks': 3,
} as const satisfies Record<JobKindName, number>;

export type BackupPayload = { readonly backupId: BackupId };
/** `sourceInstanceId` may name an instance that is gone; its backups stay. */
export type RestorePayload = {
  readonly backupId: BackupId;
  readonly sourceInstanceId: InstanceId;
  readonly targetInstanceId: InstanceId;
  /** 0: any free port. */
  readonly port: number;
  /** Null: the backup as it is. */
  readonly recovery: RequestedRecovery | null;
};
/** The target's data is replaced. */
export type RestoreInPlacePayload = Omit<RestorePayload, 'port'> & {
  /** The folder of the server that the target had when this was asked for. */
  readonly replacedHomeDir: string;
};
/** `readData` null: the pages themselves are not read; an empty seed: that of the job. */
export type CheckPayload = {
  readonly readData: { readonly percent: number; readonly seed: string } | null;
};
/** What the scheduler saw when it asked: the copy holds that backup when the job has succeeded. */
export type CopyOffsitePayload = {
  readonly newestBackupId: BackupId;
  /** Whether what has outlived the policy leaves the copy: not while the clock is in doubt. */
  readonly removeOlder: boolean;
};
export type LogIntervalPayload = { readonly minutes: number };
export type RemoveInstancePayload = { readonly instanceId: InstanceId };

export function parseBackupPayload(payload: JobPayload): BackupPayload {
  return { backupId: requireId(payload, 'backupId', parseBackupId) };
}

export function parseRestorePayload(payload: JobPayload): RestorePayload {
  const port = payload['port'];
  return {
    backupId: requireId(payload, 'backupId', parseBackupId),
    sourceInstanceId: requireId(payload, 'sourceInstanceId', parseInstanceId),
    targetInstanceId: requireId(payload, 'targetInstanceId', parseInstanceId),
    port: typeof port === 'number' && Number.isInteger(port) ? port : 0,
    recovery: parseRecovery(payload['recovery']),
  };
}

export function formatRestorePayload(payload: RestorePayload | RestoreInPlacePayload): JobPayload {
  return { ...payload, recovery: payload.recovery && formatRecovery(payload.recovery) };
}

export function parseRestoreInPlacePayload(payload: JobPayload): RestoreInPlacePayload {
  const { port: _, ...restore } = parseRestorePayload(payload);
  const replacedHomeDir = payload['replacedHomeDir'];
  if (typeof replacedHomeDir === 'string') return { ...restore, replacedHomeDir };
  throw new CairnError('bug', 'job payload has no valid replacedHomeDir');
}

export function parseCheckPayload(payload: JobPayload): CheckPayload {
  const readData = payload['readData'];
  if (readData === null) return { readData };
  if (typeof readData === 'object' && readData && 'percent' in readData && 'seed' in readData) {
    const { percent, seed } = readData;
    if (typeof percent === 'number' && typeof seed === 'string') {
      return { readData: { percent, seed } };
    }
  }
  throw new CairnError('bug', 'job payload has no valid readData');
}

export function parseCopyOffsitePayload(payload: JobPayload): CopyOffsitePayload {
  return {
    newestBackupId: requireId(payload, 'newestBackupId', parseBackupId),
    removeOlder: payload['removeOlder'] === true,
  };
}

export function parseLogIntervalPayload(payload: JobPayload): LogIntervalPayload {
  const minutes = payload['minutes'];
  if (typeof minutes === 'number' && Number.isInteger(minutes)) return { minutes };
  throw new CairnError('bug', 'job payload has no valid minutes');
}

export function parseRemoveInstancePayload(payload: JobPayload): RemoveInstancePayload {
  return { instanceId: requireId(payload, 'instanceId', parseInstanceId) };
}

function requireId<T>(payload: JobPayload, key: string, parse: (text: string) => T | null): T {
  const value = payload[key];
  const id = typeof value === 'string' ? parse(value) : null;
  if (id === null) throw new CairnError('bug', `job payload has no valid ${key}`);
  return id;
}
