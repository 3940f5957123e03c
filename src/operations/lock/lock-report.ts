// What a round of locks has done: the result of its job.
import type { LockFinding, LockReport } from '../../repository/repository.ts';

export type StoredLockReport = {
  readonly kind: 'locks';
  readonly mode: LockReport['terms']['mode'];
  readonly days: number;
  readonly needed: number;
  readonly extended: number;
  /** At most `findingsMax`. */
  readonly findings: readonly LockFinding[];
  readonly moreFindings: number;
};

const findingsMax = 50;

export function reportLocks({ terms, needed, extended, findings }: LockReport): StoredLockReport {
  return {
    ...{ kind: 'locks', mode: terms.mode, days: terms.days, needed, extended },
    findings: findings.slice(0, findingsMax),
    moreFindings: Math.max(0, findings.length - findingsMax),
  };
}
