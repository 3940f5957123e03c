import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { CairnError } from '../model/errors.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { FolderPoint } from '../operations/restore/restore-to-folder.ts';
import { quoteForShell } from '../platform/shell-text.ts';
import type { TargetOptions } from './restore-target.ts';
import { readRestoreTarget, readSkipped } from './restore-target.ts';

/** What is restored to a folder, where the service is not asked. @throws invalid */
export function readFolderPoint(options: TargetOptions, config: Config): FolderPoint {
  const target = readRestoreTarget(options);
  if (target.kind === 'end-of-backup') return { kind: 'backup', backupId: target.backupId };
  const instanceId = parseInstanceId(options.instance ?? '');
  if (!instanceId) {
    throw new CairnError('invalid', `${options.instance} is not an instance id`, {
      hint: 'with --to only the storage is asked, which knows instances by their ids',
    });
  }
  const { storageUrl, dataDir } = config;
  const main = join(import.meta.dirname, '../main.ts');
  const commandFor = (planPath: string): string =>
    [process.execPath, main, 'wal-get', '--plan', planPath].map(quoteForShell).join(' ');
  return {
    kind: 'target',
    instanceId,
    target,
    skippedTransactions: readSkipped(options),
    fetch: { place: { storageUrl, dataDir }, commandFor },
  };
}
