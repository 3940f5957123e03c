// Data keys: one per instance, minted by atomic create-if-absent under a name that two racing
// writers share, so that both end up with the same key (rule 16). Wrapped by the master key. A
// rotation adds a generation; new objects are sealed with the newest, old ones stay as they are.
// A change of the master key adds a wrap beside the first one (`change-master-key.ts`).
import { randomBytes } from 'node:crypto';
import { CairnError, isErrorKind } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged, instanceFolder, keyObject } from './format.ts';
import type { KeyWrap } from './key-wrap.ts';
import { composeWrap, dataKeyBytes, openWrap, parseKeyName, readWrap } from './key-wrap.ts';
import { readMasterKeyIds } from './master-key-ids.ts';

const firstGeneration = 1;

export type DataKey = {
  readonly id: string;
  readonly key: Buffer;
  /** The object that it was read from. */
  readonly objectName: string;
};

export class KeyRing {
  readonly #storage: Storage;
  readonly #masterKey: MasterKey;
  readonly #keys = new Map<string, DataKey>();

  constructor(storage: Storage, masterKey: MasterKey) {
    this.#storage = storage;
    this.#masterKey = masterKey;
  }

  /** The key that new objects of the instance are sealed with; minted when there is none. */
  async ensure(instanceId: InstanceId, now: Date, signal: AbortSignal): Promise<DataKey> {
    const newest = await this.#newestGeneration(instanceId, signal);
    if (newest > 0) return await this.get(`${instanceId}.${newest}`, signal);
    const id = `${instanceId}.${firstGeneration}`;
    await this.#assertNothingSealed(instanceId, id, signal);
    return await this.#mint(id, { now, signal });
  }

  /**
   * Adds a key that new objects of the instance will be sealed with; what is there stays readable
   * with the old ones, which stay (rule 18). The caller has seen that no key is missing: a lost
   * one's name must not be given to another. Of several callers at once all get the same key.
   */
  async rotate(instanceId: InstanceId, now: Date, signal: AbortSignal): Promise<DataKey> {
    const next = (await this.#newestGeneration(instanceId, signal)) + 1;
    return await this.#mint(`${instanceId}.${next}`, { now, signal });
  }

  /** 0: there is none. */
  async #newestGeneration(instanceId: InstanceId, signal: AbortSignal): Promise<number> {
    let newest = 0;
    for await (const { name } of this.#storage.list(`keys/${instanceId}.`, signal)) {
      const id = parseKeyName(name)?.keyId ?? '';
      newest = Math.max(newest, Number(id.slice(instanceId.length + 1)));
    }
    return newest;
  }

  async #mint(
    id: string,
    { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
  ): Promise<DataKey> {
    const name = keyObject(id);
    const bytes = composeWrap(id, randomBytes(dataKeyBytes), { masterKey: this.#masterKey, now });
    const outcome = await this.#storage.createExclusive(name, bytes, signal);
    // Nobody will have a retired key when what this one seals is to be read.
    const ids = await readMasterKeyIds(this.#storage, this.#masterKey.id, signal);
    if (!ids.all.includes(this.#masterKey.id)) {
      if (outcome === 'created') await this.#storage.delete(name, signal);
      throw new CairnError('conflict', `master key ${this.#masterKey.id} was retired`, {
        hint: `start this process again with key ${ids.all.join(' or ')}`,
      });
    }
    // Read back whatever won: ours, or that of a writer that was faster.
    return await this.get(id, signal);
  }

  /**
   * Whether the stored key is still the one in memory: what is sealed with another can be read by
   * nobody but this process. @throws repository-damaged
   */
  async assertStored({ id, key }: DataKey, signal: AbortSignal): Promise<void> {
    const stored = await this.#read(id, signal);
    if (!stored) throw damaged(keyObject(id), 'it is missing, and nothing may be sealed with it');
    if (!stored.key.equals(key)) throw damaged(keyObject(id), 'it holds another key than before');
  }

  /** A second key of the same name would make what the first one sealed unreadable for ever. */
  async #assertNothingSealed(
    instanceId: InstanceId,
    id: string,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const { name } of this.#storage.list(instanceFolder(instanceId), signal)) {
      // A writer that was faster has minted it meanwhile, and sealed something with it.
      if (await this.#find(id, signal)) return;
      throw new CairnError(
        'repository-damaged',
        `object ${keyObject(id)} is missing, and ${name} was sealed with it`,
        { hint: 'put it back from a copy of the repository: without it the backups are lost' },
      );
    }
  }

  /** The key that an object names. @throws repository-damaged, also when there is none */
  async get(id: string, signal: AbortSignal): Promise<DataKey> {
    const found = await this.#find(id, signal);
    if (found) return found;
    throw damaged(keyObject(id), 'it is missing, and what it sealed cannot be read without it');
  }

  async #find(id: string, signal: AbortSignal): Promise<DataKey | null> {
    const known = this.#keys.get(id) ?? (await this.#read(id, signal));
    if (known) this.#keys.set(id, known);
    return known;
  }

  /** From the first wrap, or from one that a change of the master key has put beside it. */
  async #read(id: string, signal: AbortSignal): Promise<DataKey | null> {
    const masterKey = this.#masterKey;
    let problem: CairnError | null = null;
    for (const name of [keyObject(id), keyObject(id, masterKey.id)]) {
      try {
        const wrap = await readWrap(this.#storage, name, signal);
        if (!wrap) continue;
        if (wrap.masterKeyId === masterKey.id) {
          return { id, key: openWrap(wrap, id, masterKey), objectName: name };
        }
        problem ??= needsOther(wrap, masterKey);
      } catch (error) {
        if (!isErrorKind(error, 'repository-damaged')) throw error;
        problem ??= error;
      }
    }
    if (problem) throw problem;
    for await (const { name } of this.#storage.list(`keys/${id}.`, signal)) {
      const masterKeyId = parseKeyName(name)?.masterKeyId;
      if (masterKeyId) throw needsOther({ name, masterKeyId }, masterKey);
    }
    return null;
  }
}

function needsOther(
  { name, masterKeyId }: Pick<KeyWrap, 'name' | 'masterKeyId'>,
  { id }: MasterKey,
): CairnError {
  const text = `object ${name} needs master key ${masterKeyId}, this one is ${id}`;
  return new CairnError('repository-damaged', text, {
    hint: `a change of the master key has not wrapped it with ${id} yet: cairn key change does`,
    details: { object: name },
  });
}
