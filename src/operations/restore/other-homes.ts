import { readdir } from 'node:fs/promises';
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
import { isErrorKind } from '../../model/errors.ts';
import type { ProjectId } from '../../model/ids.ts';
import { removeServer } from '../instances/remove-server.ts';
import type { RestoreInPlacePayload } from '../job-payloads.ts';
import type { WorkerParts } from '../worker-parts.ts';
import { planOtherHomes } from './in-place-plan.ts';

const removeTimeoutMs = 5 * 60_000;

/** Folders of the instance besides the one in use: what a restore that died has left. */
export async function listOtherHomes(
  homes: Omit<Parameters<typeof planOtherHomes>[0], 'names'>,
): Promise<readonly string[]> {
  const names = await readdir(homes.serversDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return planOtherHomes({ ...homes, names });
}

type OtherHomesOptions = {
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly driver: EngineDriver;
  readonly payload: RestoreInPlacePayload;
  readonly projectId: ProjectId;
};

/**
 * Removes what the instance does not use any more. The restore is done whatever happens here: a
 * folder that stays is tried again by the next restore, and goes with the instance.
 */
export async function removeOtherHomes(options: OtherHomesOptions): Promise<void> {
  const { context, parts, payload, projectId } = options;
  const { targetInstanceId: instanceId } = payload;
  try {
    const { managed, state } = await parts.catalog.instances.get(projectId, instanceId);
    if (!managed || state.status !== 'active') return;
    await removeAll(options, await listHomesBeside(options, managed.homeDir));
  } catch (error) {
    context.log.warn({ err: error, instanceId }, 'folders of the old server were not removed');
  }
}

/**
 * Makes room before a copy: removes what earlier restores left beside the folder to be replaced. A
 * server that still runs in one of them may be in use: it goes once the copy is whole.
 */
export async function removeIdleHomes(options: OtherHomesOptions): Promise<void> {
  const { context, driver, payload } = options;
  const { targetInstanceId: instanceId, replacedHomeDir } = payload;
  try {
    const idle: string[] = [];
    for (const homeDir of await listHomesBeside(options, replacedHomeDir)) {
      const server = { homeDir, dataDir: `${homeDir}/data`, binDir: '' };
      if (!(await driver.isManagedRunning(server))) idle.push(homeDir);
    }
    await removeAll(options, idle);
  } catch (error) {
    if (isErrorKind(error, 'conflict')) throw error;
    context.log.warn({ err: error, instanceId }, 'folders of earlier restores were not removed');
  }
}

async function listHomesBeside(
  { parts: { serversDir }, payload }: OtherHomesOptions,
  currentHomeDir: string,
): Promise<readonly string[]> {
  const { targetInstanceId: instanceId, replacedHomeDir } = payload;
  return await listOtherHomes({ serversDir, instanceId, currentHomeDir, replacedHomeDir });
}

async function removeAll(
  { context, driver }: OtherHomesOptions,
  homes: readonly string[],
): Promise<void> {
  const assertLease = (): Promise<void> => context.commit(() => Promise.resolve());
  const signal = AbortSignal.timeout(removeTimeoutMs);
  for (const home of homes) await removeServer(driver, home, { assertLease, signal });
}
