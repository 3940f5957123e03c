import type { BackupPolicy } from '../../model/backup-policy.ts';
import { formatWindow } from '../../model/backup-policy.ts';

/** What an instance shows of its policy; the whole of it is at `backups/policy`. */
export function presentStrategy(policy: BackupPolicy): { start_time: string; keep_days: number } {
  if (policy.kind === 'off') return { start_time: '', keep_days: 0 };
  const { keepDays, schedule } = policy;
  return { start_time: formatWindow(schedule.startMinute), keep_days: keepDays };
}
