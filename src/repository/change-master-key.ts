// Another master key for a repository, additively (rule 18): each data key is wrapped once more,
// beside its other wraps, and read back; then the new key's id is recorded, and both keys open
// everything. Retiring the old key is a step of its own. Both can be repeated after any failure.
import { CairnError, isErrorKind } from '../model/errors.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged, keyObject } from './format.ts';
import { composeWrap, listWraps, parseKeyName, readWrap } from './key-wrap.ts';
import type { DataKey } from './keys.ts';
import { KeyRing } from './keys.ts';
import { readMasterKeyIds, recordMasterKeyIds } from './master-key-ids.ts';
import type { Marker } from './open-repository.ts';

type Place = { readonly storage: Storage; readonly marker: Marker };
type When = { readonly now: Date; readonly signal: AbortSignal };

/**
 * Makes `to` open everything that `from` opens. Answers the number of data keys, all of which `to`
 * opens then. @throws repository-damaged naming one that neither key opens
 */
export async function addMasterKey(
  { storage, marker }: Place,
  { from, to }: { readonly from: MasterKey; readonly to: MasterKey },
  when: When,
): Promise<number> {
  const { signal } = when;
  const [fromKeys, toKeys] = [new KeyRing(storage, from), new KeyRing(storage, to)];
  const wraps = await listWraps(storage, 'keys/', signal);
  for (const id of wraps.keys()) {
    const original = await openIfPossible(fromKeys, id, signal);
    if (original && !(await openIfPossible(toKeys, id, signal))) {
      const bytes = composeWrap(id, original.key, { masterKey: to, now: when.now });
      await storage.createExclusive(keyObject(id, to.id), bytes, signal);
    }
    const { key, objectName } = await toKeys.get(id, signal);
    if (original && !original.key.equals(key)) {
      throw damaged(objectName, `it holds another key than ${original.objectName}`);
    }
  }
  const ids = await readMasterKeyIds(storage, marker.masterKeyId, signal);
  if (!ids.all.includes(to.id)) {
    const next = { number: ids.number + 1, all: [...ids.all, to.id] };
    await recordMasterKeyIds(storage, { ...next, repositoryId: marker.repositoryId }, when);
  }
  return wraps.size;
}

/**
 * From now on the master key of that id opens nothing: what it wrapped goes, once every data key
 * has opened with `masterKey`, before and after that was recorded: whoever mints a key looks at the
 * record. Answers the number of wraps that went.
 * @throws repository-damaged naming a data key that `masterKey` does not open: then all stays
 */
export async function retireMasterKey(
  { storage, marker }: Place,
  { masterKey, retiredId }: { readonly masterKey: MasterKey; readonly retiredId: string },
  when: When,
): Promise<number> {
  const { signal } = when;
  await assertAllOpen(storage, masterKey, signal);
  const ids = await readMasterKeyIds(storage, marker.masterKeyId, signal);
  const all = ids.all.filter((id) => id !== retiredId);
  if (!all.includes(masterKey.id)) throw new CairnError('bug', `${masterKey.id} is not recorded`);
  const { repositoryId } = marker;
  const isListed = ids.all.includes(retiredId);
  if (isListed) {
    await recordMasterKeyIds(storage, { number: ids.number + 1, all, repositoryId }, when);
  }
  try {
    return await removeWraps(storage, { masterKey, keptIds: all }, signal);
  } catch (error) {
    // Minted right before that was recorded, and in use: it must be wrapped first.
    if (isListed && isErrorKind(error, 'repository-damaged')) {
      const back = { number: ids.number + 2, all: ids.all, repositoryId };
      await recordMasterKeyIds(storage, back, when);
    }
    throw error;
  }
}

/** @throws repository-damaged */
async function assertAllOpen(
  storage: Storage,
  masterKey: MasterKey,
  signal: AbortSignal,
): Promise<void> {
  const keys = new KeyRing(storage, masterKey);
  const wraps = await listWraps(storage, 'keys/', signal);
  for (const id of wraps.keys()) await keys.get(id, signal);
}

/**
 * Those of master keys that are not to be kept, once `masterKey` has opened every data key.
 * @throws repository-damaged naming one that it does not open: then all stays
 */
export async function removeWraps(
  storage: Storage,
  { masterKey, keptIds }: { readonly masterKey: MasterKey; readonly keptIds: readonly string[] },
  signal: AbortSignal,
): Promise<number> {
  await assertAllOpen(storage, masterKey, signal);
  let removed = 0;
  const wraps = await listWraps(storage, 'keys/', signal);
  for (const name of [...wraps.values()].flat()) {
    const masterKeyId =
      parseKeyName(name)?.masterKeyId ?? (await readWrap(storage, name, signal))?.masterKeyId;
    if (masterKeyId === undefined || keptIds.includes(masterKeyId)) continue;
    await storage.delete(name, signal);
    removed++;
  }
  return removed;
}

/** Null: this master key does not open it. */
async function openIfPossible(
  keys: KeyRing,
  id: string,
  signal: AbortSignal,
): Promise<DataKey | null> {
  try {
    return await keys.get(id, signal);
  } catch (error) {
    if (isErrorKind(error, 'repository-damaged')) return null;
    throw error;
  }
}
