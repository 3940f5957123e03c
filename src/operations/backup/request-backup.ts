// Accepting a backup writes the backup (`building`) and its job in one transaction: there is never
// one without the other, and of several callers at once exactly one is accepted.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { newBackupId, newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { isDescription, isName } from '../../model/names.ts';
import { idSource } from '../../platform/random.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { BackupPayload } from '../job-payloads.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';

export type BackupRequest = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly name: string;
  readonly description: string;
  /** Empty: the whole server. */
  readonly databases: readonly string[];
  /** One file for each of `databases`. */
  readonly individually: boolean;
};

/** @throws invalid, not-found, conflict */
export async function requestBackup(
  parts: RequestParts,
  request: BackupRequest,
): Promise<{ readonly backup: Backup }> {
  assertWellFormed(request);
  const backup = await acceptBackup(parts, request);
  parts.log.info({ backupId: backup.id, instanceId: backup.instanceId }, 'backup accepted');
  return { backup };
}

async function acceptBackup(parts: RequestParts, request: BackupRequest): Promise<Backup> {
  try {
    return await parts.catalog.transaction(async (tx) => {
      const instance = await getInstance(tx, request.projectId, request.instanceId);
      assertDatabasesOffered(parts, instance, request);
      await assertFree(tx, instance, request);
      const backup = buildBackup(parts, instance, request);
      await insertWithJob(tx, instance, backup);
      return backup;
    });
  } catch (error) {
    // The database itself found the conflict: two callers passed the questions above at the same
    // moment.
    if (!isErrorKind(error, 'conflict') || error.reason !== null) throw error;
    const taken = await parts.catalog.backups.isNameTaken(request.projectId, request.name);
    const building = await parts.catalog.backups.findBuilding(request.instanceId);
    throw taken && !building ? nameTakenError(request.name) : runningError(error);
  }
}

function assertWellFormed(request: BackupRequest): void {
  if (!isName(request.name)) {
    throw new CairnError('invalid', 'the backup name is not valid', {
      reason: 'backup-name-invalid',
      hint: 'use 4 to 64 letters, digits, hyphens and underscores, a letter first',
    });
  }
  if (!isDescription(request.description)) {
    throw new CairnError('invalid', 'the backup description is not valid', {
      reason: 'backup-description-invalid',
      hint: 'use at most 256 characters, no line breaks and none of > ! < " & \' =',
    });
  }
  if (request.individually && request.databases.length === 0) {
    throw new CairnError(
      'invalid',
      'backup_database_individually needs the databases to be named in databases',
    );
  }
}

function assertDatabasesOffered(
  parts: Pick<RequestParts, 'engines'>,
  { engine }: Instance,
  { databases }: BackupRequest,
): void {
  const { capabilities } = driverFor(parts.engines, engine);
  if (databases.length === 0 || capabilities.partialByDatabase) return;
  throw new CairnError('invalid', `backups of single ${engine} databases are not offered yet`, {
    reason: 'databases-not-offered',
    hint: 'leave databases out: the backup then holds every database of the server',
  });
}

async function assertFree(
  tx: CatalogSession,
  instance: Instance,
  request: BackupRequest,
): Promise<void> {
  const open = await tx.jobs.listOpen(instance.id);
  const leaving = open.some((job) => job.kind === jobKinds.removeInstance);
  if (instance.state.status !== 'active' || leaving) {
    const word = leaving ? 'being removed' : instance.state.status;
    throw new CairnError('conflict', `instance ${instance.name} is ${word}, not active`, {
      reason: 'instance-not-active',
    });
  }
  if (await tx.backups.findBuilding(instance.id)) throw runningError();
  if (await tx.backups.isNameTaken(request.projectId, request.name)) {
    throw nameTakenError(request.name);
  }
}

function buildBackup(
  parts: Pick<RequestParts, 'clock' | 'random'>,
  instance: Instance,
  request: BackupRequest,
): Backup {
  const hex = idSource(parts.random);
  return {
    id: newBackupId(hex, instance.engine),
    projectId: request.projectId,
    instanceId: instance.id,
    instanceName: instance.name,
    engine: instance.engine,
    serverVersion: instance.serverVersion ?? '',
    name: request.name,
    description: request.description,
    type: 'manual',
    databases: request.databases,
    jobId: newJobId(hex),
    startedAt: parts.clock.now(),
    state: { status: 'building' },
  };
}

async function insertWithJob(
  tx: CatalogSession,
  instance: Instance,
  backup: Backup,
): Promise<void> {
  await tx.backups.insert(backup);
  const payload: BackupPayload = { backupId: backup.id };
  await tx.jobs.insert({
    id: backup.jobId,
    projectId: backup.projectId,
    kind: jobKinds.backup,
    pool: instance.pool,
    instanceId: instance.id,
    instanceName: instance.name,
    payload,
    attemptsMax: jobAttemptsMax[jobKinds.backup],
    createdAt: backup.startedAt,
  });
}

function runningError(cause?: unknown): CairnError {
  return new CairnError('conflict', 'a backup of the instance is running already', {
    reason: 'backup-running',
    hint: 'wait until it has ended',
    ...(cause === undefined ? {} : { cause }),
  });
}

function nameTakenError(name: string): CairnError {
  return new CairnError('conflict', `a backup named ${name} exists already`, {
    reason: 'backup-name-taken',
  });
}
