// Everything of an instance but the pages themselves: manifests, file maps, and the footers of
// packs. One backup is in memory at a time; of what backups share, each object is looked at once.
import { setImmediate } from 'node:timers/promises';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { runBounded } from '../platform/bounded.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { readManifest } from './backup-reader.ts';
import type { CheckCounts, FindingBook } from './check-report.ts';
import { unitBytes } from './extract-plan.ts';
import type { MapPart } from './file-map.ts';
import { damaged, manifestObject } from './format.ts';
import type { KeyRing } from './keys.ts';
import type { FileEntry, Manifest, ManifestHeader, PartReference } from './manifest.ts';
import { MapStore } from './map-store.ts';
import type { ObjectReference } from './object-presence.ts';
import { isPresent, statIfPresent } from './object-presence.ts';
import { SealedObject } from './sealed-object.ts';

const footersInFlight = 16;

export type CheckParts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly repositoryId: string;
  readonly instanceId: InstanceId;
  readonly findings: FindingBook;
  readonly counts: CheckCounts;
  readonly signal: AbortSignal;
};

/** A part of a file map that some backup uses, with what it needs to be read again. */
export type UsedPart = {
  readonly map: ObjectReference;
  readonly frame: number;
  readonly pageBytes: number;
  readonly lengthBytes: number;
};

type Options = {
  /** What the instance's folder holds, by name. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Called once for each part, with the packs that it names. */
  readonly onPart: (part: UsedPart, packs: readonly string[]) => void;
};

/** Its manifest went while it was looked at: it was deleted, and is no loss. */
class BackupGone extends Error {}

export class StructureCheck {
  readonly #parts: CheckParts;
  readonly #options: Options;
  readonly #maps: MapStore;
  /** Raw bytes of each frame; null when the pack cannot be opened. */
  readonly #packs = new Map<string, Uint32Array | null>();
  /** Of each map object, by frame: page count + 1 of the parts that were looked at. */
  readonly #seen = new Map<string, Map<number, number>>();

  constructor(parts: CheckParts, options: Options) {
    this.#parts = parts;
    this.#options = options;
    this.#maps = new MapStore(parts.storage, parts.keys);
  }

  /** Names of packs and map objects that the backups so far need. */
  isNeeded(name: string): boolean {
    return this.#packs.has(name) || this.#seen.has(name);
  }

  /** Findings go to the book. @throws what is none */
  async checkBackup(backupId: BackupId): Promise<void> {
    const { counts, signal } = this.#parts;
    try {
      const manifest = await this.#readManifest(backupId);
      if (!manifest) return;
      counts.backups++;
      await this.#checkObjects(manifest.header, backupId);
      for (const file of manifest.files) {
        signal.throwIfAborted();
        await setImmediate();
        for (const [index, part] of file.parts.entries()) {
          const name = manifest.header.maps[part.map]?.name ?? 'manifest';
          if (this.#parts.findings.has(name)) continue;
          await this.#attempt(name, backupId, () =>
            this.#checkPart(manifest.header, { file, index, part }),
          );
        }
      }
    } catch (error) {
      if (!(error instanceof BackupGone)) throw error;
      counts.goneBackups++;
    }
  }

