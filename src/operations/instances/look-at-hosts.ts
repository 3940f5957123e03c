import type { HostState } from '../../engines/engine.ts';
import type { Instance } from '../../model/instance.ts';
import { deadlineSignal, untilAborted } from '../../platform/deadline.ts';
import type { EngineDrivers } from '../parts.ts';
import { driverFor } from '../parts.ts';

export type { HostState } from '../../engines/engine.ts';

const lookTimeoutMs = 15_000;

/** What each server of the instance is right now; null where there is only one. */
export async function lookAtHosts(
  engines: EngineDrivers,
  { engine, connection, state }: Pick<Instance, 'engine' | 'connection' | 'state'>,
): Promise<readonly HostState[] | null> {
  if (!connection || connection.standbys.length === 0 || state.status !== 'active') return null;
  const signal = deadlineSignal(lookTimeoutMs);
  return await untilAborted(driverFor(engines, engine).lookAtHosts(connection, signal), signal);
}
