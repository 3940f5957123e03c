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
import { findRecoveryFacts, newestTimeline } from './recovery-facts.ts';
import type { RequestedRecovery } from './recovery-payload.ts';
import { assertNoneSkipped, requirePlan } from './require-plan.ts';

export type RestoreSource = {
  readonly projectId: ProjectId;
  /** May be gone: its manual backups stay. */
  readonly sourceInstanceId: InstanceId;
  readonly point: RecoveryTarget;
  /** Global ids of transactions that are left out of what is replayed. */
  readonly skippedTransactions: readonly string[];
};

export type ResolvedPoint = {
  readonly backupId: BackupId;
  /** Null: the backup as it is. */
  readonly recovery: RequestedRecovery | null;
};

/** How the point is reached. @throws invalid with what can be had instead; not-found (instance) */
export async function resolvePoint(
  catalog: CatalogSession,
  { projectId, sourceInstanceId: instanceId, point: target, skippedTransactions }: RestoreSource,
): Promise<ResolvedPoint> {
  if (target.kind === 'end-of-backup') {
    assertNoneSkipped(skippedTransactions);
    return { backupId: target.backupId, recovery: null };
  }
  const facts = await findRecoveryFacts(catalog, { projectId, instanceId });
  const { backupId, log } = requirePlan(facts, target, skippedTransactions);
  if (!log) return { backupId, recovery: null };
  const until = log.until.position;
  const newest = { newestTimeline: newestTimeline(facts) };
  return { backupId, recovery: { target, skippedTransactions, log: { ...log, until }, ...newest } };
}

/** What replaces or makes a whole server. @throws invalid, conflict */
export function assertRestorable(
  parts: Pick<RequestParts, 'engines'>,
  backup: Backup,
  { sourceInstanceId }: Pick<RestoreSource, 'sourceInstanceId'>,
): void {
  if (backup.instanceId !== sourceInstanceId) {
    throw new CairnError('invalid', `backup ${backup.id} is not one of ${sourceInstanceId}`);
  }
  assertUsable(parts, backup);
  if (backup.databases.length === 0) return;
  throw new CairnError('invalid', `backup ${backup.name} holds single databases, not a server`, {
    reason: 'databases-not-offered',
    hint: 'restore its databases into an instance that runs: cairn restore --database … --into',
  });
}

/** @throws invalid, conflict */
export function assertUsable(parts: Pick<RequestParts, 'engines'>, backup: Backup): void {
  if (backup.type === 'incremental') {
    throw new CairnError('invalid', `backup ${backup.name} is a stretch of log`, {
      reason: 'backup-incremental',
      hint: 'name a full backup, or a time',
    });
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
