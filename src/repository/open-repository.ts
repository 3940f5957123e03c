import { availableParallelism } from 'node:os';
import { CairnError, isErrorKind } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { Logger } from '../platform/logger.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Random } from '../platform/random.ts';
import type { Storage } from '../storage/storage.ts';
import type { ReaderParts } from './backup-reader.ts';
import { createReader, readManifest, toStoredBackup } from './backup-reader.ts';
import { BackupWriter } from './backup-writer.ts';
import { addMasterKey, retireMasterKey } from './change-master-key.ts';
import { checkRepository } from './check.ts';
import { readCheckpoints } from './checkpoint.ts';
import type { CopyForwardLimits } from './copy-forward.ts';
import { copyForwardLimits, planCopyForward } from './copy-forward.ts';
import { deleteBackup } from './delete-backup.ts';
import { extendLocks } from './extend-locks.ts';
import type { ObjectSizes } from './format.ts';
import {
  backupFolder,
  checkpointsFolder,
  damaged,
  manifestObject,
  objectSizes,
  repositoryObject,
} from './format.ts';
import { KeyRing } from './keys.ts';
import { createRepositoryLog } from './log-archive.ts';
import type { Manifest, StoredTable } from './manifest.ts';
import { MapStore } from './map-store.ts';
import { assertOpens, readMasterKeyIds } from './master-key-ids.ts';
import { NeededObjects } from './needed-objects.ts';
import { assertPresent, isPresent, readIfPresent } from './object-presence.ts';
import type { Ownership } from './ownership.ts';
import { notOurs, readOwnership, takeOver } from './ownership.ts';
import { PriorFiles } from './prior-files.ts';
import { removeUnneeded, surveyInstance } from './prune.ts';
import { readBackups } from './read-backups.ts';
import { readManifestContents } from './read-manifest.ts';
import type { Repository, RepositoryReader, StoredBackup, WriterOptions } from './repository.ts';
import { ThreadPool } from './thread-pool.ts';

export type OpenOptions = {
  readonly storage: Storage;
  readonly masterKey: MasterKey;
  /** The catalog that owns the repository; null to read one with the key alone. */
  readonly ownerId: string | null;
  /** The repository that the owner has used so far; null at first: then one is made if need be. */
  readonly expectedId: string | null;
  readonly random: Random;
  readonly now: Date;
  readonly signal: AbortSignal;
  /** Page threads; by default one per processor, at most eight. */
  readonly threadCount?: number;
  /** zstd level of frames. */
  readonly level?: number;
  /** Sizes at which objects are closed; small ones for tests. */
  readonly objectSizes?: Partial<ObjectSizes>;
  /** When pages of old packs are stored again; other limits for tests. */
  readonly copyForward?: Partial<CopyForwardLimits>;
};

const threadsMax = 8;
/** Of the backups that a repository holds, in the answer to one that it does not. */
const idsShownMax = 50;
/**
 * Rows of text and JSON in frames of 1 MiB shrink to 36 % at level 2 and to 34.7 % at level 3, at
 * two thirds of the speed; what shrinks well is done at level 1 in any case (`planLevel`).
 */
const defaultLevel = 3;

export type Marker = Ownership & {
  readonly repositoryId: string;
  /** The first one; `master-key-ids.ts` tells which open the repository now. */
  readonly masterKeyId: string;
};

/**
 * Opens the repository in the storage; with an owner that had none so far, makes it when it is not
 * there. @throws not-found, conflict (another catalog owns it), invalid (wrong master key),
 * storage-unavailable (it is not the expected one), repository-damaged
 */
export async function openRepository(options: OpenOptions): Promise<Repository> {
  const { storage, masterKey } = options;
  const marker = await findMarker(options);
  if (options.ownerId !== null && marker.owner !== options.ownerId) {
    throw notOurs(storage, marker.owner);
  }
  const { signal } = options;
  await assertOpens(masterKey, storage, { firstId: marker.masterKeyId, signal });
  return createRepository(options, marker);
}

type Guarded = { readonly assertLease: () => Promise<void>; readonly signal: AbortSignal };

