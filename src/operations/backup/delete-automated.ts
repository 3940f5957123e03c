import type { Catalog } from '../../catalog/catalog.ts';
import { expiringTypes } from '../../model/backup.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Random } from '../../platform/random.ts';
import { expireBackup } from './request-backup-deletion.ts';

const pageLimit = 100;

/**
 * Asks for the deletion of every automated and differential backup of an instance; manual ones
 * stay. Archived log goes in other ways, by the hundred. What is being made, or restored from,
 * stays too and is said in the log: asking again goes on from there.
 */
export async function deleteAutomatedBackups(
  parts: {
    readonly catalog: Catalog;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Logger;
  },
  projectId: ProjectId,
  instanceId: InstanceId,
): Promise<void> {
  for (const id of await listAutomated(parts.catalog, projectId, instanceId)) {
    try {
      await expireBackup(parts, projectId, id);
    } catch (error) {
      if (!isErrorKind(error, 'conflict') && !isErrorKind(error, 'not-found')) throw error;
      parts.log.warn({ err: error, backupId: id }, 'an automated backup stays for now');
    }
  }
}

async function listAutomated(
  catalog: Catalog,
  projectId: ProjectId,
  instanceId: InstanceId,
): Promise<readonly BackupId[]> {
  const ids: BackupId[] = [];
  for (const type of expiringTypes) {
    for (let offset = 0; ; offset += pageLimit) {
      const filter = { projectId, instanceId, type };
      const { items } = await catalog.backups.list(filter, { offset, limit: pageLimit });
      for (const { id, state } of items) if (state.status !== 'building') ids.push(id);
      if (items.length < pageLimit) break;
    }
  }
  return ids;
}
