import type { EngineDriver, PreviousBackup } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import type { Backup } from '../../model/backup.ts';
import { CairnError, isErrorKind } from '../../model/errors.ts';
import type { BackupId } from '../../model/ids.ts';
import type { Instance, ReachableInstance } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import type { RepositoryWriter, StoredBackup } from '../../repository/repository.ts';
import { parseBackupPayload } from '../job-payloads.ts';
import { requestLocks } from '../lock/request-locks.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { reportBackup } from './backup-report.ts';
import { toPreviousBackup } from './previous-backup.ts';

/**
 * Backs up one instance. The manifest is the commit point: whatever fails before it leaves no
 * backup, and an attempt that finds a manifest takes over from the one that wrote it and died.
 */
export async function runBackup(job: Job, context: JobContext, parts: WorkerParts): Promise<void> {
  const { backupId } = parseBackupPayload(job.payload);
  const backup = await parts.catalog.backups.get(job.projectId, backupId);
  const { id, instanceId } = backup;
  // An earlier attempt came this far.
  if (backup.state.status !== 'building') return;
  const found = await parts.repository.findBackup(instanceId, id, context.signal);
  if (!found) await storeBackup(backup, context, parts);
  const stored = await readBack(backup, context, parts);
  await context.commit(async (tx) => {
    await tx.backups.setState(id, completedState(stored));
    const report = reportBackup(stored);
    if (report) await tx.jobs.setResult(job.id, report);
    if (parts.repository.locks) await requestLocks(tx, parts, backup);
  });
}

async function storeBackup(backup: Backup, context: JobContext, parts: WorkerParts): Promise<void> {
  const instance = assertReachable(
    await parts.catalog.instances.get(backup.projectId, backup.instanceId),
  );
  const driver = driverFor(parts.engines, instance.engine);
  const previous = await parts.catalog.backups.findLatestCompleted(instance.id, backup.databases);
  const scene = { backup, instance, driver, previousBackupId: previous?.id ?? null };
  const outcome = await storeWith('kept', scene, context, parts);
  if (outcome === 'previous-unfit') await storeWith('compared', scene, context, parts);
}

type BackupScene = {
  readonly backup: Backup;
  readonly instance: ReachableInstance;
  readonly driver: EngineDriver;
  readonly previousBackupId: BackupId | null;
};

/**
 * The pages of the previous backup are kept where the server says that they have not changed, or
 * only compared with what it sends. A previous backup that cannot be read, or that does not fit
 * what the server says, costs the way of keeping, never the backup (rule 32).
 */
async function storeWith(
  pages: 'kept' | 'compared',
  scene: BackupScene,
  context: JobContext,
  parts: WorkerParts,
): Promise<'stored' | 'previous-unfit'> {
  const { backup, instance, previousBackupId } = scene;
  const { signal, log } = context;
  context.progress({ phase: 'connecting', doneBytes: 0, totalBytes: null });
  await using writer = await parts.repository.openWriter({
    ...{ instanceId: instance.id, backupId: backup.id, previousBackupId },
    ...{ now: parts.clock.now(), signal, log },
  });
  const reader = pages === 'kept' ? writer.previous : null;
  try {
    await fillWriter(
      writer,
      { ...scene, previous: reader && toPreviousBackup(reader) },
      context,
      parts,
    );
    return 'stored';
  } catch (error) {
    if (writer.hasIncrements && mayBeUnfit(error)) {
      log.warn({ err: error, previousBackupId }, 'the previous backup does not fit: all is sent');
      return 'previous-unfit';
    }
    await discardIfFinal(writer, error, context);
    throw error;
  }
}

function mayBeUnfit(error: unknown): boolean {
  return isErrorKind(error, 'repository-damaged') || isErrorKind(error, 'engine-refused');
}

async function fillWriter(
  writer: RepositoryWriter,
  scene: BackupScene & { readonly previous: PreviousBackup | null },
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const { backup, instance, driver, previous } = scene;
  const { signal, log } = context;
  let lastBytes = 0;
  const options = {
    sink: writer,
    onProgress: (doneBytes: number, totalBytes: number | null) => {
      lastBytes = doneBytes;
      context.progress({ phase: 'copying', doneBytes, totalBytes });
    },
    kind: backup.type === 'fragment' ? ('differential' as const) : ('full' as const),
    ...{ signal, log },
  };
  const { databases } = backup;
  const { connection } = instance;
  const label = `cairn ${backup.name}`;
  const base =
    databases.length === 0
      ? await driver.takeBaseBackup(connection, { ...options, label, previous })
      : await driver.takeLogicalBackup(connection, { ...options, databases });
  context.progress({ phase: 'committing', doneBytes: lastBytes, totalBytes: lastBytes });
  try {
    await writer.commit({
      instance: { name: instance.name, engine: instance.engine },
      backup: { ...backup, endedAt: parts.clock.now() },
      base,
      beforeCommit: () => context.assertLease(),
    });
  } catch (error) {
    // An attempt that had lost its lease wrote the manifest after all: the backup exists, and is
    // taken over like that of an attempt that died.
    const isWritten = isErrorKind(error, 'conflict') && (await isStored(backup, context, parts));
    if (!isWritten) throw error;
  }
}

/**
 * What the attempts have stored serves the next attempt; when none will follow (a cancel, a failure
 * for good) it goes.
 */
async function discardIfFinal(
  writer: RepositoryWriter,
  error: unknown,
  context: JobContext,
): Promise<void> {
  if (!(await context.isFinal(error))) return;
  const assertLease = async (): Promise<void> => {
    if (!(await context.isFinal(error))) throw new CairnError('conflict', 'the lease has run out');
  };
  await writer.discard({ assertLease });
}

async function isStored(
  { instanceId, id }: Backup,
  { signal }: JobContext,
  { repository }: WorkerParts,
): Promise<boolean> {
  return (await repository.findBackup(instanceId, id, signal)) !== null;
}

/**
 * The last log is stored *and* read back (rule 14): a backup that cannot be read is none, and must
 * not stay. Whoever completes the catalog does it, also for the manifest of an attempt that died.
 */
async function readBack(
  { instanceId, id }: Backup,
  { signal, assertLease }: JobContext,
  { repository }: WorkerParts,
): Promise<StoredBackup> {
  try {
    const reader = await repository.openReader(instanceId, id, signal);
    await reader.verify(reader.stored.facts.base.lastLogFile, signal);
    return reader.stored;
  } catch (error) {
    const unreadable = isErrorKind(error, 'repository-damaged') || isErrorKind(error, 'not-found');
    if (unreadable) await repository.deleteBackup(instanceId, id, { assertLease, signal });
    throw error;
  }
}

function assertReachable(instance: Instance): ReachableInstance {
  const { connection } = instance;
  if (connection) return { ...instance, connection };
  throw new CairnError('conflict', `instance ${instance.name} is not running yet`);
}

function completedState(stored: StoredBackup): Backup['state'] {
  const { startPosition, stopPosition } = stored.facts.base;
  return {
    status: 'completed',
    endedAt: stored.facts.backup.endedAt,
    totals: stored.totals,
    ...{ startPosition, stopPosition },
  };
}
