// Packs opened for reading; the last used footers are kept.
import type { Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';
import type { KeyRing } from './keys.ts';
import type { ManifestHeader } from './manifest.ts';
import { SealedObject } from './sealed-object.ts';

const packsOpenMax = 512;

export class PackStore {
  readonly #storage: Storage;
  readonly #keys: KeyRing;
  readonly #packs = new Map<string, Promise<SealedObject>>();

  constructor(storage: Storage, keys: KeyRing) {
    this.#storage = storage;
    this.#keys = keys;
  }

  /** @throws repository-damaged naming the pack */
  async open(name: string, header: ManifestHeader, signal: AbortSignal): Promise<SealedObject> {
    const known = this.#packs.get(name);
    if (known) return await known;
    const sizeBytes = header.packs.find((pack) => pack.name === name)?.size;
    if (sizeBytes === undefined) throw damaged(name, 'the manifest does not list it');
    const opening = SealedObject.open(
      { storage: this.#storage, keys: this.#keys },
      { name, kind: 'pack', sizeBytes },
      { whole: false, signal },
    );
    this.#packs.set(name, opening);
    const oldest = this.#packs.keys().next();
    if (this.#packs.size > packsOpenMax && !oldest.done) this.#packs.delete(oldest.value);
    return await opening;
  }
}
