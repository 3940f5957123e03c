// The report of a restore, kept as the result of its job.
import type { RecoveryReport } from '../../engines/engine.ts';
import type { BackupId } from '../../model/ids.ts';
import type { JobPayload } from '../../model/job.ts';
import { formatLogPosition } from '../../model/log-position.ts';
import type { RestorePayload } from '../job-payloads.ts';
import { describeTarget } from './unreachable-target.ts';

export type RestoreReport = {
  readonly backupId: BackupId;
  /** The stream whose log was replayed; null for the backup as it is. */
  readonly streamId: string | null;
  /** What was asked for, in words. */
  readonly target: string;
  /** Where replay ended; null when nothing was replayed. */
  readonly position: string | null;
  /** The branch of the log that the server writes now; null when it is that of the backup. */
  readonly timeline: number | null;
  /** Epoch milliseconds of the last transaction that was replayed. */
  readonly lastCommitAt: number | null;
};

export function describeRecovery(
  { backupId, recovery }: Pick<RestorePayload, 'backupId' | 'recovery'>,
  recovered: RecoveryReport | null,
): JobPayload {
  const report: RestoreReport = {
    backupId,
    streamId: recovery?.log?.streamId ?? null,
    target: describeTarget(recovery?.target ?? { kind: 'end-of-backup', backupId }),
    position: recovered && formatLogPosition(recovered.position),
    timeline: recovered?.timeline ?? null,
    lastCommitAt: recovered?.lastCommitAt?.getTime() ?? null,
  };
  return report;
}
