import type { PolicyRecord } from '../../catalog/catalog.ts';
import type { BackupPolicy } from '../../model/backup-policy.ts';
import { formatWindow } from '../../model/backup-policy.ts';
import { engineTitles } from '../../model/engine-kind.ts';
import type { Instance } from '../../model/instance.ts';
import { majorVersion } from '../../model/server-version.ts';
import { longestOf } from '../../operations/offsite/run-offsite-copy.ts';
import type {
  OffsiteInstanceWire,
  OffsitePolicyResponse,
  PolicyResponse,
} from '../schema/policy.ts';

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

export function presentOffsiteInstance(
  { id, name, projectId, engine, serverVersion }: Instance,
  { offsite }: PolicyRecord,
  sourceRegion: string,
): OffsiteInstanceWire {
  const [first] = offsite;
  return {
    ...{ id, name, source_region: sourceRegion, source_project_id: projectId },
    datastore: { type: engineTitles[engine], version: majorVersion(engine, serverVersion ?? '') },
    destination_region: first?.destinationRegion ?? '',
    destination_project_id: first?.destinationProjectId ?? '',
    keep_days: longestOf(offsite),
  };
}
