// The databases inside one backup, each with the file that it is downloaded in.

import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';
import type { Repository } from '../../repository/repository.ts';
import { getBackup } from '../backup/get-backup.ts';
import type { DownloadParts } from '../download/download-parts.ts';
import { openDownloads } from '../download/open-download.ts';
import { contentsUnknown } from './list-past-contents.ts';

export type BackupDatabase = {
  readonly name: string;
  readonly fileName: string;
  readonly fileBytes: number;
};

/**
 * @throws not-found; invalid when the backup is not completed, or nobody has noted what it holds
 * (contents-unknown); conflict (downloads-saturated)
 */
export async function listBackupDatabases(
  parts: DownloadParts & { readonly repository: Pick<Repository, 'readContents'> },
  wanted: {
    readonly projectId: ProjectId;
    readonly instanceId: InstanceId;
    readonly backupId: BackupId;
  },
  signal: AbortSignal,
): Promise<readonly BackupDatabase[]> {
  const { projectId, instanceId, backupId } = wanted;
  const backup = await getBackup(parts.catalog, projectId, backupId);
  if (backup.instanceId !== instanceId) {
    throw new CairnError('not-found', `backup ${backupId} is not one of ${instanceId}`, {
      reason: 'backup-unknown',
    });
  }
  const files = await openDownloads(parts, wanted, signal);
  const own = files.flatMap(({ databaseName: name, fileName, sizeBytes: fileBytes }) =>
    name === null ? [] : [{ name, fileName, fileBytes }],
  );
  if (backup.databases.length > 0) return own;
  const contents = await parts.repository.readContents(instanceId, backupId, signal);
  if (!contents) throw contentsUnknown(backupId);
  const [whole] = files;
  return contents.databases.map(
    ({ name }) =>
      own.find((file) => file.name === name) ?? {
        ...{ name, fileName: whole?.fileName ?? '', fileBytes: whole?.sizeBytes ?? 0 },
      },
  );
}
