// Of several callers at once exactly one is accepted.
import type { Backup, BackupType } from '../../model/backup.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { isDescription, isName } from '../../model/names.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';
import { findObstacle, insertBackup } from './accept-backup.ts';

/** A client waits. */
const lookTimeoutMs = 10_000;

export type BackupRequest = {
  readonly projectId: ProjectId;
  readonly instanceId: InstanceId;
  readonly name: string;
  readonly description: string;
  /** `fragment`: the server is asked for what has changed since its last full backup alone. */
  readonly type: Extract<BackupType, 'manual' | 'fragment'>;
  /** Empty: the whole server. */
  readonly databases: readonly string[];
  /** One file for each of `databases`: it is so in any case. */
  readonly individually: boolean;
};

/** @throws invalid, not-found, conflict */
export async function requestBackup(
  parts: RequestParts,
  request: BackupRequest,
): Promise<{ readonly backup: Backup }> {
  assertWellFormed(request);
  if (request.databases.length > 0) await assertDatabasesKnown(parts, request);
  const backup = await acceptBackup(parts, request);
  parts.log.info({ backupId: backup.id, instanceId: backup.instanceId }, 'backup accepted');
  return { backup };
}

async function acceptBackup(parts: RequestParts, request: BackupRequest): Promise<Backup> {
  try {
    return await parts.catalog.transaction(async (tx) => {
      const instance = await getInstance(tx, request.projectId, request.instanceId);
      assertOffered(parts, instance, request);
      const obstacle = await findObstacle(tx, instance);
      if (obstacle) throw obstacle;
      const { name, description, databases, type } = request;
      return await insertBackup(tx, parts, instance, { name, description, databases, type });
    });
  } catch (error) {
    // The database itself holds that a name is given once and one backup runs at a time: asking
    // before would cost every create what only a refused one needs.
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
  if (new Set(request.databases).size < request.databases.length) {
    throw new CairnError('invalid', 'a database is named twice in databases');
  }
  if (request.individually && request.databases.length === 0) {
    throw new CairnError(
      'invalid',
      'backup_database_individually needs the databases to be named in databases',
    );
  }
  if (request.type === 'fragment' && request.databases.length > 0) {
    throw new CairnError('invalid', 'a differential backup is one of the whole server', {
      hint: 'leave databases out, or make a full backup of them',
    });
  }
}

function assertOffered(
  parts: Pick<RequestParts, 'engines'>,
  { engine }: Instance,
  { databases, type }: BackupRequest,
): void {
  const { capabilities } = driverFor(parts.engines, engine);
  if (type === 'fragment' && !capabilities.differential) {
    throw new CairnError('invalid', `differential backups of ${engine} are not offered`, {
      reason: 'differential-not-offered',
      hint: 'make a full backup: it stores only what has changed',
    });
  }
  if (databases.length === 0 || capabilities.partialByDatabase) return;
  throw new CairnError('invalid', `backups of single ${engine} databases are not offered`, {
    reason: 'databases-not-offered',
    hint: 'leave databases out: the backup then holds every database of the server',
  });
}

/**
 * Asks the server at once, so that a slip of the pen is told at once. When it cannot be asked from
 * here, the worker finds out.
 */
async function assertDatabasesKnown(
  parts: Pick<RequestParts, 'catalog' | 'engines' | 'log'>,
  { projectId, instanceId, databases }: BackupRequest,
): Promise<void> {
  const instance = await getInstance(parts.catalog, projectId, instanceId);
  const driver = driverFor(parts.engines, instance.engine);
  if (!instance.connection || !driver.capabilities.partialByDatabase) return;
  const signal = AbortSignal.timeout(lookTimeoutMs);
  try {
    const [missing] = await driver.findMissingDatabases(instance.connection, databases, signal);
    if (missing === undefined) return;
    throw new CairnError('invalid', `the server has no database “${missing}” to back up`, {
      reason: 'database-unknown',
      hint: unknownHints[instance.engine],
    });
  } catch (error) {
    if (isErrorKind(error, 'invalid')) throw error;
    parts.log.warn({ err: error, instanceId }, 'the server was not asked for its databases');
  }
}

const unknownHints: Readonly<Record<Engine, string>> = {
  postgresql: 'template0, and what else allows no connections, cannot be backed up',
  mysql: 'the schemas that belong to the server itself cannot be backed up alone',
  sqlserver: 'a database that is not online, and a snapshot, cannot be backed up',
};

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
