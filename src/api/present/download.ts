import type { BackupFile } from '../../operations/download/backup-file.ts';
import type { BackupFilesWire } from '../schema/download.ts';
import { formatWireTime } from '../wire-time.ts';

const kilobyte = 1024;
/** Clients want a name; the files come from the service itself. */
const bucket = 'cairn';

export function presentBackupFiles(files: readonly BackupFile[], baseUrl: string): BackupFilesWire {
  return {
    files: files.map(({ fileName, databaseName, sizeBytes, path, expiresAt }) => ({
      name: fileName,
      size: Math.ceil(sizeBytes / kilobyte),
      download_link: `${baseUrl}${path}`,
      link_expired_time: formatWireTime(expiresAt),
      database_name: databaseName,
    })),
    bucket,
  };
}
