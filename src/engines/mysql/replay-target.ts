// Where in a sequence of transactions a recovery target lies. Pure.
//
// Transactions are in the log in the order of their commits, so a target is a cut of the sequence.
// A time of whole seconds is when the committing statement began: a transaction with a time at the
// target or behind it was certainly not committed before, and nor was any that follows. So the cut
// lies before the first such one: what is before it holds everything committed by the moment, and
// of the target's own second what was committed behind the moment, where nobody can tell them
// apart.
import { assertNever } from '../../model/assert.ts';
import { CairnError } from '../../model/errors.ts';
import { formatGtid, normalizeGtid } from '../../model/gtid-set.ts';
import { compareLogPositions, parseBinlogPlace } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import type { BinlogPosition, CommitTime, ScannedTransaction } from './binlog-scan.ts';

/** `replay-last`: it, and nothing behind it. */
export type Verdict = 'replay' | 'replay-last' | 'stop';

export type TargetRule = {
  /** Asked for one whole transaction after another, from the backup's end on. */
  readonly judge: (transaction: ScannedTransaction) => Verdict;
  /** Whether the target lies in log that ends there, when no transaction was judged to be last. */
  readonly isReachedAt: (end: BinlogPosition) => boolean;
  /** The target itself is left out: then what is behind the cut is of interest. */
  readonly isBefore: boolean;
};

/** @throws invalid when the target is none of MySQL's */
export function targetRule(target: RecoveryTarget): TargetRule {
  switch (target.kind) {
    case 'latest':
      return { judge: () => 'replay', isReachedAt: () => true, isBefore: false };
    case 'end-of-backup':
      return { judge: () => 'stop', isReachedAt: () => true, isBefore: false };
    case 'time': {
      const { at, isInclusive } = target;
      const judge = (one: ScannedTransaction): Verdict =>
        isCommittedBy(one.committed, at, isInclusive) ? 'replay' : 'stop';
      return { judge, isReachedAt: () => true, isBefore: !isInclusive };
    }
    case 'gtid':
      return gtidRule(target);
    case 'log-position':
      return positionRule(target);
    case 'name':
    case 'xid':
      throw new CairnError(
        'invalid',
        `binary logs are not searched for a target of kind ${target.kind}`,
      );
    default:
      return assertNever(target);
  }
}

export function describeTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'gtid':
      return `transaction ${target.gtid}`;
    case 'log-position':
      return `position ${target.position}`;
    default:
      return 'the target';
  }
}

/** As far as it is known: the beginning of a second where only that is. */
export function commitDate(committed: CommitTime): Date {
  const { kind } = committed;
  return new Date(kind === 'exact' ? Number(committed.micros / 1000n) : committed.seconds * 1000);
}

function isCommittedBy(committed: CommitTime, at: Date, isInclusive: boolean): boolean {
  if (committed.kind === 'not-before') return committed.seconds * 1000 < at.getTime();
  const atMicros = BigInt(at.getTime()) * 1000n;
  return isInclusive ? committed.micros <= atMicros : committed.micros < atMicros;
}

function gtidRule({
  gtid: text,
  isInclusive,
}: Extract<RecoveryTarget, { readonly kind: 'gtid' }>): TargetRule {
  const wanted = normalizeGtid(text);
  if (wanted === null) throw new CairnError('invalid', `${text} is no global transaction id`);
  const judge = ({ gtid }: ScannedTransaction): Verdict => {
    if (gtid === null || formatGtid(gtid) !== wanted) return 'replay';
    return isInclusive ? 'replay-last' : 'stop';
  };
  return { judge, isReachedAt: () => false, isBefore: !isInclusive };
}

/** A transaction that the position lies within is not replayed: its commit lies behind. */
function positionRule({
  position,
  isInclusive,
}: Extract<RecoveryTarget, { readonly kind: 'log-position' }>): TargetRule {
  const wanted = parseBinlogPlace(position);
  if (!wanted) {
    throw new CairnError('invalid', `${position} is no position in a binary log`, {
      hint: 'write it as bin.000004:337537',
    });
  }
  const judge = (one: ScannedTransaction): Verdict => {
    if (compareLogPositions(placeOf(one, one.endBytes), wanted) <= 0) return 'replay';
    const isAtIt = compareLogPositions(placeOf(one, one.startBytes), wanted) === 0;
    return isInclusive && isAtIt ? 'replay-last' : 'stop';
  };
  const isReachedAt = (end: BinlogPosition): boolean => compareLogPositions(wanted, end) <= 0;
  return { judge, isReachedAt, isBefore: !isInclusive };
}

export function placeOf({ file }: ScannedTransaction, offsetBytes: number): BinlogPosition {
  return { engine: 'mysql', file, offsetBytes, gtidSet: null };
}
