// Restores a backup over an instance whose server Cairn started. `in-place-plan.ts` says why no
// moment of a crash loses data: the old folder stays until the new server has answered.

import type { EngineDriver, RecoveryReport, StartedServer } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError, isErrorKind, recordError } from '../../model/errors.ts';
import type { Connection, Instance, ManagedServer } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { removeServer } from '../instances/remove-server.ts';
import { assertServerHere, ensureServerPlace } from '../instances/server-place.ts';
import type { RestoreInPlacePayload } from '../job-payloads.ts';
import { parseRestoreInPlacePayload } from '../job-payloads.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { backUpRestored } from './back-up-restored.ts';
import { planInPlace, planNewHome } from './in-place-plan.ts';
import { openBackup } from './open-backup.ts';
import { openRecovery } from './open-recovery.ts';
import { listOtherHomes, removeIdleHomes, removeOtherHomes } from './other-homes.ts';
import { describeRecovery } from './recovery-result.ts';
import { endReplacedLog } from './replaced-log.ts';
import { findRestoredLogin } from './restored-login.ts';

/** A server that was stopped in the middle may have much of its log to replay. */
const backTimeoutMs = 15 * 60_000;

type Change = {
  readonly job: Job;
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly payload: RestoreInPlacePayload;
  readonly driver: EngineDriver;
  /** As it was when the attempt began: its server is the old one, unless it is `active` already. */
  readonly target: Instance;
  readonly old: { readonly managed: ManagedServer; readonly connection: Connection };
  readonly newHome: string;
};

/** The target is `restoring` since the request, and stays so until it is `active` or `failed`. */
export async function runRestoreInPlace(
  job: Job,
  context: JobContext,
  parts: WorkerParts,
): Promise<void> {
  const payload = parseRestoreInPlacePayload(job.payload);
  const target = await parts.catalog.instances.get(job.projectId, payload.targetInstanceId);
  const { connection, managed } = target;
  if (!connection || !managed) throw new CairnError('bug', `${target.id} has no server of ours`);
  await assertServerHere(target);
  const { replacedHomeDir } = payload;
  const { serversDir } = parts;
  const homes = { serversDir, instanceId: target.id, jobId: job.id, replacedHomeDir };
  const driver = driverFor(parts.engines, target.engine);
  const newHome = planNewHome(homes);
  const old = { managed, connection };
  const change: Change = { job, context, parts, payload, driver, target, old, newHome };
  const isPrepared = await driver.canStartManaged(serverIn(newHome, managed));
  switch (planInPlace({ status: target.state.status, isPrepared })) {
    case 'copy':
      await copyAndSwitch(change);
      break;
    case 'switch':
      await switchOver(change, null);
      break;
    case 'back':
      throw await goBack(change, new CairnError('not-found', `the copy in ${newHome} is gone`));
    case 'tidy':
      break;
    case 'give-up':
      throw new CairnError('engine-refused', `instance ${target.name} is ${target.state.status}`);
  }
  await backUpRestored(target, context, parts);
  await removeOtherHomes({ context, parts, driver, payload, projectId: job.projectId });
}

async function copyAndSwitch(change: Change): Promise<void> {
  const { managed, recovered } = await copy(change);
  await beginSwitch(change, recovered);
  await switchOver(change, managed);
}

/** The old server goes on meanwhile. Whatever fails here leaves nothing behind. */
async function copy(change: Change): ReturnType<EngineDriver['prepareRestored']> {
  const { job, context, parts, payload, driver, old, newHome, target } = change;
  const { signal, log } = context;
  context.progress({ phase: 'preparing', doneBytes: 0, totalBytes: null });
  if (!(await driver.canStartManaged(old.managed))) {
    throw new CairnError('engine-refused', `${target.name} could not be started again`, {
      hint: 'its server was restored by an older Cairn: restore to a new instance instead',
    });
  }
  const backup = await parts.catalog.backups.get(job.projectId, payload.backupId);
  await driver.findServerBinaries(backup.serverVersion);
  await ensureServerPlace(parts);
  const source = await openBackup(backup, context, parts);
  await removeIdleHomes({ context, parts, driver, payload, projectId: job.projectId });
  await removeServer(driver, newHome, context);
  try {
    const recovery = await openRecovery(backup, payload.recovery, parts, signal);
    return await driver.prepareRestored({
      ...{ source, homeDir: newHome, seed: old.managed, recovery, signal, log },
      onProgress: (phase, doneBytes, totalBytes) =>
        context.progress({ phase, doneBytes, totalBytes }),
    });
  } catch (error) {
    await discardCopy(change);
    throw error;
  }
}

/**
 * From here on one of two servers must be started, so a cancel that was asked for comes first: it
 * is read under the lock that it is written under.
 */
async function beginSwitch(change: Change, recovered: RecoveryReport | null): Promise<void> {
  const { job, context, parts, payload, target } = change;
  try {
    await context.commit(async (tx) => {
      const current = await tx.jobs.find(job.projectId, job.id);
      if (current?.cancelRequested) throw new CairnError('cancelled', 'cancelled on request');
      await tx.instances.setState(target.id, { status: 'switching' }, parts.clock.now());
      await tx.jobs.setResult(job.id, describeRecovery(payload, recovered));
    });
  } catch (error) {
    if (isErrorKind(error, 'cancelled')) await discardCopy(change);
    throw error;
  }
}

