import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { FollowLogOptions } from '../engine.ts';
import type { Ground } from './ground.ts';

export async function followLog(
  _connection: Connection,
  _options: FollowLogOptions,
  _ground: Ground,
): Promise<never> {
  throw new CairnError('bug', 'not written yet');
}

export async function releaseLog(
  _connection: Connection,
  _keeperName: string,
  _signal: AbortSignal,
  _ground: Ground,
): Promise<void> {
  throw new CairnError('bug', 'not written yet');
}

export function releaseLogByHand(_keeperName: string): string {
  throw new CairnError('bug', 'not written yet');
}
