// The kinds of job a worker can run, with what must not run beside what on one instance
// (`api-contract` §6.4 in words: one backup at a time; deleting and pruning wait for backups, since
// a backup may refer to what is being deleted).
import type { JobKind } from '../jobs/job-kind.ts';
import { runBackup } from './backup/run-backup.ts';
import { runBackupDeletion } from './backup/run-backup-deletion.ts';
import { runCheck } from './check/run-check.ts';
import { runRemoval } from './instances/run-removal.ts';
import type { JobKindName } from './job-payloads.ts';
import { jobAttemptsMax, jobKinds } from './job-payloads.ts';
import { recordFailure } from './jobs/record-failure.ts';
import { runKeyRotation } from './keys/run-key-rotation.ts';
import { runOffsiteCopy } from './offsite/run-offsite-copy.ts';
import { runPrune, runPrunePlan } from './prune/run-prune.ts';
import { runRestore } from './restore/run-restore.ts';
import { runRestoreInPlace } from './restore/run-restore-in-place.ts';
import type { WorkerParts } from './worker-parts.ts';

const hourMs = 3_600_000;
const { backup, deleteBackup, restore, restoreInPlace, removeInstance, prune, planPrune } =
  jobKinds;
const { copyOffsite } = jobKinds;
const { check, rotateKey } = jobKinds;

export function createJobKinds(parts: WorkerParts): Readonly<Record<JobKindName, JobKind>> {
  return {
    [backup]: {
      conflictsWith: [backup, deleteBackup, removeInstance],
      attemptsMax: jobAttemptsMax[backup],
      ceilingMs: 48 * hourMs,
      run: (job, context) => runBackup(job, context, parts),
      onFailed,
    },
    [deleteBackup]: {
      conflictsWith: [backup, deleteBackup, removeInstance],
      attemptsMax: jobAttemptsMax[deleteBackup],
      ceilingMs: 6 * hourMs,
      run: (job, context) => runBackupDeletion(job, context, parts),
      onFailed,
    },
    [restore]: {
      conflictsWith: [restore, removeInstance],
      attemptsMax: jobAttemptsMax[restore],
      ceilingMs: 48 * hourMs,
      run: (job, context) => runRestore(job, context, parts),
      onFailed,
    },
    [restoreInPlace]: {
      conflictsWith: [backup, restore, restoreInPlace, removeInstance],
      attemptsMax: jobAttemptsMax[restoreInPlace],
      ceilingMs: 48 * hourMs,
      run: (job, context) => runRestoreInPlace(job, context, parts),
      onFailed,
    },
    [removeInstance]: {
      conflictsWith: [backup, deleteBackup, restore, restoreInPlace, removeInstance],
      attemptsMax: jobAttemptsMax[removeInstance],
      ceilingMs: hourMs,
      run: (job, context) => runRemoval(job, context, parts),
      onFailed,
    },
    [prune]: {
      conflictsWith: [backup, deleteBackup, removeInstance, prune],
      attemptsMax: jobAttemptsMax[prune],
      ceilingMs: 12 * hourMs,
      run: (job, context) => runPrune(job, context, parts),
      onFailed,
    },
    [planPrune]: {
      // It only reads.
      conflictsWith: [],
      attemptsMax: jobAttemptsMax[planPrune],
      ceilingMs: 6 * hourMs,
      run: (job, context) => runPrunePlan(job, context, parts),
      onFailed,
    },
    [check]: {
      // It only reads; two at once would read twice.
      conflictsWith: [check],
      attemptsMax: jobAttemptsMax[check],
      ceilingMs: 48 * hourMs,
      run: (job, context) => runCheck(job, context, parts),
      onFailed,
    },
    [copyOffsite]: {
      // A backup that is deleted meanwhile is skipped, so deletions need not wait for it; and a
      // backup that waits for a deletion must not wait for a slow line.
      conflictsWith: [copyOffsite],
      attemptsMax: jobAttemptsMax[copyOffsite],
      ceilingMs: 7 * 24 * hourMs,
      run: (job, context) => runOffsiteCopy(job, context, parts),
      onFailed,
    },
    [rotateKey]: {
      // A backup that runs goes on with the key that it began with.
      conflictsWith: [deleteBackup, removeInstance, rotateKey],
      attemptsMax: jobAttemptsMax[rotateKey],
      ceilingMs: hourMs,
      run: (job, context) => runKeyRotation(job, context, parts),
      onFailed,
    },
  };
}

const onFailed: JobKind['onFailed'] = (job, { error }, tx, at) => recordFailure(job, error, tx, at);
