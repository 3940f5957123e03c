// What of a stored log is replayed on top of a backup: decided, and proven to be without a gap,
// before anything is started. Pure: facts in, a plan out. Nothing behind the target is looked at.
import { CairnError } from '../../model/errors.ts';
import type { GtidDialect } from '../../model/gtid-set.ts';
import { formatGtid, normalizeGtid } from '../../model/gtid-set.ts';
import { compareLogPositions, describePlace, parseBinlogPlace } from '../../model/log-position.ts';
import type { Recovery, RecoveryReport } from '../engine.ts';
import type { BinlogPosition, LogFact, ScannedTransaction } from './binlog-scan.ts';
import { LogProof } from './replay-proof.ts';
import type { TargetRule } from './replay-target.ts';
import { commitDate, describeTarget, placeOf, targetRule } from './replay-target.ts';

/** Both count from the beginning of the file; the end is not in it. */
export type ByteRange = { readonly startBytes: number; readonly endBytes: number };

export type PlannedFile = ByteRange & {
  readonly name: string;
  /** In it, in order: what is not replayed. */
  readonly omitted: readonly ByteRange[];
};

export type ReplayPlan = {
  readonly files: readonly PlannedFile[];
  readonly transactionCount: number;
  /** Where replay ends, behind all that lies before it in the log. */
  readonly position: BinlogPosition;
  /** The last one that is replayed; null when none is. */
  readonly last: ScannedTransaction | null;
  /** The first one behind the target; null where the log ends there. */
  readonly next: ScannedTransaction | null;
  readonly isBefore: boolean;
};

export type PlanInput = Pick<Recovery, 'target' | 'skippedTransactions'> & {
  readonly dialect: GtidDialect;
  /** Where the backup ends. */
  readonly start: BinlogPosition;
  readonly end: BinlogPosition;
};

/**
 * Takes no more of the facts than it needs. @throws log-gap, naming the file, when the log is not
 * whole; invalid when the target or a skipped transaction is not in it, or when something that
 * would be replayed may be in the backup already
 */
export async function planReplay(
  facts: AsyncIterable<LogFact> | Iterable<LogFact>,
  input: PlanInput,
): Promise<ReplayPlan> {
  const rule = targetRule(input.target);
  assertBehindBackup(input);
  const proof = new LogProof(input.start, input.dialect);
  const draft = new PlanDraft(input);
  let lastBefore: ScannedTransaction | null = null;
  let next: ScannedTransaction | null = null;
  let isReached = false;
  for await (const fact of facts) {
    if (fact.kind !== 'transaction' || !fact.isWhole || isBefore(fact, input.start)) {
      proof.take(fact);
      if (fact.kind === 'transaction' && fact.isWhole) lastBefore = fact;
      else if (fact.kind === 'transaction') draft.omit(fact);
      continue;
    }
    const verdict = isEndOfBackup(lastBefore, draft, rule) ? 'stop' : rule.judge(fact);
    isReached = verdict !== 'replay';
    if (verdict === 'stop') {
      proof.stopBefore(fact);
      next = fact;
      break;
    }
    proof.take(fact);
    draft.add(fact);
    if (isReached) break;
  }
  isReached ||= rule.isReachedAt(input.end) || isEndOfBackup(lastBefore, draft, rule);
  if (!isReached) throw notReached(input);
  return draft.finish({ next, gtidSet: proof.gtidSet, isBefore: rule.isBefore });
}

/** The transaction that was asked for is the last one that the backup holds. */
function isEndOfBackup(
  lastBefore: ScannedTransaction | null,
  draft: PlanDraft,
  rule: TargetRule,
): boolean {
  return draft.isEmpty && lastBefore !== null && rule.judge(lastBefore) === 'replay-last';
}

/** For the report: what the target came to. */
export function resolvedTransaction({
  last,
  next,
  isBefore,
}: Pick<ReplayPlan, 'last' | 'next' | 'isBefore'>): RecoveryReport['transaction'] {
  const shown = isBefore ? (next ?? last) : last;
  if (!shown?.gtid) return null;
  return {
    id: formatGtid(shown.gtid),
    statement: shown.statement,
    isReplayed: shown === last,
  };
}

export function lastCommitAt({ last }: Pick<ReplayPlan, 'last'>): Date | null {
  return last && commitDate(last.committed);
}

