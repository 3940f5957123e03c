import type { JobDetailWire } from '../api/schema/job.ts';
import type { RestoreReportWire } from '../api/schema/maintenance.ts';
import type { RestoredFolder } from '../operations/restore/restore-to-folder.ts';

type Fact = [string, string | null];

/** Where a restore has ended. */
export function factsOfRestore(report: RestoreReportWire | null): readonly Fact[] {
  if (!report) return [];
  const { target, position, last_commit_time: lastMs } = report;
  const lastCommit = lastMs === null ? null : new Date(lastMs).toISOString();
  return [
    ['restored to', target],
    ['ended at', position],
    ['last commit', lastCommit],
    ...transactionFacts(report),
  ];
}

/** Which transaction was the last, or the first that was not replayed, and which were left out. */
export function restoreNote({ result }: Pick<JobDetailWire, 'result'>): string {
  return result?.kind === 'restore' ? formatFacts(transactionFacts(result)) : '';
}

export type RestoredDatabases = Extract<
  JobDetailWire['result'],
  { readonly kind: 'restored-databases' }
>;

/** What was restored into the instance of that name, a line each, with what people should know. */
export function databasesNote({ databases }: RestoredDatabases, instanceName: string): string {
  return databases
    .map(({ old_name, new_name, tables, rows, notes }) => {
      const counts = tables === null || rows === null ? '' : `: ${tables} tables, ${rows} rows`;
      const lines = notes.map((note) => `  ${note}\n`).join('');
      return `${old_name} is ${new_name} in ${instanceName}${counts}\n${lines}`;
    })
    .join('');
}

export function factsOfDatabases(report: RestoredDatabases | null): readonly Fact[] {
  return (report?.databases ?? []).flatMap(({ old_name, new_name, notes }): Fact[] => [
    ['restored', old_name === new_name ? old_name : `${old_name} as ${new_name}`],
    ...notes.map((note): Fact => ['', note]),
  ]);
}

/** The same of one that was not the service's. */
export function recoveryNote(
  { transaction }: NonNullable<RestoredFolder['recovered']>,
  skippedTransactions: readonly string[],
): string {
  const replayed = transaction?.isReplayed ?? false;
  const facts = transactionFacts({
    transaction: transaction && { ...transaction, replayed },
    skipped_transactions: [...skippedTransactions],
  });
  return formatFacts(facts);
}

function formatFacts(facts: readonly Fact[]): string {
  return facts.map(([name, value]) => `${name}: ${value}\n`).join('');
}

function transactionFacts({
  transaction,
  skipped_transactions: skipped,
}: Pick<RestoreReportWire, 'transaction' | 'skipped_transactions'>): readonly Fact[] {
  const facts: Fact[] = [];
  if (transaction) {
    const { id, statement, replayed } = transaction;
    const what = statement === null ? id : `${id}: ${statement.replace(/\s+/g, ' ')}`;
    facts.push([replayed ? 'last transaction' : 'stopped before', what]);
  }
  if (skipped.length > 0) facts.push(['left out', skipped.join(', ')]);
  return facts;
}
