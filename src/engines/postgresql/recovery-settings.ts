// The settings of a recovery (PostgreSQL documentation, chapter "Server Configuration", "Archive
// Recovery" and "Recovery Target"). Pure: texts only.
import { assertNever } from '../../model/assert.ts';
import { CairnError } from '../../model/errors.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import type { Recovery } from '../engine.ts';

export type RecoverySettingsInput = {
  /** Null: to the end of what is planned. */
  readonly target: RecoveryTarget | null;
  readonly timeline: number;
  readonly restoreCommand: string;
};

/** A server takes one of them. */
const targetNames = [
  'recovery_target',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
  'recovery_target_lsn',
] as const;

/** Also empties what the files of production may say about a recovery of their own. */
export function recoverySettings(input: RecoverySettingsInput): Record<string, string> {
  const { target, timeline, restoreCommand } = input;
  const wanted = target === null ? {} : targetSettings(target);
  const unwanted = targetNames.filter((name) => !(name in wanted));
  return {
    restore_command: restoreCommand,
    // First: to empty one after another was set counts as two targets.
    ...Object.fromEntries(unwanted.map((name) => [name, ''])),
    ...wanted,
    // A number: nothing is looked for beside what is planned.
    recovery_target_timeline: String(timeline),
    recovery_target_action: 'promote',
    recovery_min_apply_delay: '0',
  };
}

function targetSettings(target: RecoveryTarget): Record<string, string> {
  switch (target.kind) {
    case 'end-of-backup':
      return { recovery_target: 'immediate' };
    case 'time':
      return { recovery_target_time: formatTime(target.at), ...bounds(target) };
    case 'log-position':
      return { recovery_target_lsn: target.position, ...bounds(target) };
    case 'name':
      return { recovery_target_name: target.name };
    case 'xid':
      return { recovery_target_xid: target.xid, ...bounds(target) };
    case 'latest':
      return {};
    case 'gtid':
      throw notSaid('a global transaction id');
    default:
      return assertNever(target);
  }
}

function bounds({ isInclusive }: { readonly isInclusive: boolean }): Record<string, string> {
  return { recovery_target_inclusive: isInclusive ? 'on' : 'off' };
}

/** `2026-01-05 01:02:03.456+00`. */
function formatTime(at: Date): string {
  return at.toISOString().replace('T', ' ').replace('Z', '+00');
}

/**
 * What a server gets besides while it replays: nobody reaches it, nothing of its own runs, and its
 * log says what we read in it. As no standby it needs no more connections than its own files say.
 */
export function replaySettings(): Record<string, string> {
  return {
    listen_addresses: '',
    hot_standby: 'off',
    autovacuum: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_min_messages: 'warning',
  };
}

/** Before anything is touched. @throws invalid for what PostgreSQL cannot be asked for */
export function assertPossible(
  recovery: Pick<Recovery, 'target' | 'skippedTransactions'> | null,
): void {
  if (recovery?.target.kind === 'gtid') throw notSaid('a global transaction id');
  if (recovery && recovery.skippedTransactions.length > 0) {
    throw notSaid('transactions that are left out');
  }
}

function notSaid(what: string): CairnError {
  return new CairnError('invalid', `PostgreSQL knows no recovery with ${what}`, {
    reason: 'recovery-not-offered',
  });
}
