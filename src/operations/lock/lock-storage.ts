// `cairn storage lock`: every instance of the repository, on storage and key alone.
import { CairnError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { LockReport, Repository } from '../../repository/repository.ts';

export type LockedInstance = { readonly instanceId: InstanceId; readonly report: LockReport };

/**
 * Without a catalog nobody knows which backups should be there: one whose manifest was deleted by
 * somebody else counts as deleted. @throws invalid when the location asks for no locks; storage
 * errors
 */
export async function lockStorage(
  repository: Repository,
  signal: AbortSignal,
): Promise<readonly LockedInstance[]> {
  if (!repository.locks) {
    throw new CairnError('invalid', `${repository.location} is to be used without locks`, {
      hint: 'add lock=governance or lock=compliance to CAIRN_STORAGE (docs/object-lock.md)',
    });
  }
  const locked: LockedInstance[] = [];
  for (const instanceId of await repository.listInstances(signal)) {
    const report = await repository.extendLocks(instanceId, { expected: [], signal });
    if (report) locked.push({ instanceId, report });
  }
  return locked;
}
