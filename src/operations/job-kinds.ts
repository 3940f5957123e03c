// The kinds of job a worker can run, with what must not run beside what on one instance
// (`api-contract` §6.4 in words: one backup at a time; deleting and pruning wait for backups, since
// a backup may refer to what is being deleted).
import type { JobContext, JobKind, JobLane } from '../jobs/job-kind.ts';
import type { Job } from '../model/job.ts';
import { runBackup } from './backup/run-backup.ts';
import { runBackupDeletion } from './backup/run-backup-deletion.ts';
import { runCheck } from './check/run-check.ts';
import { runRemoval } from './instances/run-removal.ts';
import type { JobKindName } from './job-payloads.ts';
import { jobAttemptsMax, jobKinds } from './job-payloads.ts';
import { recordFailure } from './jobs/record-failure.ts';
import { runKeyRotation } from './keys/run-key-rotation.ts';
import { runLockExtension } from './lock/run-lock-extension.ts';
import { setLogInterval } from './log-archive/log-interval.ts';
import { runLogArchive } from './log-archive/run-log-archive.ts';
import { runLogTrim } from './log-archive/run-log-trim.ts';
import { runDatabaseRestore } from './logical/run-database-restore.ts';
import { runPartsRestore } from './logical/run-parts-restore.ts';
import { runOffsiteCopy } from './offsite/run-offsite-copy.ts';
import { runPrune, runPrunePlan } from './prune/run-prune.ts';
import { runRestore } from './restore/run-restore.ts';
import { runRestoreInPlace } from './restore/run-restore-in-place.ts';
import type { WorkerParts } from './worker-parts.ts';

const hourMs = 3_600_000;
const { backup, deleteBackup, restore, restoreInPlace, removeInstance } = jobKinds;
const { restoreDatabases, restoreParts } = jobKinds;
const intoRunning = [restoreDatabases, restoreParts];
const { prune, planPrune, check, copyOffsite, rotateKey, extendLocks } = jobKinds;
const { archiveLog, trimLog, setLogInterval: setInterval } = jobKinds;

type Recipe = (job: Job, context: JobContext, parts: WorkerParts) => Promise<void>;

export function createJobKinds(parts: WorkerParts): Readonly<Record<JobKindName, JobKind>> {
  const define = (
    name: JobKindName,
    run: Recipe,
    ceilingMs: number,
    conflictsWith: readonly JobKindName[],
    lane: JobLane = 'data',
  ): JobKind => ({
    ...{ conflictsWith, ceilingMs, lane, onFailed },
    attemptsMax: jobAttemptsMax[name],
    run: (job, context) => run(job, context, parts),
  });
  return {
    [backup]: define(backup, runBackup, 48 * hourMs, [backup, deleteBackup, removeInstance]),
    [deleteBackup]: define(deleteBackup, runBackupDeletion, 6 * hourMs, [
      ...[backup, deleteBackup, removeInstance],
    ]),
    [restore]: define(restore, runRestore, 48 * hourMs, [restore, removeInstance]),
    [restoreInPlace]: define(restoreInPlace, runRestoreInPlace, 48 * hourMs, [
      ...[backup, restore, restoreInPlace, ...intoRunning, removeInstance],
    ]),
    [removeInstance]: define(removeInstance, runRemoval, hourMs, [
      ...[backup, deleteBackup, restore, restoreInPlace, ...intoRunning, removeInstance],
    ]),
    // It adds to a server that runs, beside everything but what takes the server away.
    [restoreDatabases]: define(restoreDatabases, runDatabaseRestore, 48 * hourMs, [
      ...[restoreDatabases, restoreParts, restoreInPlace, removeInstance],
    ]),
    [restoreParts]: define(restoreParts, runPartsRestore, 48 * hourMs, [
      ...[restoreDatabases, restoreParts, restoreInPlace, removeInstance],
    ]),
    [prune]: define(prune, runPrune, 12 * hourMs, [backup, deleteBackup, removeInstance, prune]),
    // It only reads.
    [planPrune]: define(planPrune, runPrunePlan, 6 * hourMs, []),
    // It only reads; two at once would read twice.
    [check]: define(check, runCheck, 48 * hourMs, [check]),
    // A backup that is deleted meanwhile is skipped, so deletions need not wait for it; and a
    // backup that waits for a deletion must not wait for a slow line.
    [copyOffsite]: define(copyOffsite, runOffsiteCopy, 7 * 24 * hourMs, [copyOffsite]),
    // A backup that runs goes on with the key that it began with.
    [rotateKey]: define(rotateKey, runKeyRotation, hourMs, [
      ...[deleteBackup, removeInstance, rotateKey],
    ]),
    // A backup that leaves meanwhile would look as if somebody else had hidden it.
    [extendLocks]: define(extendLocks, runLockExtension, 12 * hourMs, [
      ...[deleteBackup, removeInstance, extendLocks],
    ]),
    // It ends by itself before its ceiling, and gives way to what it must not run beside.
    [archiveLog]: define(
      ...([archiveLog, runLogArchive, 25 * hourMs] as const),
      [archiveLog, removeInstance, restoreInPlace],
      'standing',
    ),
    // Nothing is trimmed that a restore which runs may still read: it looks for itself.
    [trimLog]: define(trimLog, runLogTrim, 6 * hourMs, [trimLog, removeInstance]),
    [setInterval]: define(setInterval, setLogInterval, hourMs, [removeInstance]),
  };
}

const onFailed: JobKind['onFailed'] = (job, { error }, tx, at) => recordFailure(job, error, tx, at);
