// Restores into a folder with nothing but repository and key: neither catalog nor service is asked,
// so it works on an empty machine.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FolderRecovery, FolderRestoreResult } from '../../engines/engine.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId } from '../../model/ids.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Repository, StoredBackup } from '../../repository/repository.ts';
import { exportToFolder } from '../logical/export-to-folder.ts';
import type { EngineDrivers } from '../parts.ts';
import { driverFor } from '../parts.ts';
import type { LogFetchPlace } from './fetch-archived-log.ts';
import { fetchPlanName, formatFetchPlan } from './fetch-archived-log.ts';
import { openLogSource } from './open-recovery.ts';
import { newestTimeline } from './recovery-facts.ts';
import { requirePlan } from './require-plan.ts';
import { readStoredFacts } from './stored-facts.ts';

export type FolderPoint =
  | { readonly kind: 'backup'; readonly backupId: BackupId }
  | {
      readonly kind: 'target';
      readonly instanceId: InstanceId;
      readonly target: Exclude<RecoveryTarget, { readonly kind: 'end-of-backup' }>;
      readonly skippedTransactions: readonly string[];
      /** How the server will call us for log, and with what. */
      readonly fetch: LogFetchPlace;
    };

export type FolderRestoreRequest = {
  readonly point: FolderPoint;
  /** Absolute; new or empty, unless `write` says otherwise. */
  readonly targetDir: string;
  /** `differences`: over the data folder of a stopped server. */
  readonly write?: 'new-files' | 'differences';
  readonly tablespaceDirs: Readonly<Record<string, string>>;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

export type FolderRestoreParts = {
  readonly repository: Repository;
  readonly engines: EngineDrivers;
};

export type RestoredFolder = FolderRestoreResult & {
  /** `databases`: exports, and the commands import them. */
  readonly holds: 'server' | 'databases';
  readonly stored: StoredBackup;
  /** Null: the server comes up as the backup ends. */
  readonly supportDir: string | null;
};

/** @throws not-found, invalid (folder not empty, target out of reach), repository-damaged */
export async function restoreToFolder(
  parts: FolderRestoreParts,
  request: FolderRestoreRequest,
): Promise<RestoredFolder> {
  const { point, signal } = request;
  if (point.kind === 'backup') return await restore(parts, request, point.backupId, null);
  const facts = await readStoredFacts(parts.repository, point.instanceId, signal);
  const { instanceId, target, skippedTransactions, fetch } = point;
  const { backupId, log } = requirePlan(facts, target, skippedTransactions);
  const backup = facts.backups.find(({ id }) => id === backupId);
  if (!backup) throw new CairnError('bug', `backup ${backupId} is not one of those planned with`);
  if (!log) return await restore(parts, request, backupId, null);
  const { streamId, until } = log;
  const range = { startPosition: backup.stopPosition, endPosition: until.position };
  const supportDir = `${request.targetDir}-recovery`;
  const planPath = join(supportDir, fetchPlanName);
  const restored = await restore(parts, request, backupId, {
    ...{ target, skippedTransactions, supportDir, newestTimeline: newestTimeline(facts) },
    log: await openLogSource(parts.repository.log, { instanceId, streamId, ...range }, signal),
    fetchCommand: fetch.commandFor(planPath),
  });
  // The engine has recovered it already.
  if (restored.logPlan === null) return { ...restored, supportDir: null };
  const plan = { ...fetch.place, instanceId, streamId, files: restored.logPlan };
  const engine = restored.stored.facts.instance.engine;
  await writeFile(planPath, formatFetchPlan({ ...plan, engine }), { mode: 0o600 });
  return restored;
}

async function restore(
  { repository, engines }: FolderRestoreParts,
  request: FolderRestoreRequest,
  backupId: BackupId,
  recovery: FolderRecovery | null,
): Promise<RestoredFolder> {
  const { point, signal } = request;
  const instanceId =
    point.kind === 'target' ? point.instanceId : await repository.locateBackup(backupId, signal);
  const source = await repository.openReader(instanceId, backupId, signal);
  const driver = driverFor(engines, source.stored.facts.instance.engine);
  const { stored } = source;
  // Exports end with their backup: a later moment needs a server.
  const files = recovery ? null : driver.logicalFiles(source);
  if (files) {
    const startCommands = await exportToFolder(source, files, driver, request);
    const nothing = { logPlan: null, recovered: null, tablespaceDirs: [], supportDir: null };
    const { targetDir: dataDir } = request;
    return { ...nothing, startNote: null, dataDir, startCommands, stored, holds: 'databases' };
  }
  const result = await driver.restoreFolder({ ...request, source, recovery });
  return { ...result, stored, supportDir: recovery?.supportDir ?? null, holds: 'server' };
}
