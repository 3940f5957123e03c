import type { BackupPolicy, Weekday } from '../../model/backup-policy.ts';
import { everyDay, parsePeriod, parseWindow } from '../../model/backup-policy.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';

/** Those of the RDS documents. */
const keepDaysMax = { mysql: 732, postgresql: 3660, sqlserver: 732 } as const satisfies Record<
  Engine,
  number
>;

/** As a client says it; null: not said. */
export type PolicyText = {
  /** 0: no automated backups; then the rest means nothing. */
  readonly keepDays: number;
  readonly startTime: string | null;
  readonly period: string | null;
};

/** @throws invalid with the reason that names the field */
export function readPolicy(text: PolicyText, engine: Engine): BackupPolicy {
  const { keepDays } = text;
  const max = keepDaysMax[engine];
  if (!Number.isInteger(keepDays) || keepDays < 0 || keepDays > max) {
    throw new CairnError('invalid', `keep_days must be a whole number from 0 to ${max}`, {
      reason: 'policy-keep-days-invalid',
      hint: '0 switches automated backups off',
    });
  }
  if (keepDays === 0) return { kind: 'off' };
  const startMinute = text.startTime === null ? null : parseWindow(text.startTime);
  if (startMinute === null) {
    throw new CairnError('invalid', 'start_time must be one hour such as 08:15-09:15 (UTC)', {
      reason: 'policy-start-time-invalid',
      hint: 'minutes are 00, 15, 30 or 45, and the end is one hour later',
    });
  }
  return { kind: 'on', keepDays, schedule: { startMinute, weekdays: readPeriod(text.period) } };
}

/** What new instances get, as far as their engine has it: the days of `policy` are a setting. */
export function limitPolicy(policy: BackupPolicy, engine: Engine): BackupPolicy {
  if (policy.kind === 'off') return policy;
  return { ...policy, keepDays: Math.min(policy.keepDays, keepDaysMax[engine]) };
}

/** What `backup_strategy` of a new instance says: every day, a week if no days are named. */
export function policyFromStrategy(
  strategy: { readonly startTime: string; readonly keepDays: number },
  engine: Engine,
): BackupPolicy {
  return readPolicy({ ...strategy, period: everyDay.join(',') }, engine);
}

function readPeriod(period: string | null): readonly Weekday[] {
  const weekdays = period === null ? null : parsePeriod(period);
  if (weekdays !== null) return weekdays;
  throw new CairnError('invalid', 'period must be weekdays such as 1,2,3 (1 is Monday)', {
    reason: 'policy-period-invalid',
    hint: 'name at least one digit from 1 to 7, separated by commas',
  });
}
