// Of which databases the log is backed up in a round, and what people are told of the others. Pure.
import type { LogLag } from '../engine.ts';
import { isBeingRestored } from './restore-names.ts';
import type { FoundDatabase } from './server-databases.ts';
import { whyNotBackedUp } from './server-databases.ts';

export type LogCandidate = {
  readonly database: FoundDatabase;
  /** The archive has log of it. */
  readonly isFollowed: boolean;
  /** Its availability group wants backups taken on this replica. */
  readonly isPreferredHere: boolean;
};

export type LogChoice =
  | { readonly kind: 'take' }
  /** Null: there is nothing that anybody would miss. */
  | { readonly kind: 'leave'; readonly warning: LogWarning | null };

export type LogWarning = NonNullable<LogLag['warning']>;

/** Of a database of users. */
export function chooseForLog({ database, isFollowed, isPreferredHere }: LogCandidate): LogChoice {
  const { name, recoveryModel, hasLogChain, isSnapshot } = database;
  const why = whyNotBackedUp(database);
  if (isSnapshot || isBeingRestored(name)) return { kind: 'leave', warning: null };
  if (why !== null) {
    return leave(isFollowed, `the log of ${name} is not archived: ${why}`, {
      hint: 'bring it online; what it has logged since its last backup is nowhere else',
    });
  }
  if (recoveryModel === 'SIMPLE') {
    return leave(isFollowed, `the log of ${name} is not archived: its recovery model is SIMPLE`, {
      hint: 'set it to FULL and take a full backup',
    });
  }
  if (!isPreferredHere) {
    return leave(isFollowed, `the log of ${name} is backed up on another replica`, {
      hint: 'register that replica too; each is an instance of its own',
    });
  }
  if (hasLogChain === false) return { kind: 'leave', warning: warnOfNoBase(name) };
  return { kind: 'take' };
}

export function warnOfNoBase(database: string): LogWarning {
  return {
    message: `the log of ${database} is not archived: it has no full backup yet`,
    hint: 'take a full backup of the instance; the log follows by itself',
  };
}

/** One for all: the first, and how many more there are. */
export function joinWarnings(warnings: readonly LogWarning[]): LogWarning | null {
  const [first, ...others] = warnings;
  if (first === undefined || others.length === 0) return first ?? null;
  const count = others.length === 1 ? 'one other database' : `${others.length} other databases`;
  return { ...first, message: `${first.message}; ${count} need attention too` };
}

function leave(isTold: boolean, message: string, { hint }: { readonly hint: string }): LogChoice {
  return { kind: 'leave', warning: isTold ? { message, hint } : null };
}
