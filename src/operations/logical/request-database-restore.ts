// Restoring databases to a server that runs, beside what it has: those of a logical backup, and of
// engines that Cairn starts no servers of also those of a whole backup, to a moment if it is one of
// the log, or in the place of what is there.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type {
  DatabaseName,
  DatabaseRestoreOptions,
  EngineCapabilities,
} from '../../engines/engine.ts';
import type { Backup } from '../../model/backup.ts';
import type { Engine } from '../../model/engine-kind.ts';
import type { ErrorReason } from '../../model/error-reasons.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { idSource } from '../../platform/random.ts';
import { findObstacle } from '../backup/accept-backup.ts';
import { getBackup } from '../backup/get-backup.ts';
import { getInstance } from '../instances/get-instance.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import type { ResolvedPoint } from '../restore/restore-point.ts';
import { assertUsable, resolvePoint } from '../restore/restore-point.ts';
import { assertNewNames } from './database-names.ts';
import { formatDatabaseRestore } from './restore-payload.ts';
import type { RestoreRules } from './restore-rules.ts';
import { assertTarget } from './restore-rules.ts';

export type DatabaseRestoreRequest = Pick<DatabaseRestoreOptions, 'missingRoles' | 'replace'> & {
  readonly projectId: ProjectId;
  /** Whose past it is; null: that of the backup. */
  readonly sourceInstanceId: InstanceId | null;
  readonly point: RecoveryTarget;
  readonly targetInstanceId: InstanceId;
  /** Empty: every database of the backup, under its own name. */
  readonly databases: readonly DatabaseName[];
  readonly rules: RestoreRules;
};

type Parts = Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log' | 'engines'>;

/** Whether the new names are free is the worker's to say. @throws invalid, not-found, conflict */
export async function requestDatabaseRestore(
  parts: Parts,
  request: DatabaseRestoreRequest,
): Promise<{ readonly jobId: JobId }> {
  const { targetInstanceId } = request;
  const resolved = await resolve(parts, request);
  const jobId = await parts.catalog.transaction((tx) =>
    acceptDatabaseRestore(tx, parts, { ...request, ...resolved }),
  );
  const { backupId } = resolved;
  parts.log.info({ backupId, instanceId: targetInstanceId, jobId }, 'restore accepted');
  return { jobId };
}

async function resolve(parts: Parts, request: DatabaseRestoreRequest): Promise<ResolvedPoint> {
  const { projectId, point, targetInstanceId } = request;
  if (point.kind === 'end-of-backup') return { backupId: point.backupId, recovery: null };
  const sourceInstanceId = request.sourceInstanceId ?? targetInstanceId;
  const target = await getInstance(parts.catalog, projectId, targetInstanceId);
  assertOwnServersNot(parts, target.engine, {
    text: 'databases of a moment are copied into the instance that they come from',
    reason: 'databases-not-offered',
    hint: 'POST instances/batch/restore/databases, or cairn restore --into … --time …',
  });
  const source = { projectId, sourceInstanceId, point, skippedTransactions: [] };
  return await resolvePoint(parts.catalog, source);
}

/** In a transaction that may accept more than one. @throws invalid, not-found, conflict */
export async function acceptDatabaseRestore(
  tx: CatalogSession,
  parts: Parts,
  request: Omit<DatabaseRestoreRequest, 'point'> & ResolvedPoint,
): Promise<JobId> {
  const { projectId, backupId, recovery, targetInstanceId, missingRoles, replace } = request;
  const backup = await getBackup(tx, projectId, backupId);
  assertSource(backup, request);
  assertUsable(parts, backup);
  const { capabilities } = driverFor(parts.engines, backup.engine);
  const databases = chooseDatabases(backup, request, capabilities);
  const target = await getInstance(tx, projectId, targetInstanceId);
  assertTarget(backup, target, request.rules);
  if (replace) await assertReplaceable(tx, parts, target);
  const obstacle = await findObstacle(tx, target);
  if (obstacle) throw obstacle;
  const id = newJobId(idSource(parts.random));
  const sourceInstanceId = backup.instanceId;
  await tx.jobs.insert({
    ...{ id, projectId, createdAt: parts.clock.now() },
    payload: formatDatabaseRestore({
      ...{ backupId, sourceInstanceId, targetInstanceId, databases, missingRoles },
      ...{ recovery, replace },
    }),
    kind: jobKinds.restoreDatabases,
    pool: target.pool,
    instanceId: target.id,
    instanceName: target.name,
    attemptsMax: jobAttemptsMax[jobKinds.restoreDatabases],
  });
  return id;
}

function assertSource(
  backup: Backup,
  { sourceInstanceId }: Pick<DatabaseRestoreRequest, 'sourceInstanceId'>,
): void {
  if (sourceInstanceId === null || backup.instanceId === sourceInstanceId) return;
  throw new CairnError('invalid', `backup ${backup.id} is not one of ${sourceInstanceId}`);
}

/** Which databases a whole backup holds only its manifest tells: the worker reads it. */
function chooseDatabases(
  { name, engine, databases: held }: Backup,
  { databases: wanted, rules }: Pick<DatabaseRestoreRequest, 'databases' | 'rules'>,
  { ownServers }: EngineCapabilities,
): readonly DatabaseName[] {
  if (held.length === 0 && ownServers) {
    throw new CairnError('invalid', `backup ${name} holds a whole server, not single databases`, {
      reason: 'databases-not-offered',
      hint: 'restore it to a new instance',
    });
  }
  if (held.length === 0 && wanted.length === 0) return [];
  const chosen =
    wanted.length > 0 ? wanted : held.map((oldName) => ({ oldName, newName: oldName }));
  const unknown = held.length > 0 && chosen.find(({ oldName }) => !held.includes(oldName));
  if (unknown) {
    throw new CairnError('invalid', `backup ${name} holds no database “${unknown.oldName}”`, {
      reason: 'database-unknown',
      hint: `it holds ${held.join(', ')}`,
    });
  }
  assertNewNames(chosen, engine, rules);
  return chosen;
}

/** What makes room for another database is taken from everybody who uses it, a backup too. */
async function assertReplaceable(
  tx: CatalogSession,
  parts: Parts,
  { id, name, engine }: Instance,
): Promise<void> {
  assertOwnServersNot(parts, engine, {
    text: `databases of ${engine} are not restored over others`,
    reason: 'restore-in-place-not-offered',
    hint: 'restore them under other names',
  });
  const open = await tx.jobs.listOpen(id);
  if (!open.some(({ kind }) => kind === jobKinds.backup)) return;
  throw new CairnError('conflict', `a backup is running on instance ${name}`, {
    reason: 'instance-busy',
    hint: 'wait until its job has ended, or cancel it',
  });
}

function assertOwnServersNot(
  { engines }: Parts,
  engine: Engine,
  { text, ...why }: { readonly text: string; readonly reason: ErrorReason; readonly hint: string },
): void {
  if (!driverFor(engines, engine).capabilities.ownServers) return;
  throw new CairnError('invalid', text, why);
}
