// A backup opened as the files that are downloaded: an archive of the whole server, or the exports
// of databases as they are. The length of each is known before a page is read, and any span of it
// can be read without what lies before.
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { BackupId, ProjectId } from '../../model/ids.ts';
import { version } from '../../model/version.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { Gate } from '../../platform/gate.ts';
import type { Span } from '../../platform/raw-zstd.ts';
import { framedLength, readFramed } from '../../platform/raw-zstd.ts';
import type { RepositoryReader } from '../../repository/repository.ts';
import { getBackup } from '../backup/get-backup.ts';
import { driverFor } from '../parts.ts';
import type { Archive } from './archive-stream.ts';
import { planArchiveStream, readArchive } from './archive-stream.ts';
import type { DownloadParts } from './download-parts.ts';
import { exportDownloads } from './export-downloads.ts';

export type Download = {
  readonly fileName: string;
  /** Null: the file is not of one database. */
  readonly databaseName: string | null;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Names the bytes: equal tags, equal files. */
  readonly tag: string;
  /**
   * The bytes of the span in order, every page authenticated before it is handed out. @throws
   * repository-damaged, storage-unavailable: what was handed out is right but not all
   */
  read(span: Span, signal: AbortSignal): AsyncGenerator<Uint8Array>;
};

/**
 * To open a backup of 50,000 files takes half a second and 25 MB, for a request that costs its
 * sender nothing. The memory is the process's, so there is one gate in it.
 */
const gate = new Gate({
  runningMax: 2,
  waitingMax: 16,
  refusal: () =>
    new CairnError('conflict', 'too many downloads are being opened', {
      reason: 'downloads-saturated',
      hint: 'try again in a few seconds',
    }),
});
const waitMaxMs = 15_000;

/**
 * Opened two at a time. @throws not-found (also when it is being deleted), invalid (never
 * completed), conflict (downloads-saturated) when too many wait, or it took too long
 */
export async function openDownloads(
  parts: DownloadParts,
  request: { readonly projectId: ProjectId; readonly backupId: BackupId },
  signal: AbortSignal,
): Promise<readonly Download[]> {
  const backup = await getBackup(parts.catalog, request.projectId, request.backupId);
  if (backup.state.status === 'deleting') throw backupGone(backup);
  assertCompleted(backup);
  const { endedAt } = backup.state;
  const open = async () => {
    const reader = await openReader(parts, backup, signal);
    const driver = driverFor(parts.engines, backup.engine);
    const exports = driver.logicalFiles(reader);
    if (exports) return exportDownloads(backup, reader, exports);
    const archive = planArchiveStream(driver.archiveLayout(reader), endedAt);
    return [archiveDownload(backup, reader, archive)];
  };
  return await gate.run(open, deadlineSignal(waitMaxMs, signal));
}

function archiveDownload(backup: Backup, reader: RepositoryReader, archive: Archive): Download {
  const sizeBytes = framedLength(archive.sizeBytes);
  return {
    ...{ fileName: fileNameOf(backup), databaseName: null, sizeBytes },
    mediaType: 'application/zstd',
    // Another version of Cairn may lay the same backup out differently.
    tag: `${backup.id}-${version}-${sizeBytes}`,
    read: (span, readSignal) =>
      readFramed(archive.sizeBytes, span, (inside) =>
        readArchive(archive, inside, (pieces) => reader.stream(pieces, readSignal)),
      ),
  };
}

type CompletedBackup = Backup & { readonly state: { readonly status: 'completed' } };

export function assertCompleted(backup: Backup): asserts backup is CompletedBackup {
  if (backup.type === 'incremental') {
    throw new CairnError('invalid', `backup ${backup.name} is a stretch of log`, {
      reason: 'backup-incremental',
      hint: 'only full backups can be downloaded',
    });
  }
  const { status } = backup.state;
  if (status === 'completed') return;
  throw new CairnError('invalid', `backup ${backup.name} is ${status}`, {
    reason: 'backup-not-completed',
    hint: 'only a completed backup can be downloaded',
  });
}

/** Names of automated backups may hold what a file name or a header must not. */
export function fileNameOf({ name }: Pick<Backup, 'name'>): string {
  return `${name.replaceAll(/[^A-Za-z0-9._-]/g, '_')}.tar.zst`;
}

async function openReader(
  { downloads, catalog }: DownloadParts,
  backup: Backup,
  signal: AbortSignal,
): Promise<RepositoryReader> {
  try {
    return await downloads.repository.openReader(backup.instanceId, backup.id, signal);
  } catch (cause) {
    if (!isErrorKind(cause, 'not-found')) throw cause;
    // The manifest is the first to go in a deletion; where none runs, the backup is lost.
    const now = await catalog.backups.find(backup.projectId, backup.id);
    if (now?.state.status !== 'completed') throw backupGone(backup);
    const text = `backup ${backup.id} is lost: ${cause.message}`;
    throw new CairnError('repository-damaged', text, { cause });
  }
}

function backupGone({ id }: Backup): CairnError {
  return new CairnError('not-found', `backup ${id} does not exist`, { reason: 'backup-unknown' });
}
