// Restoring over an instance: accepted only where Cairn started the server, since only there it can
// stop it, put another data folder in its place and start the old one again if that fails.
import type { CatalogSession } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, JobId } from '../../model/ids.ts';
import { newJobId } from '../../model/ids.ts';
import type { Instance, ManagedServer } from '../../model/instance.ts';
import { majorVersion } from '../../model/server-version.ts';
import { idSource } from '../../platform/random.ts';
import { getBackup } from '../backup/get-backup.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RestoreInPlacePayload } from '../job-payloads.ts';
import { formatRestorePayload, jobAttemptsMax, jobKinds } from '../job-payloads.ts';
import type { RequestParts } from '../parts.ts';
import { findRecoveryFacts, newestTimeline } from './recovery-facts.ts';
import type { RequestedRecovery } from './recovery-payload.ts';
import type { ResolvedPoint, RestoreSource } from './restore-point.ts';
import { assertRestorable, assertSameServer, resolvePoint } from './restore-point.ts';

/** The target may be the source itself. */
export type InPlaceRequest = RestoreSource & { readonly targetInstanceId: InstanceId };

/** The target is `restoring` from now on. @throws invalid, not-found, conflict */
export async function requestRestoreInPlace(
  parts: RequestParts,
  request: InPlaceRequest,
): Promise<{ readonly jobId: JobId }> {
  const resolved = await resolveInPlace(parts.catalog, request);
  const { backupId } = resolved;
  const jobId = newJobId(idSource(parts.random));
  await parts.catalog.transaction((tx) => accept(tx, parts, request, { ...resolved, jobId }));
  const { targetInstanceId: instanceId } = request;
  parts.log.info({ instanceId, backupId, jobId }, 'restore in place accepted');
  return { jobId };
}

/**
 * Also a restore to the end of a backup becomes a recovery: what the server writes from then on
 * must lie on a branch that neither it nor the source has written before, or archived log of two
 * histories could be taken for one.
 */
async function resolveInPlace(
  catalog: CatalogSession,
  request: InPlaceRequest,
): Promise<ResolvedPoint & { readonly recovery: RequestedRecovery }> {
  const { projectId, sourceInstanceId, targetInstanceId } = request;
  const { backupId, recovery } = await resolvePoint(catalog, request);
  const taken = [recovery?.newestTimeline ?? 1];
  for (const instanceId of [sourceInstanceId, targetInstanceId]) {
    taken.push(newestTimeline(await findRecoveryFacts(catalog, { projectId, instanceId })));
  }
  const asItIs = { target: { kind: 'end-of-backup', backupId } as const, log: null };
  const wanted = recovery ?? { ...asItIs, skippedTransactions: [] };
  return { backupId, recovery: { ...wanted, newestTimeline: Math.max(...taken) } };
}

async function accept(
  tx: CatalogSession,
  parts: RequestParts,
  request: InPlaceRequest,
  { backupId, recovery, jobId }: ResolvedPoint & { readonly jobId: JobId },
): Promise<void> {
  const { projectId } = request;
  const backup = await getBackup(tx, projectId, backupId);
  assertRestorable(parts, backup, request);
  const target = await getInstance(tx, projectId, request.targetInstanceId);
  const { engine, serverVersion } = target;
  const version = serverVersion === null ? null : majorVersion(engine, serverVersion);
  assertSameServer(backup, { engine, version });
  const managed = requireManaged(target);
  await assertFree(tx, target);
  const createdAt = parts.clock.now();
  const payload: RestoreInPlacePayload = {
    backupId,
    sourceInstanceId: backup.instanceId,
    targetInstanceId: target.id,
    replacedHomeDir: managed.homeDir,
    recovery,
  };
  const failure = target.state.status === 'failed' ? target.state.reason : null;
  await tx.instances.setState(target.id, { status: 'restoring', failure }, createdAt);
  await tx.jobs.insert({
    ...{ id: jobId, projectId, createdAt },
    payload: formatRestorePayload(payload),
    kind: jobKinds.restoreInPlace,
    pool: target.pool,
    instanceId: target.id,
    instanceName: target.name,
    attemptsMax: jobAttemptsMax[jobKinds.restoreInPlace],
  });
}

function requireManaged(target: Instance): ManagedServer {
  if (target.state.status === 'building') throw notActiveError(target, 'building');
  if (target.managed && target.connection) return target.managed;
  throw new CairnError(
    'invalid',
    `the server of instance ${target.name} was not started by Cairn, which cannot stop it`,
    {
      reason: 'restore-in-place-not-offered',
      hint: 'restore to a new instance and let the clients switch over to it',
    },
  );
}

async function assertFree(tx: CatalogSession, target: Instance): Promise<void> {
  const { status } = target.state;
  const open = await tx.jobs.listOpen(target.id);
  const isOpen = (kind: string): boolean => open.some((job) => job.kind === kind);
  if (isOpen(jobKinds.removeInstance)) throw notActiveError(target, 'being removed');
  if (isOpen(jobKinds.backup)) throw busyError(target, 'a backup');
  const isRestoring = status === 'restoring' || status === 'switching';
  const { restoreInPlace, restoreDatabases, restoreParts } = jobKinds;
  if (isRestoring || [restoreInPlace, restoreDatabases, restoreParts].some(isOpen)) {
    throw busyError(target, 'a restore');
  }
  // One that failed has lost nothing by being tried again.
  if (status !== 'active' && status !== 'failed') throw notActiveError(target, status);
}

function notActiveError({ name }: Instance, word: string): CairnError {
  return new CairnError('conflict', `instance ${name} is ${word}, not active`, {
    reason: 'instance-not-active',
  });
}

function busyError({ name }: Instance, what: string): CairnError {
  return new CairnError('conflict', `${what} is running on instance ${name}`, {
    reason: 'instance-busy',
    hint: 'wait until its job has ended, or cancel it',
  });
}
