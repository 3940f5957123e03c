import type { FolderRestoreResult } from '../../engines/engine.ts';
import type { BackupId } from '../../model/ids.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Repository, StoredBackup } from '../../repository/repository.ts';
import type { EngineDrivers } from '../parts.ts';
import { driverFor } from '../parts.ts';

export type FolderRestoreRequest = {
  readonly backupId: BackupId;
  /** Absolute; new or empty. */
  readonly targetDir: string;
  readonly tablespaceDirs: Readonly<Record<string, string>>;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

/**
 * Restores a backup into a folder with nothing but repository and key: neither catalog nor service
 * is asked, so it works on an empty machine. @throws not-found, invalid (folder not empty),
 * repository-damaged
 */
export async function restoreToFolder(
  parts: { readonly repository: Repository; readonly engines: EngineDrivers },
  request: FolderRestoreRequest,
): Promise<FolderRestoreResult & { readonly stored: StoredBackup }> {
  const { backupId, signal } = request;
  const instanceId = await parts.repository.locateBackup(backupId, signal);
  const source = await parts.repository.openReader(instanceId, backupId, signal);
  const driver = driverFor(parts.engines, source.stored.facts.instance.engine);
  const result = await driver.restoreFolder({ ...request, source });
  return { ...result, stored: source.stored };
}
