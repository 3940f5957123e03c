// What every restore asks of its backup before anything is touched.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId, ProjectId } from '../../model/ids.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { majorVersion } from '../../model/server-version.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import { findWindow, listRestoreWindows } from './restore-windows.ts';

/** The recovery targets that a request can name. */
export type RestorePoint = Extract<RecoveryTarget, { readonly kind: 'end-of-backup' | 'time' }>;

export type RestoreSource = {
  readonly projectId: ProjectId;
  /** May be gone: its manual backups stay. */
  readonly sourceInstanceId: InstanceId;
  readonly point: RestorePoint;
};

/** The backup that the point stands for. @throws invalid (time), not-found (instance) */
export async function resolvePoint(
  catalog: CatalogSession,
  { projectId, sourceInstanceId: instanceId, point }: RestoreSource,
): Promise<BackupId> {
  if (point.kind === 'end-of-backup') return point.backupId;
  const windows = await listRestoreWindows(catalog, { projectId, instanceId });
  return findWindow(windows, point.at).backupId;
}

/** @throws invalid, conflict */
export function assertRestorable(
  parts: Pick<RequestParts, 'engines'>,
  backup: Backup,
  { sourceInstanceId }: Pick<RestoreSource, 'sourceInstanceId'>,
): void {
  if (backup.instanceId !== sourceInstanceId) {
    throw new CairnError('invalid', `backup ${backup.id} is not one of ${sourceInstanceId}`);
  }
  if (backup.state.status !== 'completed') {
    throw new CairnError('conflict', `backup ${backup.name} is ${backup.state.status}`, {
      reason: 'backup-not-completed',
    });
  }
  driverFor(parts.engines, backup.engine);
}

/** Null: the caller makes no claim. @throws invalid */
export function assertSameServer(
  backup: Backup,
  wanted: { readonly engine: Engine | null; readonly version: string | null },
): void {
  const { engine, version } = wanted;
  if (engine !== null && engine !== backup.engine) {
    throw new CairnError('invalid', `the backup is one of ${backup.engine}, not ${engine}`, {
      reason: 'engine-mismatch',
    });
  }
  const major = majorVersion(backup.engine, backup.serverVersion);
  if (version === null || version === major || version === backup.serverVersion) return;
  throw new CairnError('invalid', `the backup is one of version ${major}, not ${version}`, {
    reason: 'version-mismatch',
  });
}
