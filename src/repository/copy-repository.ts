// The second copy of a repository, in another storage. `copy-instance.ts` copies, this file
// removes. Whoever removes looks afterwards whether everything is still there, and copies what
// another process needed meanwhile: two copiers need not know of each other.
import { CairnError, toCairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { parseInstanceId } from '../model/ids.ts';
import type { Clock } from '../platform/clock.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { Random } from '../platform/random.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { compareInstance } from './copy-compare.ts';
import type { CopyOptions, CopyReport, RepositoryCopy } from './copy-door.ts';
import type { CopyPass } from './copy-instance.ts';
import { copyPass } from './copy-instance.ts';
import { copyMasterKeys } from './copy-keys.ts';
import { createCopyLister } from './copy-list.ts';
import { copyLog, readLogBegins } from './copy-log.ts';
import { removeCopiedLog } from './copy-log-upkeep.ts';
import type { DatedBackup } from './copy-plan.ts';
import { planRemovals } from './copy-plan.ts';
import type { CopyIdentity, CopyMemory } from './copy-target.ts';
import { assertCopy, ensureCopy } from './copy-target.ts';
import { extendLocks } from './extend-locks.ts';
import { KeyRing } from './keys.ts';
import { assertOpens } from './master-key-ids.ts';
import { openRepository, readMarker } from './open-repository.ts';
import { copyOwnerOf } from './ownership.ts';
import { readBackups } from './read-backups.ts';
import type { Repository } from './repository.ts';

export type OpenCopyOptions = {
  readonly source: Storage;
  readonly target: Storage;
  /** Of the source. */
  readonly identity: CopyIdentity;
  readonly masterKey: MasterKey;
  readonly memory: CopyMemory;
  readonly clock: Clock;
  readonly random: Random;
};

const leftover = /^instances\/[^/]+\/backups\/[^/]+\/(?:packs|maps)\/./;

/**
 * Which repository a storage holds. @throws not-found, invalid when it is sealed with another
 * master key
 */
export async function identifyRepository(
  source: Storage,
  masterKey: MasterKey,
  signal: AbortSignal,
): Promise<CopyIdentity> {
  const marker = await readMarker(source, signal);
  if (!marker) {
    throw new CairnError('not-found', `there is no repository in ${source.location}`, {
      hint: 'check CAIRN_STORAGE, or name the source with --from',
    });
  }
  await assertOpens(masterKey, source, { firstId: marker.masterKeyId, signal });
  return marker;
}

/** @throws conflict when both are the same place; the target is first looked at when it is used */
export function openCopy(options: OpenCopyOptions): RepositoryCopy {
  const { source, target } = options;
  if (source.location === target.location) {
    throw new CairnError('conflict', `${target.location} is the repository itself`, {
      hint: 'name another place for the copy, best on other hardware',
    });
  }
  return {
    location: target.location,
    listInstances: (signal) => listInstances([source, target], signal),
    findName: (instanceId, signal) => findName(options, instanceId, signal),
    copyInstance: async (instanceId, request) => {
      const report = await copyInstance(options, instanceId, request);
      const keys = new KeyRing(target, options.masterKey);
      const { signal } = request;
      const of = { storage: target, keys, instanceId, expected: [], signal };
      return { ...report, locks: await extendLocks(of) };
    },
    compareInstance: (instanceId, rules, signal) =>
      compareInstance({ ...options, instanceId, signal }, rules),
    listCopies: createCopyLister(options),
    copyMasterKeys: async (signal) => {
      if (!(await options.memory.isKnown()) && !(await readMarker(target, signal))) return;
      await assertCopy(target, options.identity, signal);
      await copyMasterKeys(options, signal);
    },
  };
}

async function copyInstance(
  parts: OpenCopyOptions,
  instanceId: InstanceId,
  options: CopyOptions,
): Promise<Omit<CopyReport, 'locks'>> {
  const { identity, memory, clock } = parts;
  const mayBeMade = !(await memory.isKnown());
  const { signal } = options;
  await ensureCopy(parts.target, { ...identity, mayBeMade, now: clock.now(), signal });
  await memory.remember();
  await copyMasterKeys(parts, signal);
  const backups = await copyBackups(parts, instanceId, options);
  const log = await copyLog(parts, instanceId, options);
  const objects = backups.objects + log.objects;
  return { ...backups, failedLog: log.failed, objects, bytes: backups.bytes + log.bytes };
}

async function copyBackups(
  parts: OpenCopyOptions,
  instanceId: InstanceId,
  options: CopyOptions,
): Promise<Omit<CopyReport, 'locks' | 'failedLog'>> {
  const { signal } = options;
  const pass = await copyPass(parts, instanceId, options);
  if (!options.removeOlder && !options.removeGone) return toReport(pass, []);
  await using copy = await openTarget(parts, signal);
  const removed = await removeBackups(parts, { copy, instanceId, pass }, options);
  const leftovers = await removeLeftovers(parts, { copy, instanceId, pass }, options);
  await removeLog(parts, { copy, instanceId, pass }, options);
  if (removed.length + leftovers === 0) return toReport(pass, []);
  return toReport(await copyPass(parts, instanceId, options), removed, pass);
}

/** As its owner: what is deleted there goes the way of every deletion. */
async function openTarget(parts: OpenCopyOptions, signal: AbortSignal): Promise<Repository> {
  const { target, identity, masterKey, random, clock } = parts;
  const { repositoryId } = identity;
  return await openRepository({
    ...{ storage: target, masterKey, random, now: clock.now(), signal },
    ...{ ownerId: copyOwnerOf(repositoryId), expectedId: repositoryId },
  });
}

type Removal = {
  readonly copy: Repository;
  readonly instanceId: InstanceId;
  readonly pass: CopyPass;
};

async function removeBackups(
  { target, masterKey }: OpenCopyOptions,
  { copy, instanceId, pass }: Removal,
  options: CopyOptions,
): Promise<readonly BackupId[]> {
  const { assertLease, signal } = options;
  const copies: DatedBackup[] = [];
  const parts = { storage: target, keys: new KeyRing(target, masterKey), instanceId };
  for await (const { backupId, stored, error } of readBackups(parts, signal)) {
    // Nobody knows what it needs, nor how old it is.
    if (error) pass.failed.push({ backupId, error: toCairnError(error) });
    else copies.push({ backupId, endedAt: stored.facts.backup.endedAt });
  }
  const removals = planRemovals(copies, pass.inSource, options);
  for (const id of removals) await copy.deleteBackup(instanceId, id, { assertLease, signal });
  return removals;
}

/**
 * What neither a backup that is to be copied nor one that was copied needs: of copies that broke
 * off, and of backups that later ones used. When a manifest could not be read, nothing goes.
 */
async function removeLeftovers(
  { target }: OpenCopyOptions,
  { copy, instanceId, pass }: Removal,
  { assertLease, signal }: CopyOptions,
): Promise<number> {
  if (pass.failed.length > 0) return 0;
  const unneeded: ObjectInfo[] = [];
  for await (const info of target.list(`instances/${instanceId}/`, signal)) {
    if (leftover.test(info.name) && !pass.needed.has(info.name)) unneeded.push(info);
  }
  const options = { assertLease, signal };
  return (await copy.removeUnneeded(instanceId, unneeded, options)).removed.length;
}

/** Log from before the oldest backup of the copy; nothing when a manifest could not be read. */
async function removeLog(
  { target, masterKey }: OpenCopyOptions,
  { copy, instanceId, pass }: Removal,
  { assertLease, signal }: CopyOptions,
): Promise<void> {
  if (pass.failed.length > 0) return;
  const parts = { storage: target, keys: new KeyRing(target, masterKey), instanceId };
  const begins = await readLogBegins(parts, signal);
  await removeCopiedLog(copy, { instanceId, begins }, { assertLease, signal });
}

/** `before`: the pass that came first, when there were two. */
function toReport(
  pass: CopyPass,
  removed: readonly BackupId[],
  before: CopyPass | null = null,
): Omit<CopyReport, 'locks' | 'failedLog'> {
  const copied = [...(before?.copied ?? []), ...pass.copied];
  const known = new Set(pass.failed.map(({ backupId }) => backupId));
  const failed = (before?.failed ?? []).filter(({ backupId }) => !known.has(backupId));
  return {
    copied,
    present: pass.present - (before?.copied.length ?? 0),
    skipped: [...new Set([...(before?.skipped ?? []), ...pass.skipped])],
    removed,
    failed: [...pass.failed, ...failed],
    objects: pass.objects + (before?.objects ?? 0),
    bytes: pass.bytes + (before?.bytes ?? 0),
  };
}

async function findName(
  { source, target, masterKey }: OpenCopyOptions,
  instanceId: InstanceId,
  signal: AbortSignal,
): Promise<string | null> {
  for (const storage of [source, target]) {
    const parts = { storage, keys: new KeyRing(storage, masterKey), instanceId };
    for await (const { stored } of readBackups(parts, signal)) {
      if (stored) return stored.facts.instance.name;
    }
  }
  return null;
}

async function listInstances(
  storages: readonly Storage[],
  signal: AbortSignal,
): Promise<readonly InstanceId[]> {
  const ids = new Set<InstanceId>();
  for (const storage of storages) {
    for await (const { name } of storage.list('instances/', signal)) {
      const id = parseInstanceId(name.split('/')[1] ?? '');
      if (id) ids.add(id);
    }
  }
  return [...ids].sort();
}