/** `copied` null: the copy that an earlier attempt has made. */
async function switchOver(change: Change, copied: ManagedServer | null): Promise<void> {
  const { job, context, parts, payload, driver, target, old } = change;
  const { signal, log } = context;
  try {
    const server = copied ?? (await preparedServer(change));
    const login = await findRestoredLogin(job, payload.sourceInstanceId, target, parts);
    const homes = [old.managed.homeDir, ...(await listHomesBesideOld(change))];
    await stopServers(change, homes, { assertLease: context.assertLease, signal });
    await context.assertLease();
    const { port } = old.connection;
    await finish(change, await driver.startManaged(server, { ...login, port, signal, log }));
  } catch (error) {
    if (await isFinished(change)) return;
    throw await goBack(change, error);
  }
}

/** Whatever has a home of the instance may hold its port, even when no attempt knows of it. */
async function listHomesBesideOld(change: Change): Promise<readonly string[]> {
  const { parts, payload, target, old, newHome } = change;
  const { serversDir } = parts;
  const { replacedHomeDir } = payload;
  const currentHomeDir = old.managed.homeDir;
  const homes = { serversDir, instanceId: target.id, currentHomeDir, replacedHomeDir };
  const others = (await listOtherHomes(homes)).filter((home) => home !== newHome);
  return [...others, newHome];
}

/** Stopping one may take longer than a lease: it is looked at before each. */
async function stopServers(
  { driver, old }: Change,
  homes: readonly string[],
  { assertLease, signal }: Pick<JobContext, 'assertLease' | 'signal'>,
): Promise<void> {
  for (const home of homes) {
    await assertLease();
    await driver.stopManaged(serverIn(home, old.managed), signal);
  }
}

/** The one row that makes the new server the instance's. */
async function finish({ context, parts, target }: Change, started: StartedServer): Promise<void> {
  const { connection, serverVersion, systemIdentifier } = started;
  const managed = { ...started.managed, place: await ensureServerPlace(parts) };
  await context.commit(async (tx) => {
    const current = await tx.instances.get(target.projectId, target.id);
    await tx.instances.update({
      ...{ ...current, connection, managed, serverVersion, systemIdentifier },
      state: { status: 'active' },
      updatedAt: parts.clock.now(),
    });
    await endReplacedLog(tx, target, parts.clock.now());
  });
}

/**
 * Whether the row was written although its writer saw an error. @throws when nobody can tell: then
 * both folders stay as they are, and the next attempt reads the row.
 */
async function isFinished({ context, target }: Change): Promise<boolean> {
  const current = await context.commit((tx) => tx.instances.get(target.projectId, target.id));
  return current.state.status === 'active';
}

/**
 * Starts the old server again. Answers the error that the attempt fails with. @throws conflict when
 * the lease is lost: then the servers are another attempt's, and none is touched
 */
async function goBack(change: Change, cause: unknown): Promise<unknown> {
  const { context, parts, driver, target, old } = change;
  // Not the attempt's own: a signal that has fired may be why we are here.
  const signal = AbortSignal.timeout(backTimeoutMs);
  const assertLease = leaseOf(change);
  const { log } = context;
  log.warn({ err: cause }, 'the new server was not taken: starting the old one again');
  try {
    await stopServers(change, await listHomesBesideOld(change), { assertLease, signal });
    await assertLease();
    const { connection } = old;
    const { port } = connection;
    await driver.startManaged(old.managed, {
      ...{ connection, port, signal, log },
      rolePassword: 'keep',
    });
  } catch (error) {
    // The catalog is away: that says nothing of the server, and the next attempt goes on from here.
    if (isErrorKind(error, 'storage-unavailable')) throw error;
    const reason = `${recordError(cause).message}; the old server did not start again either: ${
      recordError(error).message
    }; its data is kept in ${old.managed.homeDir}`;
    await context.commit((tx) =>
      tx.instances.setState(target.id, { status: 'failed', reason }, parts.clock.now()),
    );
    await discardCopy(change);
    return new CairnError('engine-refused', reason, { cause });
  }
  // Whatever had failed before: the old server runs.
  const restoring = { status: 'restoring', failure: null } as const;
  await context.commit((tx) => tx.instances.setState(target.id, restoring, parts.clock.now()));
  await discardCopy(change);
  return cause;
}

/** As `JobContext.assertLease`, but not under the signal. */
function leaseOf({ context }: Change): () => Promise<void> {
  return () => context.commit(() => Promise.resolve());
}

/** Under the lease, but not under the signal: that may be what ended the copy. */
async function discardCopy(change: Change): Promise<void> {
  const { context, driver, newHome } = change;
  const assertLease = leaseOf(change);
  const signal = AbortSignal.timeout(60_000);
  try {
    await removeServer(driver, newHome, { assertLease, signal });
  } catch (error) {
    // With the lease lost it is another attempt's folder by now.
    if (isErrorKind(error, 'conflict')) return;
    context.log.warn({ err: error, homeDir: newHome }, 'the copy was not removed');
  }
}

async function preparedServer(change: Change): Promise<ManagedServer> {
  const { job, parts, payload, driver, old, newHome } = change;
  const backup = await parts.catalog.backups.get(job.projectId, payload.backupId);
  const binDir = await driver.findServerBinaries(backup.serverVersion);
  return { ...serverIn(newHome, old.managed), binDir };
}

function serverIn(homeDir: string, { binDir }: ManagedServer): ManagedServer {
  return { homeDir, dataDir: `${homeDir}/data`, binDir };
}
