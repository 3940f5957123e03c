// Ids in paths and bodies. What cannot be an id of ours is answered as clients expect it for that
// kind.
import { CairnError } from '../../model/errors.ts';
import type { BackupId, InstanceId, JobId } from '../../model/ids.ts';
import { parseBackupId, parseInstanceId, parseJobId } from '../../model/ids.ts';

export function requireInstanceId(text: string): InstanceId {
  const id = parseInstanceId(text);
  if (id) return id;
  throw new CairnError('invalid', 'the instance id is malformed', {
    reason: 'instance-id-malformed',
  });
}

export function requireBackupId(text: string): BackupId {
  const id = parseBackupId(text);
  if (id) return id;
  throw new CairnError('not-found', 'the backup does not exist', { reason: 'backup-unknown' });
}

export function requireJobId(text: string): JobId {
  const id = parseJobId(text);
  if (id) return id;
  throw new CairnError('not-found', 'the job does not exist', { reason: 'job-unknown' });
}
