import { join } from 'node:path';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { Connection, Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
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
  const { catalog, repository } = parts;
  const { signal, log } = context;
  const target = await catalog.instances.get(job.projectId, payload.targetInstanceId);
  const backup = await catalog.backups.get(job.projectId, payload.backupId);
  const driver = driverFor(parts.engines, target.engine);
  const homeDir = join(parts.serversDir, target.id);

  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  await driver.findServerBinaries(backup.serverVersion);
  const source = await repository.openReader(backup.instanceId, backup.id, signal);
  // An earlier attempt may have left files, or a server that nobody knows.
  await removeServer(driver, homeDir, signal);
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
    // Not ours to register any more: whoever holds the lease now starts a server of its own.
    await driver.stopManaged(started.managed, AbortSignal.timeout(60_000));
    throw error;
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
