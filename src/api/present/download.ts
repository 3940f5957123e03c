import type { BackupFile } from '../../operations/download/backup-file.ts';
import type { BackupFilesWire } from '../schema/download.ts';
import { formatWireTime } from '../wire-time.ts';

const kilobyte = 1024;
/** Clients want a name; the files come from the service itself. */
const bucket = 'cairn';

export function presentBackupFile(file: BackupFile, baseUrl: string): BackupFilesWire {
  const { fileName, sizeBytes, path, expiresAt } = file;
  return {
    files: [
      {
        name: fileName,
        size: Math.ceil(sizeBytes / kilobyte),
        download_link: `${baseUrl}${path}`,
        link_expired_time: formatWireTime(expiresAt),
        database_name: null,
      },
    ],
    bucket,
  };
}
