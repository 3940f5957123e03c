// Whether a backup of the log goes on where the one before ended, and if not, why: another tool has
// taken a link of the chain, the recovery model was SIMPLE for a while, or the database was
// restored (SQL Server documentation, "Apply transaction log backups", "backupset"). Pure.
import { CairnError } from '../../model/errors.ts';
import type { BackupRecord } from './backup-record.ts';
import { formatLsn } from './lsn.ts';

/** What is known of the time behind a backup of ours. */
export type LinkContext = {
  /** The history of the database since, whoever took what. */
  readonly records: readonly BackupRecord[];
  readonly isOwn: (record: BackupRecord) => boolean;
};

export function isLinked(before: BackupRecord, next: BackupRecord): boolean {
  return (
    next.familyId === before.familyId &&
    next.firstForkId === before.lastForkId &&
    next.firstLsn === before.lastLsn
  );
}

/** A log-gap that names the database, what has happened and what follows. */
export function explainBreak(
  before: BackupRecord,
  next: BackupRecord,
  context: LinkContext,
): CairnError {
  if (next.familyId !== before.familyId) {
    return gap(before, 'another database has taken its name');
  }
  if (next.firstForkId !== before.lastForkId) {
    return gap(before, 'it was restored to an earlier state');
  }
  const foreign = explainForeign(before, context);
  if (foreign !== null) return foreign;
  const [from, to] = [formatLsn(before.lastLsn), formatLsn(next.firstLsn)];
  const text = `what it logged between ${from} and ${to} is in no backup`;
  return gap(before, `${text}: its recovery model may have been SIMPLE for a while`);
}

/** The same of a backup of the log by somebody else, with its who and when; null: there is none. */
export function explainForeign(
  before: BackupRecord,
  { records, isOwn }: LinkContext,
): CairnError | null {
  const foreign = records.find((record) => {
    const isLink = record.type === 'log' && !record.isCopyOnly && !isOwn(record);
    return isLink && record.setId > before.setId;
  });
  if (foreign === undefined) return null;
  const { userName, device, finishedLocal } = foreign;
  const who = userName ?? 'somebody';
  const where = device ?? 'an unknown device';
  const text = `${who} has backed its log up to ${where} at ${finishedLocal} of the server's clock`;
  return gap(before, text, '; let Cairn alone back up the log, or others with COPY_ONLY');
}

function gap(before: BackupRecord, what: string, advice = ''): CairnError {
  const text = `the log of ${before.database} cannot go on: ${what}`;
  return new CairnError('log-gap', text, {
    hint: `the archive begins anew, which needs a full backup${advice}`,
    details: { afterBackup: before.id, afterLsn: formatLsn(before.lastLsn) },
  });
}
