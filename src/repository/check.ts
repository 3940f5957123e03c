// Looks whether everything that backups need is there and whole. Changes nothing, and may run while
// backups are made and deleted: what a deletion has taken meanwhile is no damage.
import type { BackupId, InstanceId } from '../model/ids.ts';
import type { MasterKey } from '../platform/master-key.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { checkData, PackIndex, samplePacks } from './check-data.ts';
import { checkLog } from './check-log.ts';
import type { CheckCounts, CheckReport } from './check-report.ts';
import { emptyCounts, FindingBook, foreignMax } from './check-report.ts';
import { StructureCheck, sortListing } from './check-structure.ts';
import { instanceFolder, keyObject, manifestObject } from './format.ts';
import { listWraps } from './key-wrap.ts';
import { KeyRing } from './keys.ts';
import { parseLogObject } from './log-names.ts';
import { readManifestHeader } from './read-manifest.ts';
import type { ThreadPool } from './thread-pool.ts';

/** Which packs are read through: so many of a hundred, chosen by the seed. */
export type ReadData = { readonly percent: number; readonly seed: string };

export type CheckProgress = {
  readonly phase: 'structure' | 'data';
  readonly doneBytes: number;
  readonly totalBytes: number | null;
};

export type CheckOptions = {
  /** Null: of all that the storage has. */
  readonly instanceIds: readonly InstanceId[] | null;
  /** Null: the pages themselves are not read. */
  readonly readData: ReadData | null;
  readonly onProgress: (progress: CheckProgress) => void;
  readonly signal: AbortSignal;
};

type Parts = Omit<CheckOptions, 'instanceIds'> & {
  readonly instanceIds: readonly InstanceId[];
  readonly storage: Storage;
  readonly masterKey: MasterKey;
  readonly repositoryId: string;
  readonly pool: () => ThreadPool;
};

const prunable = /^instances\/[^/]+\/backups\/[^/]+\/(?:packs|maps|checkpoints)\/./;
const manifest = /^instances\/[^/]+\/backups\/[^/]+\/manifest$/;

/** @throws storage-unavailable when listings fail, or too many objects cannot be read; cancelled */
export async function checkRepository(parts: Parts): Promise<CheckReport> {
  // Of its own: keys that a process has in memory may be gone from the storage.
  const keys = new KeyRing(parts.storage, parts.masterKey);
  const counts = emptyCounts();
  const findings = new FindingBook();
  const foreign: string[] = [];
  const existing = new Set<BackupId>();
  const storedIds = new Set<BackupId>();
  await checkKeys({ ...parts, keys, counts, findings });
  for (const instanceId of parts.instanceIds) {
    counts.instances++;
    const scene = { ...parts, keys, counts, findings, instanceId };
    const listing = await listFolder(scene);
    const before = findings.calls;
    for (const id of sortListing(listing).backupIds) storedIds.add(id);
    const structure = await checkInstance(scene, listing);
    for (const id of await checkLogOf(scene, listing)) {
      storedIds.add(id);
      existing.add(id);
    }
    foreign.push(...listForeign(listing).slice(0, foreignMax - foreign.length));
    if (findings.calls === before) countUnneeded(listing, structure, counts);
    else for (const id of await attribute(scene)) existing.add(id);
  }
  const { more: moreFindings } = findings;
  return { counts, findings: findings.list(existing), moreFindings, storedIds, foreign };
}

type Scene = Parts & {
  readonly keys: KeyRing;
  readonly counts: CheckCounts;
  readonly findings: FindingBook;
  readonly instanceId: InstanceId;
};

async function listFolder({ storage, instanceId, signal }: Scene): Promise<readonly ObjectInfo[]> {
  const listing: ObjectInfo[] = [];
  for await (const info of storage.list(instanceFolder(instanceId), signal)) listing.push(info);
  return listing;
}

async function checkKeys({
  storage,
  keys,
  counts,
  findings,
  instanceIds,
  signal,
}: Omit<Scene, 'instanceId'>): Promise<void> {
  const isWanted = (id: string): boolean => instanceIds.some((one) => id.startsWith(`${one}.`));
  for (const id of (await listWraps(storage, 'keys/', signal)).keys()) {
    if (!isWanted(id)) continue;
    counts.keys++;
    await keys.get(id, signal).catch((error: unknown) => findings.note(error, keyObject(id), null));
  }
}

async function checkInstance(
  scene: Scene,
  listing: readonly ObjectInfo[],
): Promise<StructureCheck> {
  const { readData, onProgress, counts } = scene;
  const { sizes, backupIds } = sortListing(listing);
  const packs = [...sizes.keys()].filter((name) => /\/packs\//.test(name));
  const index = new PackIndex(readData ? samplePacks(packs, readData) : new Set());
  const onPart: PackIndex['add'] = (part, names) => index.add(part, names);
  const structure = new StructureCheck(scene, { sizes, onPart });
  for (const id of backupIds) {
    await structure.checkBackup(id);
    onProgress({ phase: 'structure', doneBytes: counts.packBytes, totalBytes: null });
  }
  if (index.packs.length === 0) return structure;
  const before = counts.bytesRead;
  const totalBytes = before + index.packs.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  await checkData({
    ...{ ...scene, index, sizes, pool: scene.pool() },
    onProgress: (doneBytes) => onProgress({ phase: 'data', doneBytes, totalBytes }),
  });
  return structure;
}

async function checkLogOf(
  scene: Scene,
  listing: readonly ObjectInfo[],
): Promise<readonly BackupId[]> {
  const onProgress = ({ doneBytes }: { readonly doneBytes: number }): void =>
    scene.onProgress({ phase: 'data', doneBytes, totalBytes: null });
  return await checkLog({ ...scene, onProgress }, listing);
}

function listForeign(listing: readonly ObjectInfo[]): readonly string[] {
  return listing
    .filter((info) => !parseLogObject(info))
    .map(({ name }) => name)
    .filter((name) => !prunable.test(name) && !manifest.test(name));
}

function countUnneeded(
  listing: readonly ObjectInfo[],
  structure: StructureCheck,
  counts: CheckCounts,
): void {
  for (const { name, sizeBytes } of listing) {
    if (!prunable.test(name) || structure.isNeeded(name)) continue;
    counts.unneeded++;
    counts.unneededBytes += sizeBytes;
  }
}

/** Says of each finding which backups need the object; answers the backups that exist now. */
async function attribute(scene: Scene): Promise<readonly BackupId[]> {
  const { storage, keys, findings, instanceId, signal } = scene;
  const { sizes, backupIds } = sortListing(await listFolder(scene));
  for (const id of backupIds) {
    const name = manifestObject(instanceId, id);
    const where = { name, sizeBytes: sizes.get(name) ?? 0 };
    try {
      const header = await readManifestHeader({ storage, keys }, where, signal);
      for (const entry of [...header.packs, ...header.maps]) findings.addBackup(entry.name, id);
    } catch (error) {
      findings.note(error, name, id);
    }
  }
  return backupIds;
}
