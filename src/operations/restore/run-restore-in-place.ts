// Restores a backup over an instance whose server Cairn started. `in-place-plan.ts` says why no
// moment of a crash loses data: the old folder stays until the new server has answered.

import type { EngineDriver, StartedServer } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { CairnError, isErrorKind, recordError } from '../../model/errors.ts';
import type { Connection, Instance, ManagedServer } from '../../model/instance.ts';
import type { Job } from '../../model/job.ts';
import { removeServer } from '../instances/remove-server.ts';
import type { RestoreInPlacePayload } from '../job-payloads.ts';
import { parseRestoreInPlacePayload } from '../job-payloads.ts';
import { driverFor } from '../parts.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { backUpRestored } from './back-up-restored.ts';
import { planInPlace, planNewHome } from './in-place-plan.ts';
import { findSourceConnection, openBackup } from './open-backup.ts';
import { removeOtherHomes } from './other-homes.ts';

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
      await switchOver(change, await copy(change));
      break;
    case 'switch':
      await switchOver(change, await preparedServer(change));
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

/** The old server goes on meanwhile. Whatever fails here leaves nothing behind. */
async function copy(change: Change): Promise<ManagedServer> {
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
  const source = await openBackup(backup, context, parts);
  await removeServer(driver, newHome, context);
  try {
    return await driver.prepareRestored({
      ...{ source, homeDir: newHome, signal, log },
      onProgress: (phase, doneBytes, totalBytes) =>
        context.progress({ phase, doneBytes, totalBytes }),
    });
  } catch (error) {
    await discardCopy(change);
    throw error;
  }
}

async function switchOver(change: Change, copied: ManagedServer): Promise<void> {
  const { job, context, parts, payload, driver, target, old } = change;
  const { signal, log } = context;
  const connection = await findSourceConnection(job, payload.sourceInstanceId, parts);
  await context.commit((tx) =>
    tx.instances.setState(target.id, { status: 'switching' }, parts.clock.now()),
  );
  try {
    await driver.stopManaged(old.managed, signal);
    // One that an earlier attempt has left there may still be stopped by it: not ours to prove.
    await driver.stopManaged(copied, signal);
    await context.assertLease();
    const { port } = old.connection;
    const rolePassword = 'ensure';
    const options = { connection, port, rolePassword, signal, log } as const;
    await finish(change, await driver.startManaged(copied, options));
  } catch (error) {
    if (await isFinished(change)) return;
    throw await goBack(change, error);
  }
}

/** The one row that makes the new server the instance's. */
async function finish({ context, parts, target }: Change, started: StartedServer): Promise<void> {
  const { connection, managed, serverVersion, systemIdentifier } = started;
  await context.commit(async (tx) => {
    const current = await tx.instances.get(target.projectId, target.id);
    await tx.instances.update({
      ...{ ...current, connection, managed, serverVersion, systemIdentifier },
      state: { status: 'active' },
      updatedAt: parts.clock.now(),
    });
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

/** Starts the old server again. Answers the error that the attempt fails with. */
async function goBack(change: Change, cause: unknown): Promise<unknown> {
  const { context, parts, driver, target, old, newHome } = change;
  const signal = AbortSignal.timeout(backTimeoutMs);
  const { log } = context;
  log.warn({ err: cause }, 'the new server was not taken: starting the old one again');
  try {
    await driver.stopManaged(serverIn(newHome, old.managed), signal);
    const { connection } = old;
    const { port } = connection;
    await driver.startManaged(old.managed, {
      ...{ connection, port, signal, log },
      rolePassword: 'keep',
    });
  } catch (error) {
    const reason = `${recordError(cause).message}; the old server did not start again either: ${
      recordError(error).message
    }; its data is kept in ${old.managed.homeDir}`;
    await context.commit((tx) =>
      tx.instances.setState(target.id, { status: 'failed', reason }, parts.clock.now()),
    );
    return new CairnError('engine-refused', reason, { cause });
  }
  await context.commit((tx) =>
    tx.instances.setState(target.id, { status: 'restoring' }, parts.clock.now()),
  );
  await discardCopy(change);
  return cause;
}

/** Under the lease, but not under the signal: that may be what ended the copy. */
async function discardCopy({ context, driver, newHome }: Change): Promise<void> {
  const assertLease = (): Promise<void> => context.commit(() => Promise.resolve());
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
