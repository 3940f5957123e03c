import { CairnError } from '../../model/errors.ts';
import type { BackupId, ProjectId } from '../../model/ids.ts';
import { getBackup } from '../backup/get-backup.ts';
import type { DownloadParts } from './download-parts.ts';
import type { LinkClaim } from './link-signature.ts';
import { isLinkSigned, signLink } from './link-signature.ts';
import type { Download } from './open-download.ts';
import { assertCompleted, openDownloads } from './open-download.ts';

export type BackupFile = Pick<Download, 'fileName' | 'databaseName'> & {
  /** Of the file as it is downloaded. */
  readonly sizeBytes: number;
  readonly expiresAt: Date;
  /** Of the link, with its signature: whoever has it may fetch the file. */
  readonly path: string;
};

const pathPrefix = '/cairn/v1/downloads';

/** @throws not-found, invalid (not completed), repository-damaged */
export async function listBackupFiles(
  parts: DownloadParts,
  request: { readonly projectId: ProjectId; readonly backupId: BackupId },
  signal: AbortSignal,
): Promise<readonly BackupFile[]> {
  assertCompleted(await getBackup(parts.catalog, request.projectId, request.backupId));
  const { linkKey, linkLifetimeMs } = parts.downloads;
  const files = await openDownloads(parts, request, signal);
  const expiresSeconds = Math.floor((parts.clock.now().getTime() + linkLifetimeMs) / 1000);
  const { projectId, backupId } = request;
  return files.map(({ fileName, databaseName, sizeBytes }) => {
    const signature = signLink({ ...request, fileName, expiresSeconds }, linkKey);
    return {
      ...{ fileName, databaseName, sizeBytes, expiresAt: new Date(expiresSeconds * 1000) },
      path:
        `${pathPrefix}/${projectId}/${backupId}/${fileName}` +
        `?expires=${expiresSeconds}&signature=${signature}`,
    };
  });
}

/**
 * Opens what a link names. The link is looked at before anything else: who has none learns nothing.
 * @throws forbidden (link-invalid), not-found when the backup is gone, repository-damaged
 */
export async function openLink(
  parts: DownloadParts,
  link: LinkClaim & { readonly signature: string },
  signal: AbortSignal,
): Promise<Download> {
  const { linkKey } = parts.downloads;
  const isFresh = link.expiresSeconds * 1000 > parts.clock.now().getTime();
  if (!isLinkSigned(link, link.signature, linkKey) || !isFresh) {
    throw new CairnError('forbidden', 'the link is not valid or has expired', {
      reason: 'link-invalid',
      hint: 'ask for the links of the backup again',
    });
  }
  const files = await openDownloads(parts, link, signal);
  const file = files.find(({ fileName }) => fileName === link.fileName);
  if (file) return file;
  throw new CairnError('not-found', `the backup has no file ${link.fileName}`);
}
