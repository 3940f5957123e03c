import type { JobContext } from '../../jobs/job-kind.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { RepositoryReader } from '../../repository/repository.ts';
import type { WorkerParts } from '../worker-parts.ts';

/** The catalog calls it completed: without its manifest it is not unknown but lost. */
export async function openBackup(
  { instanceId, id }: Backup,
  { signal }: JobContext,
  { repository }: WorkerParts,
): Promise<RepositoryReader> {
  try {
    return await repository.openReader(instanceId, id, signal);
  } catch (cause) {
    if (!isErrorKind(cause, 'not-found')) throw cause;
    throw new CairnError('repository-damaged', `backup ${id} is lost: ${cause.message}`, { cause });
  }
}
