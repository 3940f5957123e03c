import { isErrorKind, toCairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { Storage } from '../storage/storage.ts';
import { toStoredBackup } from './backup-reader.ts';
import { damaged, instanceFolder, manifestPattern } from './format.ts';
import type { KeyRing } from './keys.ts';
import { isPresent } from './object-presence.ts';
import { readManifestHeader } from './read-manifest.ts';
import type { ListedBackup, StoredBackup } from './repository.ts';

type Parts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly instanceId: InstanceId;
};

/** Reads the headers of all manifests; what `Repository.readBackups` promises. */
export async function* readBackups(
  parts: Parts,
  signal: AbortSignal,
): AsyncGenerator<ListedBackup> {
  const { storage, instanceId } = parts;
  const found: { readonly name: string; readonly sizeBytes: number; readonly id: BackupId }[] = [];
  for await (const info of storage.list(instanceFolder(instanceId), signal)) {
    const id = manifestPattern.exec(info.name)?.[1];
    if (id !== undefined) found.push({ ...info, id: id as BackupId });
  }
  found.sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const { id: backupId, ...info } of found) {
    try {
      const stored = await readHeader(parts, { ...info, backupId }, signal);
      yield { backupId, stored, error: null };
    } catch (error) {
      if (!(await isPresent(storage, info.name, signal))) continue;
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      yield { backupId, stored: null, error: toCairnError(error) };
    }
  }
}

async function readHeader(
  parts: Parts,
  object: { readonly name: string; readonly sizeBytes: number; readonly backupId: BackupId },
  signal: AbortSignal,
): Promise<StoredBackup> {
  const { name, sizeBytes, backupId } = object;
  const header = await readManifestHeader(parts, object, signal);
  const stored = toStoredBackup(header, name, sizeBytes);
  if (stored.backupId === backupId && stored.instanceId === parts.instanceId) return stored;
  throw damaged(name, 'it is the manifest of another backup');
}
