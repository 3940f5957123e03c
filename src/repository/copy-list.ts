import { toCairnError } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { toStoredBackup } from './backup-reader.ts';
import type { RepositoryCopy } from './copy-door.ts';
import type { CopyIdentity, CopyMemory } from './copy-target.ts';
import { assertCopy } from './copy-target.ts';
import { damaged, instanceFolder } from './format.ts';
import { KeyRing } from './keys.ts';
import { isPresent } from './object-presence.ts';
import { readMarker } from './open-repository.ts';
import { readManifestHeader } from './read-manifest.ts';
import type { StoredBackup } from './repository.ts';

const rememberedMax = 10_000;

type Parts = {
  readonly target: Storage;
  readonly identity: CopyIdentity;
  readonly masterKey: MasterKey;
  readonly memory: CopyMemory;
};

/** Reads each manifest once and remembers it: they never change. */
export function createCopyLister(parts: Parts): RepositoryCopy['listCopies'] {
  const { target, identity, memory } = parts;
  const keys = new KeyRing(target, parts.masterKey);
  const remembered = new Map<string, StoredBackup>();
  const find = async (info: ObjectInfo, signal: AbortSignal): Promise<StoredBackup | null> => {
    const known = remembered.get(info.name);
    if (known) return known;
    const stored = await readCopy({ target, keys, info }, signal);
    if (remembered.size >= rememberedMax) remembered.clear();
    if (stored) remembered.set(info.name, stored);
    return stored;
  };
  return async (instanceId, signal) => {
    if (!(await memory.isKnown()) && !(await readMarker(target, signal))) return [];
    await assertCopy(target, identity, signal);
    const manifests: ObjectInfo[] = [];
    const prefix = instanceId === null ? 'instances/' : instanceFolder(instanceId);
    for await (const info of target.list(prefix, signal)) {
      if (info.name.endsWith('/manifest')) manifests.push(info);
    }
    const copies: StoredBackup[] = [];
    for (const info of manifests) {
      const stored = await find(info, signal);
      if (stored) copies.push(stored);
    }
    return copies.sort((a, b) => endOf(b) - endOf(a));
  };
}

function endOf({ facts }: StoredBackup): number {
  return facts.backup.endedAt.getTime();
}

/** Null: it left the copy meanwhile. @throws repository-damaged */
async function readCopy(
  of: { readonly target: Storage; readonly keys: KeyRing; readonly info: ObjectInfo },
  signal: AbortSignal,
): Promise<StoredBackup | null> {
  const { target, keys, info } = of;
  const { name } = info;
  try {
    const header = await readManifestHeader({ storage: target, keys }, info, signal);
    const stored = toStoredBackup(header, name, info.sizeBytes);
    const id: InstanceId | null = parseInstanceId(name.split('/')[1] ?? '');
    if (stored.instanceId === id) return stored;
    throw damaged(name, 'it is the manifest of another backup');
  } catch (error) {
    if (!(await isPresent(target, name, signal))) return null;
    throw toCairnError(error);
  }
}
