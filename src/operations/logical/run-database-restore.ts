import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import { driverFor } from '../parts.ts';
import { backUpRestored } from '../restore/back-up-restored.ts';
import { openBackup } from '../restore/open-backup.ts';
import { openRecovery } from '../restore/open-recovery.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { toLogicalSource } from './logical-source.ts';
import type { DatabaseRestoreReport } from './restore-payload.ts';
import { parseDatabaseRestore } from './restore-payload.ts';

/**
 * Restores databases of a backup into a server that runs. They appear under their names when they
 * are whole; an attempt that finds them there has nothing left to do.
 */
export async function runDatabaseRestore(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const payload = parseDatabaseRestore(job.payload);
  const { backupId, targetInstanceId, databases, missingRoles, replace } = payload;
  const { catalog } = parts;
  const { signal, log } = context;
  const target = await catalog.instances.get(job.projectId, targetInstanceId);
  const backup = await catalog.backups.get(job.projectId, backupId);
  if (!target.connection) throw new CairnError('conflict', `instance ${target.name} does not run`);
  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  const source = toLogicalSource(await openBackup(backup, context, parts));
  const recovery = await openRecovery(backup, payload.recovery, parts, signal);
  const driver = driverFor(parts.engines, target.engine);
  await context.assertLease();
  const restored = await driver.restoreDatabases(target.connection, {
    ...{ source, databases, missingRoles, recovery, replace },
    ...{ tag: job.id, signal, log },
    onProgress: (phase, doneBytes, totalBytes) =>
      context.progress({ phase, doneBytes, totalBytes }),
  });
  const report: DatabaseRestoreReport = {
    kind: 'restored-databases',
    backupId,
    databases: restored,
  };
  await context.commit((tx) => tx.jobs.setResult(job.id, report));
  if (replace) await backUpRestored(target, context, parts);
}
