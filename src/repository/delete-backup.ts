// Removes one backup. Its manifest goes first: from then on the backup does not exist. Then go the
// objects of its folder that no other manifest of the instance names. When another manifest cannot
// be read nobody knows what it needs, so nothing is deleted (rule 4). The caller holds the
// instance's exclusive lease.
import { isErrorKind } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { backupFolder, manifestObject } from './format.ts';
import type { KeyRing } from './keys.ts';
import { NeededObjects } from './needed-objects.ts';

const batchSize = 50;

export type DeleteParts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  readonly assertLease: () => Promise<void>;
  readonly signal: AbortSignal;
};

export async function deleteBackup(parts: DeleteParts): Promise<{ freedBytes: number }> {
  const { storage, instanceId, backupId, signal, assertLease } = parts;
  const manifest = manifestObject(instanceId, backupId);
  const needed = await readNeeded(parts, manifest);
  const found: ObjectInfo[] = [];
  for await (const info of storage.list(backupFolder(instanceId, backupId), signal)) {
    found.push(info);
  }
  await assertLease();
  await storage.delete(manifest, signal);
  const plan = planDeletion(found, needed);
  let freedBytes = 0;
  for (let at = 0; at < plan.length; at += batchSize) {
    await assertLease();
    for (const { name, sizeBytes } of plan.slice(at, at + batchSize)) {
      await storage.delete(name, signal);
      freedBytes += sizeBytes;
    }
  }
  return { freedBytes };
}

/** What may go; `needed` null means that nobody knows what others need. */
export function planDeletion(
  found: readonly ObjectInfo[],
  needed: ReadonlySet<string> | null,
): readonly ObjectInfo[] {
  return found.filter(({ name }) => {
    if (name.endsWith('/manifest')) return true;
    return needed !== null && !needed.has(name);
  });
}

async function readNeeded(parts: DeleteParts, except: string): Promise<ReadonlySet<string> | null> {
  const needed = new NeededObjects({ ...parts, except });
  try {
    await needed.read(parts.signal);
    return needed.names;
  } catch (error) {
    if (isErrorKind(error, 'repository-damaged')) return null;
    throw error;
  }
}
