import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { DatabaseRestoreOptions, RestoredDatabase } from '../engine.ts';
import type { Ground } from './ground.ts';

export async function restoreDatabases(
  _connection: Connection,
  _options: DatabaseRestoreOptions,
  _ground: Ground,
): Promise<readonly RestoredDatabase[]> {
  throw new CairnError('bug', 'not written yet');
}
