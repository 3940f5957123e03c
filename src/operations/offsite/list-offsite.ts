import type { PolicyRecord } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import type { StoredBackup } from '../../repository/repository.ts';
import type { RequestParts } from '../parts.ts';

/** What is read from a copy; its job is not known there. */
export type OffsiteBackup = Omit<Backup, 'jobId'>;

/** Somebody waits for the answer. */
const listTimeoutMs = 30_000;
const pageLimit = 200;

/**
 * The project’s backups that the second storage holds now, newest first; `instanceId` null: of
 * every instance. Empty without a second storage. @throws storage errors, repository-damaged
 */
export async function listOffsiteBackups(
  { secondStorage }: Pick<RequestParts, 'secondStorage'>,
  { projectId, instanceId }: { projectId: ProjectId; instanceId: InstanceId | null },
): Promise<readonly OffsiteBackup[]> {
  if (!secondStorage) return [];
  const copy = await secondStorage.open();
  const stored = await copy.listCopies(instanceId, deadlineSignal(listTimeoutMs));
  return stored
    .filter(({ facts }) => facts.backup.projectId === projectId)
    .map((backup) => toBackup(backup));
}

function toBackup({ facts, totals, backupId, instanceId }: StoredBackup): OffsiteBackup {
  const { endedAt, ...told } = facts.backup;
  const { serverVersion, startPosition, stopPosition } = facts.base;
  return {
    ...told,
    ...{ id: backupId, instanceId, serverVersion },
    instanceName: facts.instance.name,
    engine: facts.instance.engine,
    state: { status: 'completed', endedAt, totals, startPosition, stopPosition },
  };
}

export type OffsiteInstance = { readonly instance: Instance; readonly record: PolicyRecord };

/** Instances of these projects that have an off-site policy, in the order of their ids. */
export async function listOffsiteInstances(
  { catalog }: Pick<RequestParts, 'catalog'>,
  projectIds: ReadonlySet<ProjectId>,
): Promise<readonly OffsiteInstance[]> {
  const found: OffsiteInstance[] = [];
  for (let offset = 0; ; offset += pageLimit) {
    const records = await catalog.policies.listOffsite({ offset, limit: pageLimit });
    for (const record of records.filter(({ projectId }) => projectIds.has(projectId))) {
      const instance = await catalog.instances.find(record.projectId, record.instanceId);
      if (instance) found.push({ instance, record });
    }
    if (records.length < pageLimit) return found;
  }
}
