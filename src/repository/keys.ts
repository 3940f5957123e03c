// Data keys: one per instance, minted by atomic create-if-absent under a name that two racing
// writers share, so that both end up with the same key (rule 16). Wrapped by the master key. A
// rotation adds a generation; new objects are sealed with the newest, old ones stay as they are.
import { randomBytes } from 'node:crypto';
import { CairnError } from '../model/errors.ts';
import type { InstanceId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import { damaged, instanceFolder, keyObject } from './format.ts';
import { readIfPresent } from './object-presence.ts';

const dataKeyBytes = 32;
const firstGeneration = 1;

export type DataKey = { readonly id: string; readonly key: Buffer };

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
    return await this.#mint(instanceId, id, { now, signal });
  }

  /**
   * Adds a key that new objects of the instance will be sealed with; what is there stays readable
   * with the old ones, which stay (rule 18). The caller has seen that no key is missing: a lost
   * one's name must not be given to another. Of several callers at once all get the same key.
   */
  async rotate(instanceId: InstanceId, now: Date, signal: AbortSignal): Promise<DataKey> {
    const next = (await this.#newestGeneration(instanceId, signal)) + 1;
    return await this.#mint(instanceId, `${instanceId}.${next}`, { now, signal });
  }

  /** 0: there is none. */
  async #newestGeneration(instanceId: InstanceId, signal: AbortSignal): Promise<number> {
    const prefix = `keys/${instanceId}.`;
    let newest = 0;
    for await (const { name } of this.#storage.list(prefix, signal)) {
      const generation = /^(\d{1,9})\.json$/.exec(name.slice(prefix.length))?.[1];
      newest = Math.max(newest, Number(generation ?? 0));
    }
    return newest;
  }

  async #mint(
    instanceId: InstanceId,
    id: string,
    { now, signal }: { readonly now: Date; readonly signal: AbortSignal },
  ): Promise<DataKey> {
    const record = {
      format: 1,
      key_id: id,
      instance_id: instanceId,
      created_at: now.toISOString(),
      master_key_id: this.#masterKey.id,
      wrapped: this.#masterKey.wrap(randomBytes(dataKeyBytes), keyContext(id)).toString('base64'),
    };
    const bytes = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
    await this.#storage.createExclusive(keyObject(id), bytes, signal);
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
    if (!stored.equals(key)) throw damaged(keyObject(id), 'it holds another key than before');
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
    const known = this.#keys.get(id);
    if (known) return known;
    const key = await this.#read(id, signal);
    if (!key) return null;
    const dataKey = { id, key };
    this.#keys.set(id, dataKey);
    return dataKey;
  }

  #unwrap(wrapped: Buffer, id: string): Buffer {
    try {
      return this.#masterKey.unwrap(wrapped, keyContext(id));
    } catch (cause) {
      const why = `master key ${this.#masterKey.id} does not unwrap it`;
      throw damaged(keyObject(id), why, cause);
    }
  }

  async #read(id: string, signal: AbortSignal): Promise<Buffer | null> {
    const name = keyObject(id);
    const bytes = await readIfPresent(this.#storage, name, signal);
    if (!bytes) return null;
    const key = this.#unwrap(parseWrapped(bytes, name), id);
    if (key.byteLength !== dataKeyBytes) throw damaged(name, 'the key has a wrong length');
    return key;
  }
}

function keyContext(id: string): string {
  return `data key ${id}`;
}

function parseWrapped(bytes: Buffer, name: string): Buffer {
  try {
    const record: unknown = JSON.parse(bytes.toString('utf8'));
    const wrapped = record && typeof record === 'object' && 'wrapped' in record && record.wrapped;
    if (typeof wrapped === 'string') return Buffer.from(wrapped, 'base64');
  } catch (cause) {
    throw damaged(name, 'it is not JSON', cause);
  }
  throw damaged(name, 'it holds no wrapped key');
}
