// The last step of a backup: every object that the manifest names is looked up once more (rule 17),
// made durable, and the manifest is created under its name, which only one attempt can do.
import { CairnError } from '../model/errors.ts';
import type { BackupId, InstanceId } from '../model/ids.ts';
import { formatLogPosition } from '../model/log-position.ts';
import type { Storage } from '../storage/storage.ts';
import { backupFolder, manifestObject } from './format.ts';
import type { DataKey } from './keys.ts';
import type { ManifestHeader, TableEntry } from './manifest.ts';
import { encodeManifestHeader, encodeTable } from './manifest.ts';
import { encodeContents } from './manifest-contents.ts';
import type { ObjectReference } from './object-presence.ts';
import { assertPresent } from './object-presence.ts';
import type { PublishedObject } from './pack.ts';
import type { BackupFacts, CommittedBackup } from './repository.ts';
import { encodeFrames, ObjectEncoder } from './sealed-object.ts';

export type CommitParts = {
  readonly storage: Storage;
  readonly repositoryId: string;
  readonly dataKey: DataKey;
  readonly instanceId: InstanceId;
  readonly backupId: BackupId;
  /** What earlier backups and attempts have stored. */
  readonly earlier: () => Iterable<ObjectReference>;
  readonly assertReadable: () => Promise<void>;
  readonly signal: AbortSignal;
  readonly table: readonly TableEntry[];
  readonly packNames: readonly string[];
  readonly mapNames: readonly string[];
  readonly ownPacks: readonly PublishedObject[];
  readonly ownMaps: readonly PublishedObject[];
  readonly logicalBytes: number;
  readonly newBytes: number;
  /** Raw bytes of a pack that the backup refers to. */
  readonly liveOf: (packName: string) => number;
};

/**
 * @throws conflict when the backup has a manifest already; repository-damaged when a named object
 * is missing
 */
export async function commitManifest(
  facts: BackupFacts,
  parts: CommitParts,
): Promise<CommittedBackup> {
  const { storage, dataKey, signal } = parts;
  const sizesOf = createSizes([...parts.ownPacks, ...parts.ownMaps], parts.earlier());
  const packs = sizesOf(parts.packNames).map((pack) => ({
    ...pack,
    live: parts.liveOf(pack.name),
  }));
  const maps = sizesOf(parts.mapNames);
  const { frames, sha256 } = encodeTable(parts.table);
  const contents = facts.base.contents ? encodeContents(facts.base.contents) : null;
  const own = [...parts.ownPacks, ...parts.ownMaps];
  // Also what earlier attempts at this backup have stored for it.
  const folder = backupFolder(parts.instanceId, parts.backupId);
  const ofThis = [...packs, ...maps].filter((object) => object.name.startsWith(folder));
  const storedBytes = ofThis.reduce((total, object) => total + object.size, 0);
  const header = composeHeader(facts, parts, {
    ...{ packs: [...packs], maps: [...maps], storedBytes },
    table: { frames: frames.length, sha256 },
    ...(contents && { contents: contents.facts }),
  });
  const name = manifestObject(parts.instanceId, parts.backupId);
  const encoder = new ObjectEncoder({ kind: 'manifest', name, dataKey });
  const bytes = encodeFrames(encoder, [
    encodeManifestHeader(header),
    ...frames,
    ...(contents?.frames ?? []),
  ]);

  // The key counts too: another process may have minted it a moment ago.
  await storage.flush([...own.map((object) => object.name), dataKey.objectName], signal);
  await parts.assertReadable();
  await assertPresent(storage, [...packs, ...maps], signal);
  await facts.beforeCommit();
  const outcome = await storage.createExclusive(name, bytes, signal);
  if (outcome === 'exists') throw new CairnError('conflict', `backup ${parts.backupId} exists`);
  const totals = {
    fileCount: header.totals.files,
    logicalBytes: parts.logicalBytes,
    newBytes: parts.newBytes,
    storedBytes: storedBytes + bytes.byteLength,
  };
  return { totals, manifestBytes: bytes.byteLength };
}

/** Adds the size to each name. @throws bug when nobody has stored an object of the name */
export function createSizes(
  own: readonly PublishedObject[],
  earlier: Iterable<ObjectReference>,
): (names: readonly string[]) => readonly ObjectReference[] {
  const sizes = new Map<string, Pick<ObjectReference, 'size' | 'raw'>>();
  // What of a pack was live in an earlier backup is not so in this one.
  for (const { name, live: _, ...facts } of earlier) sizes.set(name, facts);
  for (const { name, sizeBytes: size, rawBytes: raw } of own) {
    sizes.set(name, raw === undefined ? { size } : { size, raw });
  }
  return (names) =>
    names.map((name) => {
      const facts = sizes.get(name);
      if (!facts) throw new CairnError('bug', `no size is known of object ${name}`);
      return { name, ...facts };
    });
}

function composeHeader(
  facts: BackupFacts,
  parts: CommitParts,
  derived: Pick<ManifestHeader, 'packs' | 'maps' | 'table' | 'contents'> & {
    readonly storedBytes: number;
  },
): ManifestHeader {
  const { table } = parts;
  const { instance, backup, base } = facts;
  const files = table.filter((entry) => entry.type === 'file').length;
  return {
    format: 1,
    repository_id: parts.repositoryId,
    instance: { id: parts.instanceId, name: instance.name, engine: instance.engine },
    backup: {
      id: parts.backupId,
      project_id: backup.projectId,
      name: backup.name,
      description: backup.description,
      type: backup.type,
      databases: [...backup.databases],
      started_at: backup.startedAt.getTime(),
      ended_at: backup.endedAt.getTime(),
    },
    engine: {
      version: base.serverVersion,
      system_identifier: base.systemIdentifier,
      start_position: formatLogPosition(base.startPosition),
      stop_position: formatLogPosition(base.stopPosition),
      last_log_file: base.lastLogFile,
      notes: base.notes,
    },
    totals: {
      files,
      directories: table.length - files,
      logical_bytes: parts.logicalBytes,
      new_bytes: parts.newBytes,
      stored_bytes: derived.storedBytes,
    },
    table: derived.table,
    ...(derived.contents && { contents: derived.contents }),
    packs: derived.packs,
    maps: derived.maps,
  };
}
