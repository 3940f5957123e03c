import { CairnError } from '../../model/errors.ts';
import type { LockFinding, LockReport } from '../../repository/repository.ts';

/** @throws repository-damaged when somebody else has touched what backups need */
export function assertUntouched(report: LockReport | null): void {
  if (!report) return;
  const [first] = report.findings;
  const hint =
    'nothing that was locked runs out meanwhile; read the storage as it was before with at=… ' +
    '(docs/object-lock.md, “The way back”)';
  if (first) {
    const count = report.findings.length;
    const others = count === 1 ? '' : `, and ${count - 1} more`;
    const text = `object ${first.object} is needed and ${texts[first.problem]}${others}`;
    throw new CairnError('repository-damaged', text, { hint, cause: report.damage ?? undefined });
  }
  if (!report.damage) return;
  throw new CairnError('repository-damaged', report.damage.message, {
    ...{ hint, cause: report.damage, details: report.damage.details },
  });
}

const texts = {
  deleted: 'was deleted by somebody else',
  overwritten: 'was overwritten by somebody else',
  missing: 'is missing',
} as const satisfies Record<LockFinding['problem'], string>;
