import { CairnError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { CheckOptions, CheckReport, Repository } from '../../repository/repository.ts';

export type { CheckOptions, CheckReport } from '../../repository/repository.ts';

/**
 * Checks a repository with the key alone. `instance`: id, or a name that its backups have; null for
 * everything. @throws not-found, storage-unavailable
 */
export async function checkStorage(
  repository: Repository,
  instance: string | null,
  options: Omit<CheckOptions, 'instanceIds'>,
): Promise<CheckReport> {
  if (instance === null) return await repository.check({ ...options, instanceIds: null });
  const stored = await repository.listInstances(options.signal);
  const instanceIds = [await findStored(repository, stored, instance, options.signal)];
  return await repository.check({ ...options, instanceIds });
}

async function findStored(
  repository: Repository,
  stored: readonly InstanceId[],
  instance: string,
  signal: AbortSignal,
): Promise<InstanceId> {
  const byId = stored.find((id) => id === instance);
  if (byId) return byId;
  const named: InstanceId[] = [];
  for (const id of stored) {
    for await (const { stored: backup } of repository.readBackups(id, signal)) {
      if (backup?.facts.instance.name !== instance) continue;
      named.push(id);
      break;
    }
  }
  const [only, ...others] = named;
  if (only && others.length === 0) return only;
  const text = `${named.length} instances in ${repository.location} are named ${instance}`;
  throw new CairnError('not-found', text, {
    hint: `name one by its id: ${(named.length > 0 ? named : stored).slice(0, 20).join(', ')}`,
  });
}
