// What a restore asks of a planned recovery, whoever plans it: that the engine can do what is asked
// for, and that there is a way to it.
import { engineTitles } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { parsePlace } from '../../model/log-position.ts';
import type { RecoveryOffer, RecoveryTarget } from '../../model/recovery-target.ts';
import { recoveryOffers, skippedTransactionsMax } from '../../model/recovery-target.ts';
import type { RecoveryFacts, RecoveryPlan } from './recovery-plan.ts';
import { planRecovery } from './recovery-plan.ts';
import { describeTarget, unreachableError } from './unreachable-target.ts';

type LogTarget = Exclude<RecoveryTarget, { readonly kind: 'end-of-backup' }>;

/** Pure. @throws invalid (recovery-not-offered; restore-time-unreachable with what can be had) */
export function requirePlan(
  facts: RecoveryFacts,
  target: LogTarget,
  skippedTransactions: readonly string[],
): RecoveryPlan {
  const [known] = facts.backups;
  if (known) assertOffered(target, skippedTransactions, known.stopPosition);
  const planned = planRecovery(facts, target);
  if (planned.outcome === 'unreachable') throw unreachableError(target, planned.reaches);
  if (planned.plan.log === null) assertNoneSkipped(skippedTransactions);
  return planned.plan;
}

/** Where nothing is replayed. @throws invalid */
export function assertNoneSkipped(skippedTransactions: readonly string[]): void {
  if (skippedTransactions.length === 0) return;
  throw refused('transactions are left out of what is replayed on top of a backup', {
    hint: 'nothing is replayed here: name a later time, or a place in the log',
  });
}

function assertOffered(
  target: LogTarget,
  skippedTransactions: readonly string[],
  known: LogPosition,
): void {
  const { engine } = known;
  const offer: RecoveryOffer = recoveryOffers[engine];
  const title = engineTitles[engine];
  if (!offer.kinds.includes(target.kind)) {
    throw refused(`the log of ${title} cannot be searched for ${describeTarget(target)}`, {
      hint: `it can be for: ${offer.kinds.map((kind) => kindWords[kind]).join(', ')}`,
    });
  }
  if (target.kind === 'log-position' && !parsePlace(target.position, known)) {
    throw refused(`${target.position} is no position in the log of ${title}`, {
      hint: `like ${offer.positionExample}`,
    });
  }
  if ('timeline' in target && target.timeline !== null && !offer.hasTimelines) {
    throw refused(`the log of ${title} has no timelines`, { hint: 'leave the timeline out' });
  }
  if (skippedTransactions.length > 0 && !offer.canSkip) {
    throw refused(`${title} cannot leave transactions out of what it replays`, {
      hint: 'restore to right before the first of them',
    });
  }
  if (skippedTransactions.length > skippedTransactionsMax) {
    const count = skippedTransactions.length;
    throw refused(`${count} transactions are too many to be left out`, {
      hint: `at most ${skippedTransactionsMax}`,
    });
  }
}

const kindWords = {
  'end-of-backup': 'the end of a backup',
  time: 'a time',
  'log-position': 'a position',
  gtid: 'a global transaction id',
  name: 'a restore point',
  xid: 'a transaction id',
  latest: 'its end',
} as const satisfies Record<RecoveryTarget['kind'], string>;

function refused(text: string, { hint }: { readonly hint: string }): CairnError {
  return new CairnError('invalid', text, { reason: 'recovery-not-offered', hint });
}
