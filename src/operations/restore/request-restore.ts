// Restoring to a new instance: the target is inserted as `building` together with the job that
// builds it. Whether this host has the binaries for the version is the worker's to say: it is the
// worker that starts them.
import type { CatalogSession } from '../../catalog/catalog.ts';
import type { Backup } from '../../model/backup.ts';
import type { Engine } from '../../model/engine-kind.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId, ProjectId } from '../../model/ids.ts';
import { newInstanceId, newJobId } from '../../model/ids.ts';
import type { Instance } from '../../model/instance.ts';
import { defaultPool } from '../../model/instance.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { majorVersion } from '../../model/server-version.ts';
import { idSource } from '../../platform/random.ts';
import { getBackup } from '../backup/get-backup.ts';
import { assertInstanceName, insertNamed } from '../instances/register-instance.ts';
import type { RestorePayload } from '../job-payloads.ts';
import { jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { driverFor } from '../parts.ts';

/** The recovery targets that a request can name. */
export type RestorePoint = Extract<RecoveryTarget, { readonly kind: 'end-of-backup' | 'time' }>;

export type RestoreRequest = {
  readonly projectId: ProjectId;
  /** The name of the new instance. */
  readonly name: string;
  readonly sourceInstanceId: InstanceId;
  readonly point: RestorePoint;
  /** 0: any free port. */
  readonly port: number;
  /** What the caller believes the source to be; null: no claim. */
  readonly engine: Engine | null;
  readonly version: string | null;
};

export type RestoreResult = { readonly instance: Instance; readonly jobId: JobId };

/**
 * The source instance may be gone: its manual backups stay. @throws invalid, not-found, conflict
 */
export async function requestRestore(
  parts: RequestParts,
  request: RestoreRequest,
): Promise<RestoreResult> {
  assertInstanceName(request.name);
  const { point } = request;
  if (point.kind === 'time') throw timeNotOfferedError();
  const result = await insertNamed(request.name, () =>
    parts.catalog.transaction(async (tx) => {
      const backup = await getBackup(tx, request.projectId, point.backupId);
      assertRestorable(parts, backup, request);
      return await insertTarget(tx, parts, backup, request);
    }),
  );
  parts.log.info({ instanceId: result.instance.id, jobId: result.jobId }, 'restore accepted');
  return result;
}

function assertRestorable(
  parts: Pick<RequestParts, 'engines'>,
  backup: Backup,
  { sourceInstanceId, engine, version }: RestoreRequest,
): void {
  if (backup.instanceId !== sourceInstanceId) {
    throw new CairnError('invalid', `backup ${backup.id} is not one of ${sourceInstanceId}`);
  }
  if (backup.state.status !== 'completed') {
    throw new CairnError('conflict', `backup ${backup.name} is ${backup.state.status}`, {
      reason: 'backup-not-completed',
    });
  }
  if (engine !== null && engine !== backup.engine) {
    throw new CairnError('invalid', `the backup is one of ${backup.engine}, not ${engine}`, {
      reason: 'engine-mismatch',
    });
  }
  const major = majorVersion(backup.engine, backup.serverVersion);
  if (version !== null && version !== major && version !== backup.serverVersion) {
    throw new CairnError('invalid', `the backup is one of version ${major}, not ${version}`, {
      reason: 'version-mismatch',
    });
  }
  driverFor(parts.engines, backup.engine);
}

async function insertTarget(
  tx: CatalogSession,
  parts: Pick<RequestParts, 'clock' | 'random'>,
  backup: Backup,
  request: RestoreRequest,
): Promise<RestoreResult> {
  const hex = idSource(parts.random);
  const now = parts.clock.now();
  const source = await tx.instances.find(request.projectId, backup.instanceId);
  const instance: Instance = {
    id: newInstanceId(hex, backup.engine),
    projectId: request.projectId,
    name: request.name,
    engine: backup.engine,
    state: { status: 'building' },
    connection: null,
    serverVersion: backup.serverVersion,
    systemIdentifier: null,
    managed: null,
    pool: source?.pool ?? defaultPool,
    createdAt: now,
    updatedAt: now,
  };
  const jobId = newJobId(hex);
  const payload: RestorePayload = {
    backupId: backup.id,
    sourceInstanceId: backup.instanceId,
    targetInstanceId: instance.id,
    port: request.port,
  };
  await tx.instances.insert(instance);
  await tx.jobs.insert({
    id: jobId,
    projectId: request.projectId,
    kind: jobKinds.restore,
    pool: instance.pool,
    instanceId: instance.id,
    instanceName: instance.name,
    payload,
    attemptsMax: jobAttemptsMax[jobKinds.restore],
    createdAt: now,
  });
  return { instance, jobId };
}

function timeNotOfferedError(): CairnError {
  return new CairnError('invalid', 'a restore to a point in time is not offered yet', {
    hint: 'no logs are archived yet, so only ends of backups can be asked for: use type backup',
  });
}
