import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { Job } from '../../model/job.ts';
import { driverFor } from '../parts.ts';
import { openBackup } from '../restore/open-backup.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { toLogicalSource } from './logical-source.ts';
import type { DatabaseRestoreReport } from './restore-payload.ts';
import { parseDatabaseRestore } from './restore-payload.ts';

/**
 * Imports databases of a logical backup into a server that runs. They appear under their names when
 * they are whole; an attempt that finds them there has nothing left to do.
 */
export async function runDatabaseRestore(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const { backupId, targetInstanceId, databases, missingRoles } = parseDatabaseRestore(job.payload);
  const { catalog } = parts;
  const { signal, log } = context;
  const target = await catalog.instances.get(job.projectId, targetInstanceId);
  const backup = await catalog.backups.get(job.projectId, backupId);
  if (!target.connection) throw new CairnError('conflict', `instance ${target.name} does not run`);
  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  const source = toLogicalSource(await openBackup(backup, context, parts));
  const driver = driverFor(parts.engines, target.engine);
  await context.assertLease();
  const restored = await driver.restoreDatabases(target.connection, {
    ...{ source, databases, missingRoles, recovery: null, replace: false },
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
}