  async #readManifest(backupId: BackupId): Promise<Manifest | null> {
    const { instanceId, repositoryId, storage, signal } = this.#parts;
    const name = manifestObject(instanceId, backupId);
    return await this.#attempt(name, backupId, async () => {
      const info = await statIfPresent(storage, name, signal);
      if (!info) throw new BackupGone();
      const { manifest } = await readManifest(this.#parts, name, signal);
      const { backup, instance, repository_id: repository } = manifest.header;
      const isOwn =
        backup.id === backupId && instance.id === instanceId && repository === repositoryId;
      if (!isOwn) throw damaged(name, 'it is the manifest of another backup');
      return manifest;
    });
  }

  async #checkObjects(header: ManifestHeader, backupId: BackupId): Promise<void> {
    const { counts } = this.#parts;
    for (const object of header.maps) {
      if (this.#seen.has(object.name)) continue;
      this.#seen.set(object.name, new Map());
      counts.maps++;
      counts.mapBytes += object.size;
      await this.#attempt(object.name, backupId, () => this.#assertPresent(object));
    }
    const packs = header.packs.filter(({ name }) => !this.#packs.has(name));
    await runBounded(packs, footersInFlight, async (object) => {
      counts.packs++;
      counts.packBytes += object.size;
      const frames = await this.#attempt(object.name, backupId, () => this.#openPack(object));
      this.#packs.set(object.name, frames);
    });
  }

  /** The listing may be older than the object. */
  async #assertPresent({ name, size }: ObjectReference): Promise<void> {
    const { storage, signal } = this.#parts;
    const listed = this.#options.sizes.get(name);
    const found = listed ?? (await statIfPresent(storage, name, signal))?.sizeBytes;
    if (found === undefined) throw damaged(name, 'it is missing');
    if (found !== size) throw damaged(name, `it has ${found} bytes instead of ${size}`);
  }

  async #openPack(object: ObjectReference): Promise<Uint32Array> {
    await this.#assertPresent(object);
    const where = { name: object.name, kind: 'pack', sizeBytes: object.size } as const;
    const { signal } = this.#parts;
    const pack = await SealedObject.open(this.#parts, where, { whole: false, signal });
    return Uint32Array.from({ length: pack.frameCount }, (_, frame) => pack.rawBytesOf(frame));
  }

  async #checkPart(
    header: ManifestHeader,
    use: { readonly file: FileEntry; readonly index: number; readonly part: PartReference },
  ): Promise<void> {
    const { file, index, part: reference } = use;
    const map = header.maps[reference.map];
    const lengthBytes = unitBytes({ file, partIndex: index, target: null });
    const pageCount = Math.ceil(lengthBytes / file.page);
    const seen = map && this.#seen.get(map.name);
    const name = map?.name ?? 'manifest';
    const known = seen?.get(reference.frame);
    if (!map || !seen || (known !== undefined && known !== pageCount)) {
      throw damaged(name, `the file map does not fit ${file.path}`);
    }
    if (known !== undefined) return;
    const part = await this.#maps.read(header, reference, this.#parts.signal);
    seen.set(reference.frame, part.pageCount);
    this.#parts.counts.mapParts++;
    if (part.pageCount !== pageCount) {
      throw damaged(name, `the file map does not fit ${file.path}`);
    }
    const listed = reference.packs.map((pack) => header.packs[pack]?.name);
    if (
      !part.packs.every((pack, at) => pack === listed[at]) ||
      listed.length !== part.packs.length
    ) {
      throw damaged(name, `the map of ${file.path} names other packs than the manifest`);
    }
    this.#assertInside(part, { file, lengthBytes, name });
    const used = { map, frame: reference.frame, pageBytes: file.page, lengthBytes };
    this.#options.onPart(used, part.packs);
  }

  /** Every extent lies inside a frame that exists. */
  #assertInside(
    part: MapPart,
    of: { readonly file: FileEntry; readonly lengthBytes: number; readonly name: string },
  ): void {
    const { file, lengthBytes, name } = of;
    let at = 0;
    for (const extent of part.extents) {
      const extentBytes = Math.min(extent.pageCount * file.page, lengthBytes - at);
      at += extentBytes;
      if (extent.kind === 'zero') continue;
      const frames = this.#packs.get(part.packs[extent.pack] ?? '');
      // It cannot be opened: that is a finding of its own.
      if (!frames) continue;
      const rawBytes = frames[extent.frame];
      if (rawBytes === undefined || extent.offsetBytes + extentBytes > rawBytes) {
        throw damaged(name, `the map of ${file.path} points outside ${part.packs[extent.pack]}`);
      }
    }
  }

  /** Null when it went wrong: the book says how. */
  async #attempt<T>(object: string, backupId: BackupId, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof BackupGone) throw error;
      const { findings, storage, instanceId, signal } = this.#parts;
      // A deletion takes the manifest first.
      const manifest = manifestObject(instanceId, backupId);
      if (!(await isPresent(storage, manifest, signal))) throw new BackupGone();
      findings.note(error, object, backupId);
      return null;
    }
  }
}

/** Splits a listing into what the check looks at. */
export function sortListing(listing: readonly ObjectInfo[]): {
  readonly sizes: ReadonlyMap<string, number>;
  readonly backupIds: readonly BackupId[];
} {
  const sizes = new Map(listing.map(({ name, sizeBytes }) => [name, sizeBytes]));
  const manifest = /^instances\/[^/]+\/backups\/([^/]+)\/manifest$/;
  const ids = listing.flatMap(({ name }) => manifest.exec(name)?.[1] ?? []);
  return { sizes, backupIds: ids.sort() as BackupId[] };
}
