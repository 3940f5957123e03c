import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import type { EngineDrivers } from '../parts.ts';
import { logIntervalMinutesDefault } from '../policy/get-policy.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { Standing } from './plan-standing.ts';
import { planStanding } from './plan-standing.ts';

export type Look = { readonly standing: Standing; readonly intervalMs: number };

const minuteMs = 60_000;

/** What the catalog says now about archiving the log of an instance. */
export async function lookAround(
  of: { readonly projectId: ProjectId; readonly instanceId: InstanceId; readonly jobId: JobId },
  { catalog, engines, logArchive }: Pick<WorkerParts, 'catalog' | 'engines' | 'logArchive'>,
): Promise<Look> {
  const instance = await catalog.instances.find(of.projectId, of.instanceId);
  const record = await catalog.policies.find(of.instanceId);
  const open = await catalog.jobs.listOpen(of.instanceId);
  const standing = planStanding({
    instance,
    policy: record?.policy ?? { kind: 'off' },
    openKinds: open.filter(({ id }) => id !== of.jobId).map(({ kind }) => kind),
    isOn: logArchive.isOn,
    isOffered: instance !== null && isArchivable(engines, instance),
  });
  const minutes = record?.logIntervalMinutes ?? logIntervalMinutesDefault;
  return { standing, intervalMs: logArchive.intervalMs ?? minutes * minuteMs };
}

export function isArchivable(
  engines: EngineDrivers,
  { engine }: { readonly engine: keyof EngineDrivers },
): boolean {
  return engines[engine]?.capabilities.logArchive === true;
}
