// Reads parts of file maps. Map objects are a few megabytes at most and their parts are asked for
// in nearly the order in which they were written, so whole objects are fetched and the last used
// ones kept.
import type { Storage } from '../storage/storage.ts';
import type { MapPart } from './file-map.ts';
import { decodeMapPart } from './file-map.ts';
import { damaged } from './format.ts';
import type { KeyRing } from './keys.ts';
import type { PartReference, StoredTable } from './manifest.ts';
import { SealedObject } from './sealed-object.ts';

const cachedBytesMax = 32 * 1024 * 1024;

type MapPlace = { readonly name: string; readonly sizeBytes: number };

export class MapStore {
  readonly #storage: Storage;
  readonly #keys: KeyRing;
  /** In order of last use. */
  readonly #objects = new Map<string, { object: SealedObject; sizeBytes: number }>();
  #cachedBytes = 0;

  constructor(storage: Storage, keys: KeyRing) {
    this.#storage = storage;
    this.#keys = keys;
  }

  /** @throws repository-damaged naming the object */
  async read(
    header: Pick<StoredTable['header'], 'maps'>,
    reference: PartReference,
    signal: AbortSignal,
  ): Promise<MapPart> {
    const listed = header.maps[reference.map];
    if (!listed) throw damaged('manifest', `it lists no map object ${reference.map}`);
    const { name, size: sizeBytes } = listed;
    const object = await this.#open({ name, sizeBytes }, signal);
    return decodeMapPart(await object.readFrame(reference.frame, signal), name);
  }

  async #open(reference: MapPlace, signal: AbortSignal): Promise<SealedObject> {
    const { name, sizeBytes } = reference;
    const known = this.#objects.get(name);
    if (known) {
      this.#objects.delete(name);
      this.#objects.set(name, known);
      return known.object;
    }
    const object = await SealedObject.open(
      { storage: this.#storage, keys: this.#keys },
      { name, kind: 'maps', sizeBytes },
      { whole: true, signal },
    );
    this.#objects.set(name, { object, sizeBytes });
    this.#cachedBytes += sizeBytes;
    this.#forgetOldest();
    return object;
  }

  #forgetOldest(): void {
    for (const [name, { sizeBytes }] of this.#objects) {
      if (this.#cachedBytes <= cachedBytesMax || this.#objects.size === 1) return;
      this.#objects.delete(name);
      this.#cachedBytes -= sizeBytes;
    }
  }
}
