// What a check has found: the result of its job, and what the command line prints.
import { CairnError } from '../../model/errors.ts';
import type { BackupId } from '../../model/ids.ts';
import type { CheckFinding, CheckReport, ReadData } from '../../repository/repository.ts';

export type StoredCheckReport = Pick<
  CheckReport,
  'counts' | 'findings' | 'moreFindings' | 'foreign'
> & {
  readonly kind: 'check';
  /** Null: the pages themselves were not read. */
  readonly readData: ReadData | null;
};

/** A job's result is a row of the catalog. */
const findingsMax = 100;

export function storeReport(report: CheckReport, readData: ReadData | null): StoredCheckReport {
  const { counts, foreign } = report;
  const findings = report.findings.slice(0, findingsMax);
  const moreFindings = report.moreFindings + report.findings.length - findings.length;
  return { kind: 'check', readData, counts, findings, moreFindings, foreign };
}

export type Verdict = 'sound' | 'damaged' | 'unknown';

/** `unknown`: nothing is known to be damaged, but not everything could be looked at. */
export function verdictOf({ findings }: Pick<CheckReport, 'findings'>): Verdict {
  if (findings.some(({ kind }) => kind === 'damaged')) return 'damaged';
  return findings.length > 0 ? 'unknown' : 'sound';
}

/** Null for a sound repository. */
export function errorOf(report: StoredCheckReport): CairnError | null {
  const verdict = verdictOf(report);
  if (verdict === 'sound') return null;
  const count = report.findings.length + report.moreFindings;
  const backups = new Set<BackupId>(report.findings.flatMap(({ backupIds }) => backupIds));
  const [first] = report.findings;
  const text = `${count} objects have findings, ${backups.size} backups need them`;
  const kind = verdict === 'damaged' ? 'repository-damaged' : 'storage-unavailable';
  return new CairnError(kind, `${text}; the first: ${first?.message ?? ''}`, {
    hint: 'the result of the job lists them all',
  });
}

/** A backup that the catalog counts on and the storage does not have. */
export function missingManifest(object: string, backupId: BackupId): CheckFinding {
  return {
    ...{ kind: 'damaged', object, hint: null, backupIds: [backupId], moreBackups: 0 },
    message: `object ${object} is missing: the catalog knows its backup as completed`,
  };
}
