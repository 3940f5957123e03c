import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { HostState, ServerInspection } from '../engine.ts';
import type { Ground } from './ground.ts';

export async function inspectServer(
  _connection: Connection,
  _signal: AbortSignal,
  _ground: Ground,
): Promise<ServerInspection> {
  throw new CairnError('bug', 'not written yet');
}

export async function lookAtHost(
  _connection: Connection,
  _signal: AbortSignal,
): Promise<HostState> {
  throw new CairnError('bug', 'not written yet');
}
