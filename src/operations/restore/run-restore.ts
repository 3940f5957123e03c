import { join } from 'node:path';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Connection, Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import type { RepositoryReader } from '../../repository/repository.ts';
import { removeServer } from '../instances/remove-server.ts';
import { parseRestorePayload } from '../job-payloads.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';

/**
 * Restores a backup to a new running instance. Everything is read and checked before a server
 * starts on it: a damaged repository never becomes a running database.
 */
export async function runRestore(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const payload = parseRestorePayload(job.payload);
  const { catalog } = parts;
  const { signal, log } = context;
  const target = await catalog.instances.get(job.projectId, payload.targetInstanceId);
  // An earlier attempt came this far and died: the server is in use, with data of its own by now.
  if (target.state.status === 'active') return;
  const backup = await catalog.backups.get(job.projectId, payload.backupId);
  const driver = driverFor(parts.engines, target.engine);
  const homeDir = join(parts.serversDir, target.id);

  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  await driver.findServerBinaries(backup.serverVersion);
  const source = await openBackup(backup, context, parts);
  // An earlier attempt may have left files, or a server that nobody knows.
  await removeServer(driver, homeDir, context);
  const started = await driver.startRestored({
    ...{ source, homeDir, port: payload.port, signal, log },
    sourceConnection: await findSourceConnection(job, payload, parts),
    onProgress: (phase, doneBytes, totalBytes) =>
      context.progress({ phase, doneBytes, totalBytes }),
  });
  try {
    const { connection, managed, serverVersion, systemIdentifier } = started;
    const running: Instance = {
      ...{ ...target, connection, managed, serverVersion, systemIdentifier },
      state: { status: 'active' },
      updatedAt: parts.clock.now(),
    };
    await context.commit((tx) => tx.instances.update(running));
  } catch (error) {
    if (!(await isTakenOver(job, target.id, parts))) {
      await driver.stopManaged(started.managed, AbortSignal.timeout(60_000));
    }
    throw error;
  }
}

/** The catalog calls it completed: without its manifest it is not unknown but lost. */
async function openBackup(
  { instanceId, id }: Backup,
  { signal }: JobContext,
  { repository }: WorkerParts,
): Promise<RepositoryReader> {
  try {
    return await repository.openReader(instanceId, id, signal);
  } catch (cause) {
    if (!isErrorKind(cause, 'not-found')) throw cause;
    throw new CairnError('repository-damaged', `backup ${id} is lost: ${cause.message}`, { cause });
  }
}

/**
 * Whether the server in the folder is another attempt's business: one that goes on, will begin, or
 * has handed its server out. All use the same folder: what runs there may not be what we started.
 * Who cannot tell leaves it alone; the next attempt, or the removal of the instance, stops it.
 */
async function isTakenOver(
  { projectId, fence }: Job,
  targetId: InstanceId,
  { catalog }: WorkerParts,
): Promise<boolean> {
  try {
    const target = await catalog.instances.find(projectId, targetId);
    const open = await catalog.jobs.listOpen(targetId);
    const others = open.filter((job) => job.status === 'queued' || job.fence !== fence);
    return target?.state.status === 'active' || others.length > 0;
  } catch {
    return true;
  }
}

/**
 * The roles of the backup are those of the source. When it is gone, the engine's usual superuser
 * stands in.
 */
async function findSourceConnection(
  job: Job,
  { sourceInstanceId }: ReturnType<typeof parseRestorePayload>,
  { catalog }: WorkerParts,
): Promise<Connection> {
  const source = await catalog.instances.find(job.projectId, sourceInstanceId);
  const unknown = { host: '127.0.0.1', port: 0, tls: 'disable', tlsCaPem: null } as const;
  const superuser = { user: 'postgres', database: 'postgres', password: null };
  return source?.connection ?? { ...unknown, ...superuser };
}
