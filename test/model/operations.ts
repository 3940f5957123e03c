// What may happen to a few instances that share a repository, as plain data: a list of operations
// replays the same story, and any part of it is a story too. Numbers pick from what there is at
// that moment.
import type { Fault } from './faulty-storage.ts';
import { faultKinds, faultMethods } from './faulty-storage.ts';
import type { LogStep } from './model-log.ts';
import type { Seeded } from './seeded.ts';

export const instanceCount = 3;
export const changes = [
  ...['write', 'write', 'write', 'zero', 'grow', 'truncate', 'create', 'remove', 'resize'],
  'tail',
] as const;

export type Operation = { readonly instance: number } & (
  | { readonly kind: 'change'; readonly change: (typeof changes)[number]; readonly seed: number }
  | {
      readonly kind: 'backup';
      readonly seed: number;
      readonly fault: Fault | null;
      /** Give up after so many files. */
      readonly filesMax: number | null;
      /** Whether the id of a failed attempt is used again. */
      readonly again: boolean;
      /** Whether no attempt will follow when this one fails. */
      readonly isFinal: boolean;
    }
  /** Pick -1 is the latest backup. */
  | { readonly kind: 'delete'; readonly pick: number; readonly fault: Fault | null }
  | { readonly kind: 'prune'; readonly fault: Fault | null }
  | { readonly kind: 'restore'; readonly pick: number; readonly fault: Fault }
  | {
      readonly kind: 'log';
      readonly step: LogStep;
      readonly seed: number;
      readonly fault: Fault | null;
    }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'check' }
);

/** How a story goes on, after so many operations. */
export function nextOperations(seeded: Seeded, number: number): readonly Operation[] {
  if (seeded.isOneIn(8)) return archivedLog(seeded, number);
  return seeded.isOneIn(25) ? interruptedBackup(seeded, number) : [nextOperation(seeded, number)];
}

/** An attempt that fails late, things that happen until the next attempt, and that attempt. */
function interruptedBackup(seeded: Seeded, number: number): Operation[] {
  const instance = seeded.below(instanceCount);
  const kind = seeded.pick(['error', 'crash', 'lost-answer', 'late'] as const);
  const method = seeded.pick(['flush', 'list', 'createExclusive', 'publish'] as const);
  const attempt = { kind: 'backup', instance, filesMax: null, again: true } as const;
  const call = method === 'createExclusive' ? 0 : 1 + seeded.below(4);
  const operations: Operation[] = [
    { ...attempt, seed: number, isFinal: seeded.isOneIn(4), fault: { kind, method, call } },
  ];
  for (let i = seeded.below(3); i > 0; i--) {
    const change = seeded.pick(changes);
    operations.push({ kind: 'change', instance, change, seed: number + i });
  }
  if (seeded.isOneIn(2)) operations.push({ kind: 'delete', instance, pick: -1, fault: null });
  if (seeded.isOneIn(2)) operations.push({ kind: 'prune', instance, fault: null });
  return [...operations, { ...attempt, seed: number + 9, isFinal: false, fault: null }];
}

/** Log of one instance, as it comes: pieces, the whole file now and then, intervals, removals. */
function archivedLog(seeded: Seeded, number: number): Operation[] {
  const instance = seeded.below(instanceCount);
  const steps = ['append', 'append', 'append', 'append', 'whole', 'whole', 'interval'] as const;
  const count = 1 + seeded.below(8);
  return Array.from({ length: count }, (_, index) => ({
    ...({ kind: 'log', instance, seed: number + index } as const),
    step: seeded.isOneIn(15) ? 'remove' : seeded.pick(steps),
    fault: seeded.isOneIn(3) ? someFault(seeded) : null,
  }));
}

function nextOperation(seeded: Seeded, number: number): Operation {
  const instance = seeded.below(instanceCount);
  if (seeded.isOneIn(100)) return { kind: 'check', instance };
  const dice = seeded.below(100);
  if (dice < 70) {
    return { kind: 'change', instance, change: seeded.pick(changes), seed: number };
  }
  if (dice < 85) {
    return {
      ...{ kind: 'backup', instance, seed: number, fault: maybeFault(seeded) },
      filesMax: seeded.isOneIn(6) ? seeded.below(8) : null,
      again: !seeded.isOneIn(4),
      isFinal: seeded.isOneIn(4),
    };
  }
  const pick = seeded.below(1000);
  if (dice < 93) return { kind: 'delete', instance, pick, fault: maybeFault(seeded) };
  if (dice < 96) return { kind: 'prune', instance, fault: maybeFault(seeded) };
  if (dice < 99) return { kind: 'restore', instance, pick, fault: someFault(seeded) };
  return { kind: 'reopen', instance };
}

function maybeFault(seeded: Seeded): Fault | null {
  return seeded.isOneIn(2) ? someFault(seeded) : null;
}

function someFault(seeded: Seeded): Fault {
  const call = seeded.isOneIn(2) ? seeded.below(3) : seeded.below(30);
  return { method: seeded.pick(faultMethods), kind: seeded.pick(faultKinds), call };
}
