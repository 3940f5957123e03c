// What the manifests of one instance name: nobody may delete any of it. Manifests are immutable, so
// each is read once; reading again looks for those that came meanwhile.
import type { InstanceId } from '../model/ids.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { instanceFolder } from './format.ts';
import type { KeyRing } from './keys.ts';
import { readManifestHeader } from './read-manifest.ts';

type Parts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly instanceId: InstanceId;
  /** A manifest that does not count: its backup is going. */
  readonly except?: string;
};

export class NeededObjects {
  readonly #parts: Parts;
  readonly #names = new Set<string>();
  readonly #manifests = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Full names of packs and map objects. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Full names of the manifests read. */
  get manifests(): ReadonlySet<string> {
    return this.#manifests;
  }

  /**
   * Lists the instance's folder and reads every manifest that is new; answers the other objects.
   * @throws repository-damaged naming a manifest that cannot be read, or that a newer version
   *   wrote: what it needs is not known; storage-unavailable when the listing fails
   */
  async read(signal: AbortSignal): Promise<readonly ObjectInfo[]> {
    const { storage, instanceId, except } = this.#parts;
    const others: ObjectInfo[] = [];
    const manifests: ObjectInfo[] = [];
    for await (const info of storage.list(instanceFolder(instanceId), signal)) {
      if (!info.name.endsWith('/manifest')) others.push(info);
      else if (info.name !== except && !this.#manifests.has(info.name)) manifests.push(info);
    }
    for (const info of manifests) await this.#add(info, signal);
    return others;
  }

  async #add(info: ObjectInfo, signal: AbortSignal): Promise<void> {
    const header = await readManifestHeader(this.#parts, info, signal);
    for (const entry of [...header.packs, ...header.maps]) this.#names.add(entry.name);
    this.#manifests.add(info.name);
  }
}
