// The report of a restore, kept as the result of its job.
import type { RecoveryReport, RecoveryTransaction } from '../../engines/engine.ts';
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
  /** What the target was resolved to; null where the engine does not tell. */
  readonly transaction: RecoveryTransaction | null;
  /** Ids of those that were left out. */
  readonly skippedTransactions: readonly string[];
};

/** What is kept of a statement: the catalog is no place for a row of megabytes. */
const statementCharactersMax = 1000;

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
    transaction: shorten(recovered?.transaction ?? null),
    skippedTransactions: recovery?.skippedTransactions ?? [],
  };
  return report;
}

function shorten(transaction: RecoveryTransaction | null): RecoveryTransaction | null {
  if (!transaction?.statement || transaction.statement.length <= statementCharactersMax) {
    return transaction;
  }
  const statement = `${transaction.statement.slice(0, statementCharactersMax)}…`;
  return { ...transaction, statement };
}