function isBefore({ file, endBytes }: ScannedTransaction, start: BinlogPosition): boolean {
  return file === start.file && endBytes <= start.offsetBytes;
}

function assertBehindBackup({ target, start }: PlanInput): void {
  const place = target.kind === 'log-position' ? parseBinlogPlace(target.position) : null;
  if (!place || compareLogPositions(start, place) <= 0) return;
  const text = `${describeTarget(target)} lies before the end of the backup`;
  throw new CairnError('invalid', `${text}, ${describePlace(start)}`, {
    hint: 'start from an older backup',
  });
}

function notReached({ target, start, end }: PlanInput): CairnError {
  const range = `between the end of the backup, ${describePlace(start)}, and ${describePlace(end)}`;
  return new CairnError('invalid', `${describeTarget(target)} is not in the log ${range}`, {
    hint: 'start from an older backup, or name a time',
  });
}

/** Tables without transactions: see `outside-snapshot.ts`. */
function doubledError(transaction: ScannedTransaction, what: string): CairnError {
  const place = describePlace(placeOf(transaction, transaction.startBytes));
  const id = transaction.gtid ? `${formatGtid(transaction.gtid)} at ${place}` : `at ${place}`;
  const why =
    'it came while the backup read tables without transactions, which may hold it already';
  return new CairnError('invalid', `transaction ${id} ${what}: ${why}`, {
    hint:
      'restore from another full backup, or to the end of this one; to prevent it, let full ' +
      'backups be physical, or ALTER TABLE … ENGINE=InnoDB',
  });
}

/** Collects what is replayed. */
class PlanDraft {
  readonly #files: PlannedFile[] = [];
  readonly #skipped: Set<string>;
  readonly #start: BinlogPosition;
  #last: ScannedTransaction | null = null;
  #position: BinlogPosition;
  #count = 0;

  constructor({ start, skippedTransactions }: PlanInput) {
    this.#start = start;
    this.#position = start;
    this.#skipped = new Set(skippedTransactions.map(normalizeSkipped));
  }

  /** Nothing behind the backup's end so far. */
  get isEmpty(): boolean {
    return this.#position === this.#start;
  }

  add(transaction: ScannedTransaction): void {
    this.#position = placeOf(transaction, transaction.endBytes);
    const id = transaction.gtid && formatGtid(transaction.gtid);
    if (id !== null && this.#skipped.delete(id)) {
      this.omit(transaction);
      return;
    }
    if (transaction.doubled !== null) throw doubledError(transaction, transaction.doubled);
    this.#extend(transaction, []);
    this.#last = transaction;
    this.#count++;
  }

  /** Of what is not replayed only the place counts. */
  omit({ file, startBytes, endBytes }: ScannedTransaction): void {
    this.#extend({ file, startBytes, endBytes }, [{ startBytes, endBytes }]);
  }

  finish(cut: {
    readonly next: ScannedTransaction | null;
    readonly gtidSet: string | null;
    readonly isBefore: boolean;
  }): ReplayPlan {
    const [missing] = this.#skipped;
    if (missing !== undefined) {
      const text = `transaction ${missing} is not between the end of the backup and the target`;
      throw new CairnError('invalid', `${text}: it cannot be left out`, {
        hint: 'an older backup may end before it',
      });
    }
    const { next, gtidSet, isBefore } = cut;
    return {
      files: this.#files,
      transactionCount: this.#count,
      position: { ...this.#position, gtidSet: gtidSet ?? this.#position.gtidSet },
      last: this.#last,
      ...{ next, isBefore },
    };
  }

  #extend(
    { file, startBytes, endBytes }: ByteRange & { readonly file: string },
    omitted: readonly ByteRange[],
  ): void {
    const current = this.#files.at(-1);
    if (current?.name !== file) {
      this.#files.push({ name: file, startBytes, endBytes, omitted });
      return;
    }
    const all = [...current.omitted, ...omitted];
    this.#files[this.#files.length - 1] = { ...current, endBytes, omitted: all };
  }
}

function normalizeSkipped(text: string): string {
  const gtid = normalizeGtid(text);
  if (gtid !== null) return gtid;
  throw new CairnError('invalid', `${text} is no global transaction id`);
}
