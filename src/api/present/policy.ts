import type { PolicyRecord } from '../../catalog/catalog.ts';
import type { BackupPolicy } from '../../model/backup-policy.ts';
import { formatWindow } from '../../model/backup-policy.ts';
import type { OffsitePolicyResponse, PolicyResponse } from '../schema/policy.ts';

export function presentPolicy(policy: BackupPolicy): PolicyResponse {
  if (policy.kind === 'off') return { backup_policy: { keep_days: 0 } };
  const { keepDays, schedule } = policy;
  return {
    backup_policy: {
      keep_days: keepDays,
      start_time: formatWindow(schedule.startMinute),
      period: schedule.weekdays.join(','),
    },
  };
}

export function presentOffsite({ offsite }: PolicyRecord): OffsitePolicyResponse {
  return {
    policy_para: offsite.map((entry) => ({
      backup_type: entry.backupType,
      keep_days: entry.keepDays,
      destination_region: entry.destinationRegion,
      destination_project_id: entry.destinationProjectId,
    })),
  };
}
