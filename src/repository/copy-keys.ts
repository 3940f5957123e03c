// Follows a change of the master key to the copy: wraps first, each compared with the source, then
// what was retired goes, and the record comes last. So whoever opens the copy with a key that the
// record names can read everything, and what broke off is done again.
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { removeWraps } from './change-master-key.ts';
import type { CopyIdentity } from './copy-target.ts';
import { listWraps } from './key-wrap.ts';
import { KeyRing } from './keys.ts';
import { masterKeysFolder, readMasterKeyIds } from './master-key-ids.ts';

type Parts = {
  readonly source: Storage;
  readonly target: Storage;
  readonly identity: CopyIdentity;
  readonly masterKey: MasterKey;
};

/** What `RepositoryCopy.copyMasterKeys` promises, for a target that is a copy of the source. */
export async function copyMasterKeys(
  { source, target, identity, masterKey }: Parts,
  signal: AbortSignal,
): Promise<void> {
  const there = new Set(await listRecords(target, signal));
  const missing = (await listRecords(source, signal)).filter((name) => !there.has(name));
  if (missing.length === 0) return;
  await copyWraps({ source, target, masterKey }, 'keys/', signal);
  const { all } = await readMasterKeyIds(source, identity.masterKeyId, signal);
  await removeWraps(target, { masterKey, keptIds: all }, signal);
  for (const name of missing) {
    await target.createExclusive(name, await source.read(name, null, signal), signal);
  }
}

/**
 * Data keys with all their wraps, compared with what the copy has of that name; answers the names.
 * @throws repository-damaged, storage errors
 */
export async function copyWraps(
  { source, target, masterKey }: Omit<Parts, 'identity'>,
  prefix: `keys/${string}`,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const [sourceKeys, targetKeys] = [new KeyRing(source, masterKey), new KeyRing(target, masterKey)];
  const wraps = await listWraps(source, prefix, signal);
  for (const [id, names] of wraps) {
    const key = await sourceKeys.get(id, signal);
    for (const name of names) {
      await target.createExclusive(name, await source.read(name, null, signal), signal);
    }
    await targetKeys.assertStored(key, signal);
  }
  return [...wraps.values()].flat();
}

/** By their numbers. */
async function listRecords(storage: Storage, signal: AbortSignal): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of storage.list(masterKeysFolder, signal)) names.push(name);
  return names.sort();
}
