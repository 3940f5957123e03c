// Copies in a second storage. Without one the only policy that can be set is "off": a policy that
// is stored and does nothing would be believed.
import type { OffsiteEntry } from '../../catalog/catalog.ts';
import { CairnError } from '../../model/errors.ts';
import type { InstanceId, ProjectId } from '../../model/ids.ts';
import { getInstance } from '../instances/get-instance.ts';
import type { RequestParts } from '../parts.ts';
import { emptyPolicy } from './get-policy.ts';

/** @throws not-found, invalid while there is no such second storage */
export async function setOffsitePolicy(
  parts: Pick<RequestParts, 'catalog' | 'clock' | 'secondStorage'>,
  projectId: ProjectId,
  instanceId: InstanceId,
  entry: OffsiteEntry,
): Promise<void> {
  await parts.catalog.transaction(async (tx) => {
    await getInstance(tx, projectId, instanceId);
    const found = await tx.policies.find(instanceId);
    const before = found ?? emptyPolicy(projectId, instanceId, parts.clock.now());
    const others = before.offsite.filter(({ backupType }) => backupType !== entry.backupType);
    if (entry.keepDays === 0) {
      await tx.policies.put({ ...before, offsite: entry.backupType === 'all' ? [] : others });
      return;
    }
    assertOffered(parts.secondStorage, entry);
    assertCopiesFull([...others, entry]);
    await tx.policies.put({ ...before, offsite: [...others, entry] });
  });
}

function assertOffered(storage: RequestParts['secondStorage'], entry: OffsiteEntry): void {
  if (storage === null) {
    throw new CairnError('invalid', 'there is no second storage to copy backups to', {
      reason: 'offsite-not-offered',
      hint: 'set CAIRN_OFFSITE_STORAGE for the service; keep_days 0 is accepted',
    });
  }
  if (entry.destinationRegion === storage.region) return;
  throw new CairnError('invalid', `the second storage is in region ${storage.region}`, {
    reason: 'offsite-not-offered',
    hint: `name ${storage.region} as destination_region`,
  });
}

/** Logs are of no use without the full backups that they follow. */
function assertCopiesFull(entries: readonly OffsiteEntry[]): void {
  if (entries.some(({ backupType }) => backupType !== 'incremental')) return;
  throw new CairnError('invalid', 'backup_type incremental needs copies of full backups first', {
    reason: 'offsite-not-offered',
    hint: 'set a policy of backup_type auto or all',
  });
}
