import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineDriver, StartedServer } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { ReachableInstance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { removeServer } from '../instances/remove-server.ts';
import { ensureServerPlace } from '../instances/server-place.ts';
import { driverFor } from '../parts.ts';
import { openBackup } from '../restore/open-backup.ts';
import { openRecovery } from '../restore/open-recovery.ts';
import { findRestoredLogin } from '../restore/restored-login.ts';
import type { WorkerParts } from '../worker-parts.ts';
import type { PartsReport, PartsRestorePayload } from './parts-payload.ts';
import { parsePartsRestore } from './parts-payload.ts';

const removeTimeoutMs = 5 * 60_000;

type Scene = {
  readonly job: Job;
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly payload: PartsRestorePayload;
  readonly driver: EngineDriver;
  readonly instance: ReachableInstance;
};

/**
 * Restores a hidden server to the moment, copies what was chosen from it into the instance under
 * new names, and removes the hidden server, whatever happened.
 */
export async function runPartsRestore(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const payload = parsePartsRestore(job.payload);
  const instance = await parts.catalog.instances.get(job.projectId, payload.targetInstanceId);
  const { connection } = instance;
  if (!connection) throw new CairnError('conflict', `instance ${instance.name} does not run`);
  const driver = driverFor(parts.engines, instance.engine);
  const scene = { job, context, parts, payload, driver, instance: { ...instance, connection } };
  const homeDir = join(parts.serversDir, `${scratchPrefix(instance.id)}${job.id.slice(0, 7)}`);
  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  await removeScratch(scene);
  try {
    const hidden = await startHidden(scene, homeDir);
    const report = await copyParts(scene, hidden);
    await context.commit((tx) => tx.jobs.setResult(job.id, report));
  } finally {
    await removeScratch(scene).catch((err: unknown) =>
      context.log.warn({ err, homeDir }, 'the hidden server was not removed'),
    );
  }
}

async function startHidden(
  { job, context, parts, payload, driver, instance }: Scene,
  homeDir: string,
): Promise<StartedServer> {
  const { signal, log } = context;
  const backup = await parts.catalog.backups.get(job.projectId, payload.backupId);
  await driver.findServerBinaries(backup.serverVersion);
  await ensureServerPlace(parts);
  const source = await openBackup(backup, context, parts);
  const recovery = await openRecovery(backup, payload.recovery, parts, signal);
  return await driver.startRestored({
    ...{ source, homeDir, recovery, signal, log, port: 0 },
    login: await findRestoredLogin(job, instance.id, instance, parts),
    onProgress: (phase, doneBytes, totalBytes) =>
      context.progress({ phase, doneBytes, totalBytes }),
  });
}

async function copyParts(
  { job, context, payload, driver, instance }: Scene,
  { connection: from }: StartedServer,
): Promise<PartsReport> {
  const { signal, log } = context;
  const { selection, backupId } = payload;
  await context.assertLease();
  const options = {
    ...{ from, tag: job.id, signal, log },
    onProgress: (phase: string, doneBytes: number, totalBytes: number) =>
      context.progress({ phase, doneBytes, totalBytes }),
  };
  if (selection.kind === 'databases') {
    const { databases } = selection;
    const restored = await driver.copyDatabases(instance.connection, { ...options, databases });
    return { kind: 'restored-databases', backupId, databases: restored };
  }
  const { databases } = selection;
  const tables = await driver.copyTables(instance.connection, { ...options, databases });
  const rowCount = tables.reduce((sum, table) => sum + table.rowCount, 0);
  return { kind: 'restored-tables', backupId, tableCount: tables.length, rowCount };
}

/** A folder that begins so also goes with the instance, and before a restore over it. */
function scratchPrefix(instanceId: string): string {
  return `${instanceId}.p`;
}

/** Also those of attempts that died: no two such jobs of an instance run at once. */
async function removeScratch({ driver, instance, parts, context }: Scene): Promise<void> {
  const names = await readdir(parts.serversDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const assertLease = (): Promise<void> => context.commit(() => Promise.resolve());
  const signal = AbortSignal.timeout(removeTimeoutMs);
  for (const name of names.filter((one) => one.startsWith(scratchPrefix(instance.id)))) {
    await removeServer(driver, join(parts.serversDir, name), { assertLease, signal });
  }
}
