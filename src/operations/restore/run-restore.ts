import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { removeServer, stopServer } from '../instances/remove-server.ts';
import { ensureServerPlace } from '../instances/server-place.ts';
import { parseRestorePayload } from '../job-payloads.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { backUpRestored } from './back-up-restored.ts';
import { openBackup } from './open-backup.ts';
import { openRecovery } from './open-recovery.ts';
import { describeRecovery } from './recovery-result.ts';
import { findRestoredLogin } from './restored-login.ts';

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
  const place = await ensureServerPlace(parts);
  const source = await openBackup(backup, context, parts);
  // An earlier attempt may have left files, or a server that nobody knows.
  await removeServer(driver, homeDir, context);
  const recovery = await openRecovery(backup, payload.recovery, parts, signal);
  const login = await findRestoredLogin(job, payload.sourceInstanceId, target, parts);
  const started = await driver
    .startRestored({
      ...{ source, homeDir, port: payload.port, recovery, signal, log, login },
      onProgress: (phase, doneBytes, totalBytes) =>
        context.progress({ phase, doneBytes, totalBytes }),
    })
    .catch(async (error: unknown) => {
      await discardData(driver, homeDir, context);
      throw error;
    });
  try {
    const { connection, serverVersion, systemIdentifier } = started;
    const managed = { ...started.managed, place };
    const running: Instance = {
      ...{ ...target, connection, managed, serverVersion, systemIdentifier },
      state: { status: 'active' },
      updatedAt: parts.clock.now(),
    };
    const report = describeRecovery(payload, started.recovered);
    await context.commit(async (tx) => {
      await tx.instances.update(running);
      await tx.jobs.setResult(job.id, report);
    });
  } catch (error) {
    if (!(await isTakenOver(job, target.id, parts))) {
      await driver.stopManaged(started.managed, AbortSignal.timeout(60_000));
    }
    throw error;
  }
  await backUpRestored(target, context, parts);
}

/**
 * What nobody can use does not fill the disk, on which the catalog may be, too. Logs beside it
 * stay, for who asks why. Not under the signal: that may be what ended the restore.
 */
async function discardData(
  driver: EngineDriver,
  homeDir: string,
  { commit, log }: JobContext,
): Promise<void> {
  const assertLease = (): Promise<void> => commit(() => Promise.resolve());
  try {
    await stopServer(driver, homeDir, { assertLease, signal: AbortSignal.timeout(60_000) });
    for (const entry of await readdir(homeDir, { withFileTypes: true })) {
      if (entry.isDirectory()) await rm(join(homeDir, entry.name), { recursive: true });
    }
  } catch (error) {
    if (isErrorKind(error, 'conflict') || !existsSync(homeDir)) return;
    log.warn({ err: error, homeDir }, 'the data of a failed restore were not removed');
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
