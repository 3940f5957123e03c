import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { BaseBackupOptions, BaseBackupResult, LogicalBackupOptions } from '../engine.ts';
import type { Ground } from './ground.ts';

export async function takeBaseBackup(
  _connection: Connection,
  _options: BaseBackupOptions,
  _ground: Ground,
): Promise<BaseBackupResult> {
  throw new CairnError('bug', 'not written yet');
}

export async function takeLogicalBackup(
  _connection: Connection,
  _options: LogicalBackupOptions,
  _ground: Ground,
): Promise<BaseBackupResult> {
  throw new CairnError('bug', 'not written yet');
}

export async function findMissingDatabases(
  _connection: Connection,
  _names: readonly string[],
  _signal: AbortSignal,
): Promise<readonly string[]> {
  throw new CairnError('bug', 'not written yet');
}
