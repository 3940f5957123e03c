import type { CatalogSession, PolicyRecord } from '../../catalog/catalog.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';

/** What users of the RDS family expect. */
export const logIntervalMinutesDefault = 5;

/** An instance from before there were policies has none, which means off. @throws not-found */
export async function getPolicy(
  catalog: CatalogSession,
  projectId: ProjectId,
  id: InstanceId,
): Promise<PolicyRecord> {
  await getInstance(catalog, projectId, id);
  return (await catalog.policies.find(id)) ?? emptyPolicy(projectId, id, new Date(0));
}

export function emptyPolicy(
  projectId: ProjectId,
  instanceId: InstanceId,
  effectiveAt: Date,
): PolicyRecord {
  return {
    ...{ instanceId, projectId, effectiveAt },
    policy: { kind: 'off' },
    lastWindowAt: null,
    lastBackupId: null,
    attemptCount: 0,
    offsite: [],
    logIntervalMinutes: logIntervalMinutesDefault,
  };
}
