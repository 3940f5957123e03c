// One pass over the backups of an instance: what the copy lacks of each is copied, made durable,
// and the manifest is created last, as at the source: a backup of the copy exists if and only if
// its manifest does. What is there counts as there by name and size, objects are never changed.
import { isErrorKind, toCairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { runBounded } from '../platform/bounded.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Storage } from '../storage/storage.ts';
import type { CopyOptions, FailedCopy } from './copy-door.ts';
import { copyWraps } from './copy-keys.ts';
import type { CopyableObject } from './copy-object.ts';
import { copyObject } from './copy-object.ts';
import type { DatedBackup } from './copy-plan.ts';
import { planCopies } from './copy-plan.ts';
import type { CopyIdentity } from './copy-target.ts';
import { assertCopy } from './copy-target.ts';
import { damaged, instanceFolder, manifestObject, manifestPattern } from './format.ts';
import { KeyRing } from './keys.ts';
import type { ManifestHeader } from './manifest.ts';
import { assertPresent, isPresent } from './object-presence.ts';
import { readManifestHeader, readWhole } from './read-manifest.ts';

const objectsInFlight = 4;

export type PassParts = {
  readonly source: Storage;
  readonly target: Storage;
  readonly identity: CopyIdentity;
  readonly masterKey: MasterKey;
};

export type CopyPass = {
  /** Backups that the source has, readable or not. */
  readonly inSource: ReadonlySet<BackupId>;
  /** Objects that the backups to be copied need. */
  readonly needed: ReadonlySet<string>;
  readonly copied: readonly BackupId[];
  readonly present: number;
  readonly skipped: readonly BackupId[];
  /** Open to who finds more. */
  readonly failed: FailedCopy[];
  readonly objects: number;
  readonly bytes: number;
};

/** @throws storage errors; what `assertLease` throws; conflict when the target is no copy */
export async function copyPass(
  parts: PassParts,
  instanceId: InstanceId,
  options: CopyOptions,
): Promise<CopyPass> {
  const pass = new Pass(parts, instanceId, options);
  await pass.run();
  return pass;
}

class Pass implements CopyPass {
  readonly needed = new Set<string>();
  readonly copied: BackupId[] = [];
  present = 0;
  readonly skipped: BackupId[] = [];
  readonly failed: FailedCopy[] = [];
  objects = 0;
  bytes = 0;
  #doneBytes = 0;
  #totalBytes = 0;
  readonly #parts: PassParts;
  readonly #instanceId: InstanceId;
  readonly #options: CopyOptions;
  readonly #sourceKeys: KeyRing;
  /** Sizes of what the copy has, by name. */
  readonly #targetSizes = new Map<string, number>();
  readonly #manifestSizes = new Map<BackupId, number>();

  constructor(parts: PassParts, instanceId: InstanceId, options: CopyOptions) {
    this.#parts = parts;
    this.#instanceId = instanceId;
    this.#options = options;
    this.#sourceKeys = new KeyRing(parts.source, parts.masterKey);
  }

  get inSource(): ReadonlySet<BackupId> {
    return new Set(this.#manifestSizes.keys());
  }

  async run(): Promise<void> {
    const { source, target } = this.#parts;
    const { signal } = this.#options;
    const folder = instanceFolder(this.#instanceId);
    for await (const { name, sizeBytes } of target.list(folder, signal)) {
      this.#targetSizes.set(name, sizeBytes);
    }
    for await (const { name, sizeBytes } of source.list(folder, signal)) {
      const id = manifestPattern.exec(name)?.[1];
      if (id) this.#manifestSizes.set(id as BackupId, sizeBytes);
    }
    const dated = await this.#readDates();
    const prefix = `keys/${this.#instanceId}.` as const;
    const keyNames = dated.length > 0 ? await copyWraps(this.#parts, prefix, signal) : [];
    for (const backupId of planCopies(dated, this.#options)) {
      await this.#attempt(backupId, () => this.#copyBackup(backupId, keyNames));
    }
  }

  async #readDates(): Promise<readonly DatedBackup[]> {
    const dated: DatedBackup[] = [];
    for (const backupId of this.inSource) {
      await this.#attempt(backupId, async () => {
        const header = await readSourceHeader(this.#source(backupId));
        dated.push({ backupId, endedAt: new Date(header.backup.ended_at) });
      });
    }
    return dated;
  }

  async #copyBackup(backupId: BackupId, keyNames: readonly string[]): Promise<void> {
    const name = manifestObject(this.#instanceId, backupId);
    const size = this.#manifestSizes.get(backupId) ?? 0;
    const isThere = !this.#isMissing({ name, size });
    const from = this.#source(backupId);
    const manifest = isThere ? null : await readWholeManifest(from);
    const header = manifest?.header ?? (await readSourceHeader(from));
    const objects = objectsOf(header);
    for (const object of objects) this.needed.add(object.name);
    const copied = await this.#copyObjects(objects);
    if (!manifest) {
      await this.#parts.target.flush(copied, this.#options.signal);
      this.present++;
      return;
    }
    await this.#commit(name, manifest.bytes, { objects, keyNames });
    this.copied.push(backupId);
  }

  /** Those that the copy lacks; answers their names. Not durable yet. */
  async #copyObjects(objects: readonly CopyableObject[]): Promise<readonly string[]> {
    const { signal, onProgress } = this.#options;
    const missing = objects.filter((object) => this.#isMissing(object));
    this.#totalBytes += missing.reduce((total, { size }) => total + size, 0);
    const onBytes = (count: number): void => {
      this.#doneBytes += count;
      onProgress({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes });
    };
    onBytes(0);
    await runBounded(missing, objectsInFlight, async (object) => {
      const from = { ...this.#parts, keys: this.#sourceKeys, signal };
      const written = await copyObject(object, from, onBytes);
      this.#targetSizes.set(object.name, object.size);
      this.objects++;
      this.bytes += written;
    });
    return missing.map(({ name }) => name);
  }

  /** @throws repository-damaged when the copy has another object of that name */
  #isMissing({ name, size }: Pick<CopyableObject, 'name' | 'size'>): boolean {
    const found = this.#targetSizes.get(name);
    if (found === undefined) return true;
    if (found === size) return false;
    const where = this.#parts.target.location;
    throw damaged(name, `in ${where} it has ${found} bytes instead of ${size}; delete it there`);
  }

  /** The manifest is compared with what can be read back of it. */
  async #commit(
    name: string,
    bytes: Buffer,
    needs: { readonly objects: readonly CopyableObject[]; readonly keyNames: readonly string[] },
  ): Promise<void> {
    const { target, identity } = this.#parts;
    const { signal, assertLease } = this.#options;
    const names = [...needs.objects.map((object) => object.name), ...needs.keyNames];
    // Also what was there: the process that copied it may have died before it was durable.
    await target.flush(names, signal);
    await assertPresent(target, needs.objects, signal);
    await assertCopy(target, identity, signal);
    await assertLease();
    const outcome = await target.createExclusive(name, bytes, signal);
    const stored = await target.read(name, null, signal);
    if (!stored.equals(bytes)) {
      throw damaged(name, `in ${target.location} it differs from the source`);
    }
    this.#targetSizes.set(name, bytes.byteLength);
    if (outcome === 'exists') return;
    this.objects++;
    this.bytes += bytes.byteLength;
  }

  /** What is damaged costs its own backup only; one that was deleted meanwhile is no failure. */
  async #attempt(backupId: BackupId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      const manifest = manifestObject(this.#instanceId, backupId);
      const isGone = !(await isPresent(this.#parts.source, manifest, this.#options.signal));
      if (isGone) this.skipped.push(backupId);
      else this.failed.push({ backupId, error: toCairnError(error) });
    }
  }

  #source(backupId: BackupId): ManifestPlace {
    return {
      storage: this.#parts.source,
      keys: this.#sourceKeys,
      identity: this.#parts.identity,
      ...{ instanceId: this.#instanceId, backupId, signal: this.#options.signal },
    };
  }
}

export type ManifestPlace = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly identity: CopyIdentity;
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  readonly signal: AbortSignal;
};

/** @throws repository-damaged, also when it is gone */
async function readSourceHeader(place: ManifestPlace): Promise<ManifestHeader> {
  const { storage, instanceId, backupId, signal } = place;
  const name = manifestObject(instanceId, backupId);
  const { sizeBytes } = await missingIsDamage(storage.stat(name, signal), name);
  return assertOwn(await readManifestHeader(place, { name, sizeBytes }, signal), place);
}

/**
 * The bytes of a manifest, and what they say: every frame authenticated, the file table compared
 * with its hash. @throws repository-damaged, also when it is gone
 */
export async function readWholeManifest(
  place: ManifestPlace,
): Promise<{ readonly bytes: Buffer; readonly header: ManifestHeader }> {
  const { storage, keys, instanceId, backupId, signal } = place;
  const name = manifestObject(instanceId, backupId);
  const bytes = await missingIsDamage(storage.read(name, null, signal), name);
  // Decoded from the bytes that are copied, not from a second reading.
  const once = { storage: { read: async () => Buffer.from(bytes) }, keys };
  const where = { name, sizeBytes: bytes.byteLength };
  const { header } = await readWhole(once, where, signal, (found) => assertOwn(found, place));
  return { bytes, header };
}

/** Packs and map objects that a backup needs, its own and those of earlier ones. */
export function objectsOf({ packs, maps }: ManifestHeader): readonly CopyableObject[] {
  return [
    ...packs.map(({ name, size }) => ({ name, size, kind: 'pack' as const })),
    ...maps.map(({ name, size }) => ({ name, size, kind: 'maps' as const })),
  ];
}

function assertOwn(
  header: ManifestHeader,
  { identity, instanceId, backupId }: ManifestPlace,
): ManifestHeader {
  const { backup, instance, repository_id: repositoryId } = header;
  const isOwn =
    backup.id === backupId && instance.id === instanceId && repositoryId === identity.repositoryId;
  if (isOwn) return header;
  throw damaged(manifestObject(instanceId, backupId), 'it is the manifest of another backup');
}

async function missingIsDamage<T>(answer: Promise<T>, name: string): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (isErrorKind(error, 'not-found')) throw damaged(name, 'it is missing', error);
    throw error;
  }
}
