// The one server that a connection leads to. Replicas are instances of their own: nothing that is
// taken from them goes on with what was taken from another server.
import type { Connection } from '../../model/instance.ts';
import type { HostState } from '../engine.ts';
import { throwIfAborted } from '../guard.ts';
import { withQueries } from './connection.ts';
import { readReplicaStatus } from './replica-status.ts';
import { readFlavor } from './server-identity.ts';

/** @throws the signal's reason only */
export async function lookAtHost(connection: Connection, signal: AbortSignal): Promise<HostState> {
  const { host, port } = connection;
  try {
    return await withQueries(connection, { signal }, async (query) => {
      const status = await readReplicaStatus(query, (await readFlavor(query)).flavor);
      if (status.kind !== 'replica') return { host, port, role: 'primary', timeline: null };
      const { isReceiving: isStreaming, lagMs } = status;
      return { host, port, role: 'standby', timeline: null, isStreaming, lagMs };
    });
  } catch (error) {
    throwIfAborted(signal);
    const problem = error instanceof Error ? error.message : String(error);
    return { host, port, role: 'unknown', problem };
  }
}