function createRepository(options: OpenOptions, marker: Marker): Repository {
  const { storage } = options;
  const keys = new KeyRing(storage, options.masterKey);
  let pool: ThreadPool | null = null;
  // Threads start with the first backup or restore, not with every command that opens the
  // repository.
  const threads = (): ThreadPool => {
    if (pool === null || pool.hasFailed) {
      pool = new ThreadPool(options.threadCount ?? Math.min(threadsMax, availableParallelism()));
    }
    return pool;
  };
  const parts = { storage, keys, pool: threads };
  const assertMounted = (signal: AbortSignal): Promise<void> =>
    assertSameRepository({ storage, marker, ownerId: options.ownerId }, signal);
  // Looked at before each batch of deletions, like the lease.
  const guard = (rest: Guarded): Guarded => ({
    ...rest,
    assertLease: async () => {
      await assertMounted(rest.signal);
      await rest.assertLease();
    },
  });
  const read = async (instanceId: InstanceId, backupId: BackupId, signal: AbortSignal) => {
    const name = manifestObject(instanceId, backupId);
    const { manifest, manifestBytes } = await readManifest(parts, name, signal);
    return { manifest, stored: toStoredBackup(manifest.header, name, manifestBytes) };
  };
  return {
    id: marker.repositoryId,
    location: storage.location,
    log: createRepositoryLog({
      ...{ ...parts, assertMounted, guard, repositoryId: marker.repositoryId },
      level: options.level ?? defaultLevel,
    }),
    openWriter: async (writer) => {
      await assertMounted(writer.signal);
      const dataKey = await keys.ensure(writer.instanceId, writer.now, writer.signal);
      const maps = new MapStore(storage, keys);
      const previous = await readPrevious({ ...parts, maps }, writer);
      const attempts = await readAttempts(parts, writer);
      return new BackupWriter({
        ...writer,
        ...{ storage, dataKey, repositoryId: marker.repositoryId },
        priors: new PriorFiles(attempts.tables, previous?.manifest ?? null),
        previous: previous?.reader ?? null,
        hasLeftovers: attempts.hasLeftovers,
        copyForward: previous ? planCopies(previous.manifest, options) : new Set(),
        pool: threads(),
        maps,
        level: options.level ?? defaultLevel,
        objectSizes: { ...objectSizes, ...options.objectSizes },
        assertReadable: async () => {
          await assertMounted(writer.signal);
          await keys.assertStored(dataKey, writer.signal);
        },
      });
    },
    openReader: async (instanceId, backupId, signal) => {
      const { manifest, stored } = await read(instanceId, backupId, signal);
      return createReader({ ...parts, maps: new MapStore(storage, keys) }, manifest, stored);
    },
    findBackup: async (instanceId, backupId, signal): Promise<StoredBackup | null> => {
      const name = manifestObject(instanceId, backupId);
      if (!(await isPresent(storage, name, signal))) return null;
      // Who made it may have been killed before its name was durable.
      await storage.flush([name], signal);
      return (await read(instanceId, backupId, signal)).stored;
    },
    readContents: (instanceId, backupId, signal) =>
      readManifestContents(parts, manifestObject(instanceId, backupId), signal),
    locateBackup: (backupId, signal) => locateBackup(storage, backupId, signal),
    deleteBackup: async (instanceId, backupId, rest) => {
      return await deleteBackup({ ...parts, instanceId, backupId, ...guard(rest) });
    },
    surveyInstance: async (instanceId, knowledge, signal) => {
      await assertMounted(signal);
      return await surveyInstance({ ...parts, instanceId, knowledge, signal });
    },
    removeUnneeded: async (instanceId, objects, rest) => {
      return await removeUnneeded({ ...parts, instanceId, objects, ...guard(rest) });
    },
    check: async (check) => {
      const { masterKey } = options;
      const { repositoryId } = marker;
      const instanceIds = check.instanceIds ?? (await listInstances(storage, check.signal));
      const of = { storage, masterKey, repositoryId, pool: threads };
      return await checkRepository({ ...check, ...of, instanceIds });
    },
    rotateKey: async (instanceId, now, signal) => {
      await assertMounted(signal);
      // What this process has in memory may be gone from the storage.
      const fresh = new KeyRing(storage, options.masterKey);
      await new NeededObjects({ storage, keys: fresh, instanceId }).read(signal);
      return { keyId: (await fresh.rotate(instanceId, now, signal)).id };
    },
    listMasterKeyIds: async (signal) =>
      (await readMasterKeyIds(storage, marker.masterKeyId, signal)).all,
    addMasterKey: async (change, when) => {
      await assertMounted(when.signal);
      return { dataKeys: await addMasterKey({ storage, marker }, change, when) };
    },
    retireMasterKey: async (retiredId, when) => {
      await assertMounted(when.signal);
      const { masterKey } = options;
      const removed = await retireMasterKey({ storage, marker }, { masterKey, retiredId }, when);
      return { removed };
    },
    locks: storage.lock ?? null,
    extendLocks: async (instanceId, rest) => {
      const fresh = new KeyRing(storage, options.masterKey);
      return await extendLocks({ ...rest, storage, keys: fresh, instanceId });
    },
    hasBackup: async (instanceId, backupId, signal) =>
      await isPresent(storage, manifestObject(instanceId, backupId), signal),
    readBackups: (instanceId, signal) => readBackups({ ...parts, instanceId }, signal),
    listInstances: (signal) => listInstances(storage, signal),
    takeOver: async (owner, { isAllowed, now, signal }) => {
      const { repositoryId } = marker;
      const current = await readOwnership(storage, marker.owner, signal);
      if (current.owner !== owner && !isAllowed) throw notOurs(storage, current.owner);
      await takeOver(storage, current, { owner, repositoryId, now, signal });
    },
    [Symbol.asyncDispose]: async () => {
      await pool?.[Symbol.asyncDispose]();
    },
  };
}

