// Which place a connection names for handing backups over.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { findBackupBucket } from './backup-bucket.ts';
import { findBackupFolder } from './connection-url.ts';
import type { Exchange } from './exchange.ts';
import { openFolderExchange } from './exchange-folder.ts';
import type { OpenBucket } from './exchange-s3.ts';
import { openS3Exchange } from './exchange-s3.ts';

/** @throws invalid when it names none, or one that cannot be used; storage-unavailable */
export async function openExchange(
  connection: Connection,
  openBucket: OpenBucket,
): Promise<Exchange> {
  const bucket = findBackupBucket(connection);
  if (bucket !== null) return await openS3Exchange(bucket, openBucket);
  const folder = findBackupFolder(connection);
  if (folder !== null) return await openFolderExchange(folder);
  throw new CairnError('invalid', 'the connection names no place where backups are handed over', {
    hint:
      'add backupFolder to the connection string, a folder that the server and Cairn both see, ' +
      'or backupUrl=s3://host/bucket/prefix',
  });
}
