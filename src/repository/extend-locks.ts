// Keeps locked what the backups of an instance need, where the storage locks objects. Whoever holds
// the credentials of the storage can hide it, not destroy it, and hiding is found here.
import type { CairnError } from '../model/errors.ts';
import { isErrorKind, toCairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { LockTerms, ObjectVersion, Storage } from '../storage/storage.ts';
import { instanceFolder, manifestObject, manifestPattern, repositoryObject } from './format.ts';
import type { KeyRing } from './keys.ts';
import type { LockFinding } from './lock-plan.ts';
import { lockedPrefixes, planLocks } from './lock-plan.ts';
import { readManifestHeader } from './read-manifest.ts';

export type { LockTerms } from '../storage/storage.ts';
export type { LockFinding } from './lock-plan.ts';

export type LockReport = {
  readonly terms: LockTerms;
  /** Stored versions that backups need. */
  readonly needed: number;
  /** Whose lock was begun or moved. */
  readonly extended: number;
  /** What somebody else overwrote or deleted. Nothing that was locked runs out meanwhile. */
  readonly findings: readonly LockFinding[];
  /** A manifest or key that cannot be read; null: all could be. */
  readonly damage: CairnError | null;
};

type Parts = {
  readonly storage: Storage;
  /** A fresh one: what is in memory only may be gone from the storage. */
  readonly keys: KeyRing;
  readonly instanceId: InstanceId;
  /** Backups that must be there: their manifests count as needed also when they are hidden. */
  readonly expected: readonly BackupId[];
  readonly signal: AbortSignal;
};

/**
 * Null: the storage locks nothing. The caller sees to it that no backup of the instance is deleted
 * meanwhile. Safe to repeat. @throws invalid when the storage cannot lock; storage errors
 */
export async function extendLocks(parts: Parts): Promise<LockReport | null> {
  const { instanceId, expected, signal } = parts;
  const { lock } = parts.storage;
  if (!lock) return null;
  // Throws where the bucket cannot lock.
  await parts.storage.examine?.(signal);
  const versions: ObjectVersion[] = [];
  for (const prefix of [instanceFolder(instanceId), ...lockedPrefixes(instanceId)]) {
    for await (const version of lock.listVersions(prefix, signal)) versions.push(version);
  }
  const { names, damage } = await readNeeded(versions, parts);
  const manifests = expected.map((id) => manifestObject(instanceId, id));
  const needed = new Set([repositoryObject, ...names, ...manifests]);
  const plan = planLocks({ instanceId, versions, needed });
  let extended = await lock.extend(plan.needed, 'all', signal);
  const isTouched = damage !== null || plan.findings.length > 0;
  if (isTouched) extended += await lock.extend(plan.others, 'locked', signal);
  const { findings } = plan;
  return { terms: lock.terms, needed: plan.needed.length, extended, findings, damage };
}

/** The manifests that are there, and all that they name. One that is damaged hides no other. */
async function readNeeded(
  versions: readonly ObjectVersion[],
  parts: Parts,
): Promise<{ readonly names: readonly string[]; readonly damage: CairnError | null }> {
  const names: string[] = [];
  let damage: CairnError | null = null;
  for (const { name, sizeBytes, isLatest, isDeletion } of versions) {
    if (!isLatest || isDeletion || !manifestPattern.test(name)) continue;
    names.push(name);
    try {
      const header = await readManifestHeader(parts, { name, sizeBytes }, parts.signal);
      for (const entry of [...header.packs, ...header.maps]) names.push(entry.name);
    } catch (error) {
      if (!isErrorKind(error, 'repository-damaged')) throw error;
      damage ??= toCairnError(error);
    }
  }
  return { names, damage };
}
