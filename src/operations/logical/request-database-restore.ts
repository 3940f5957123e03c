// Restoring databases of a logical backup to a server that runs, beside what it has.
import type { DatabaseName, DatabaseRestoreOptions } from '../../engines/engine.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import { idSource } from '../../platform/random.ts';
import { findObstacle } from '../backup/accept-backup.ts';
import { getBackup } from '../backup/get-backup.ts';
import { getInstance } from '../instances/get-instance.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { assertSameServer, assertUsable } from '../restore/restore-point.ts';
import { assertNewNames } from './database-names.ts';
import type { DatabaseRestorePayload } from './restore-payload.ts';

export type DatabaseRestoreRequest = {
  readonly projectId: ProjectId;
  readonly backupId: BackupId;
  readonly targetInstanceId: InstanceId;
  /** Empty: every database of the backup, under its own name. */
  readonly databases: readonly DatabaseName[];
  readonly missingRoles: DatabaseRestoreOptions['missingRoles'];
};

/** Whether the new names are free is the worker's to say. @throws invalid, not-found, conflict */
export async function requestDatabaseRestore(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'random' | 'log' | 'engines'>,
  request: DatabaseRestoreRequest,
): Promise<{ readonly jobId: JobId }> {
  const { projectId, backupId, targetInstanceId, missingRoles } = request;
  const id = newJobId(idSource(parts.random));
  await parts.catalog.transaction(async (tx) => {
    const backup = await getBackup(tx, projectId, backupId);
    assertUsable(parts, backup);
    const databases = chooseDatabases(backup, request.databases);
    const target = await getInstance(tx, projectId, targetInstanceId);
    assertSameServer(backup, { engine: target.engine, version: null });
    const obstacle = await findObstacle(tx, target);
    if (obstacle) throw obstacle;
    const payload: DatabaseRestorePayload = {
      ...{ backupId, targetInstanceId, databases, missingRoles },
      sourceInstanceId: backup.instanceId,
    };
    await tx.jobs.insert({
      ...{ id, projectId, payload, createdAt: parts.clock.now() },
      kind: jobKinds.restoreDatabases,
      pool: target.pool,
      instanceId: target.id,
      instanceName: target.name,
      attemptsMax: jobAttemptsMax[jobKinds.restoreDatabases],
    });
  });
  parts.log.info({ backupId, instanceId: targetInstanceId, jobId: id }, 'restore accepted');
  return { jobId: id };
}

function chooseDatabases(
  { name, engine, databases: held }: Backup,
  wanted: readonly DatabaseName[],
): readonly DatabaseName[] {
  if (held.length === 0) {
    throw new CairnError('invalid', `backup ${name} holds a whole server, not single databases`, {
      reason: 'databases-not-offered',
      hint: 'restore it to a new instance',
    });
  }
  const chosen =
    wanted.length > 0 ? wanted : held.map((oldName) => ({ oldName, newName: oldName }));
  const unknown = chosen.find(({ oldName }) => !held.includes(oldName));
  if (unknown) {
    throw new CairnError('invalid', `backup ${name} holds no database “${unknown.oldName}”`, {
      reason: 'database-unknown',
      hint: `it holds ${held.join(', ')}`,
    });
  }
  assertNewNames(chosen, engine);
  return chosen;
}