/** A volume that is not mounted, or another in its place, must not pass for the repository. */
function assertExpected({ storage, expectedId }: OpenOptions, marker: Marker | null): void {
  if (expectedId === null || marker?.repositoryId === expectedId) return;
  const text = marker
    ? `${storage.location} holds repository ${marker.repositoryId}, not ${expectedId}`
    : `the catalog knows backups, but there is no repository in ${storage.location}`;
  throw new CairnError('storage-unavailable', text, {
    hint: 'look whether its volume is mounted, and whether CAIRN_STORAGE is what it was',
  });
}

async function findMarker(options: OpenOptions): Promise<Marker> {
  const { storage, signal, ownerId } = options;
  const found = await readMarker(storage, signal);
  assertExpected(options, found);
  if (found) return found;
  if (ownerId === null) {
    throw new CairnError('not-found', `there is no repository in ${storage.location}`, {
      hint: 'check the storage location',
    });
  }
  const record = {
    format: 1,
    repository_id: options.random.hex(16),
    owner: ownerId,
    master_key_id: options.masterKey.id,
    created_at: options.now.toISOString(),
  };
  const bytes = Buffer.from(`${JSON.stringify(record, null, 2)}\n`);
  await storage.createExclusive(repositoryObject, bytes, signal);
  const made = await readMarker(storage, signal);
  if (!made) throw damaged(repositoryObject, 'it was written and is not there');
  return made;
}

/** Null when there is none. @throws repository-damaged, storage-unavailable */
export async function readMarker(storage: Storage, signal: AbortSignal): Promise<Marker | null> {
  const bytes = await readIfPresent(storage, repositoryObject, signal);
  if (!bytes) return null;
  let record: Partial<Record<string, unknown>>;
  try {
    record = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(repositoryObject, 'it is not JSON', cause);
  }
  const { format, repository_id: repositoryId, owner, master_key_id: masterKeyId } = record;
  if (format !== 1) {
    throw new CairnError('repository-damaged', `repository format ${format} is not known`, {
      hint: 'this Cairn reads format 1: update it',
    });
  }
  const texts = [repositoryId, owner, masterKeyId];
  if (!texts.every((text) => typeof text === 'string')) {
    throw damaged(repositoryObject, 'it lacks a field');
  }
  const ownership = await readOwnership(storage, String(owner), signal);
  return { repositoryId, masterKeyId, ...ownership } as Marker;
}

