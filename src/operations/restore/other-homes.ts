import { readdir } from 'node:fs/promises';
import type { EngineDriver } from '../../engines/engine.ts';
import type { JobContext } from '../../jobs/job-kind.ts';
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

/**
 * Removes what the instance does not use any more. The restore is done whatever happens here: a
 * folder that stays is tried again by the next restore, and goes with the instance.
 */
export async function removeOtherHomes(options: {
  readonly context: JobContext;
  readonly parts: WorkerParts;
  readonly driver: EngineDriver;
  readonly payload: RestoreInPlacePayload;
  readonly projectId: ProjectId;
}): Promise<void> {
  const { context, parts, driver, payload, projectId } = options;
  const { serversDir } = parts;
  const { targetInstanceId: instanceId, replacedHomeDir } = payload;
  const assertLease = (): Promise<void> => context.commit(() => Promise.resolve());
  const signal = AbortSignal.timeout(removeTimeoutMs);
  try {
    const { managed, state } = await parts.catalog.instances.get(projectId, instanceId);
    if (!managed || state.status !== 'active') return;
    const currentHomeDir = managed.homeDir;
    const homes = { serversDir, instanceId, currentHomeDir, replacedHomeDir };
    for (const home of await listOtherHomes(homes)) {
      await removeServer(driver, home, { assertLease, signal });
    }
  } catch (error) {
    context.log.warn({ err: error, instanceId }, 'folders of the old server were not removed');
  }
}