/** A volume that was unmounted or exchanged leaves a folder of the same name (rule 11). */
async function assertSameRepository(
  of: {
    readonly storage: Storage;
    readonly marker: Marker;
    readonly ownerId: string | null;
  },
  signal: AbortSignal,
): Promise<void> {
  const { storage, ownerId } = of;
  const { repositoryId } = of.marker;
  const found = await readMarker(storage, signal);
  if (found?.repositoryId === repositoryId) {
    if (ownerId === null || found.owner === ownerId) return;
    throw notOurs(storage, found.owner);
  }
  const text = `${storage.location} does not hold repository ${repositoryId} any more`;
  throw new CairnError('storage-unavailable', text, {
    hint: 'look whether its volume is mounted; nothing was written to what is there instead',
  });
}

/** A previous backup that cannot be used costs space, never the new backup (rule 32). */
async function readPrevious(
  parts: ReaderParts,
  writer: WriterOptions,
): Promise<{ readonly manifest: Manifest; readonly reader: RepositoryReader } | null> {
  const { previousBackupId, instanceId, signal, log } = writer;
  if (!previousBackupId) return null;
  try {
    const name = manifestObject(instanceId, previousBackupId);
    const { manifest, manifestBytes } = await readManifest(parts, name, signal);
    const { packs, maps } = manifest.header;
    await assertPresent(parts.storage, [...packs, ...maps], signal);
    const stored = toStoredBackup(manifest.header, name, manifestBytes);
    return { manifest, reader: createReader(parts, manifest, stored) };
  } catch (err) {
    if (!isErrorKind(err, 'not-found') && !isErrorKind(err, 'repository-damaged')) throw err;
    warnUnusable(log, previousBackupId, err);
    return null;
  }
}

function planCopies({ header }: Manifest, { copyForward }: OpenOptions): ReadonlySet<string> {
  const { packs, totals } = header;
  const limits = { ...copyForwardLimits, ...copyForward };
  return planCopyForward({ packs, logicalBytes: totals.logical_bytes }, limits);
}

/** What earlier attempts at the backup have left, and what of it can be referred to. */
async function readAttempts(
  parts: { readonly storage: Storage; readonly keys: KeyRing },
  { instanceId, backupId, signal, log }: WriterOptions,
): Promise<{ readonly tables: readonly StoredTable[]; readonly hasLeftovers: boolean }> {
  const { storage } = parts;
  const found = await Array.fromAsync(storage.list(backupFolder(instanceId, backupId), signal));
  const folder = checkpointsFolder(instanceId, backupId);
  const checkpoints = found.filter(({ name }) => name.startsWith(folder));
  const tables = await readCheckpoints(checkpoints, { ...parts, signal, log });
  return { tables, hasLeftovers: found.length > 0 };
}

function warnUnusable(log: Logger, backupId: BackupId, err: unknown): void {
  log.warn({ err, backupId }, 'the previous backup is damaged: this one stores every page again');
}

async function locateBackup(
  storage: Storage,
  backupId: BackupId,
  signal: AbortSignal,
): Promise<InstanceId> {
  const found: string[] = [];
  for await (const { name } of storage.list('instances/', signal)) {
    const [, instance = '', , other = ''] = name.split('/');
    const instanceId = parseInstanceId(instance);
    if (instanceId && name === manifestObject(instanceId, backupId)) return instanceId;
    if (name.endsWith('/manifest') && found.length < idsShownMax) found.push(other);
  }
  throw new CairnError('not-found', `there is no backup ${backupId} in ${storage.location}`, {
    hint: found.length === 0 ? 'it holds no backup at all' : `it holds ${found.join(', ')}`,
  });
}

async function listInstances(
  storage: Storage,
  signal: AbortSignal,
): Promise<readonly InstanceId[]> {
  const ids = new Set<InstanceId>();
  for await (const { name } of storage.list('instances/', signal)) {
    const id = parseInstanceId(name.split('/')[1] ?? '');
    if (id) ids.add(id);
  }
  return [...ids].sort();
}
