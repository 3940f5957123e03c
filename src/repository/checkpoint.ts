// A checkpoint says what an attempt at a backup has finished since its last one: parts of file
// maps, with the packs that they need. It is no commit point, and readers of backups ignore it: the
// next attempt compares its pages with what the checkpoints name, as with one more previous backup.
import { setImmediate } from 'node:timers/promises';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { isErrorKind } from '../model/errors.ts';
import type { Logger } from '../platform/logger.ts';
import type { ObjectInfo, Storage } from '../storage/storage.ts';
import { damaged } from './format.ts';
import type { DataKey, KeyRing } from './keys.ts';
import type { FileEntry, StoredTable } from './manifest.ts';
import {
  assertReferences,
  decodeTable,
  encodeTable,
  ObjectReferences,
  TableFacts,
} from './manifest.ts';
import { assertPresent } from './object-presence.ts';
import { encodeFrames, ObjectEncoder, SealedObject } from './sealed-object.ts';

const CheckpointHeader = Type.Object({
  format: Type.Literal(1),
  /** Begin of the attempt in milliseconds; orders attempts. */
  attempt_at: Type.Integer(),
  table: TableFacts,
  packs: ObjectReferences,
  maps: ObjectReferences,
});
type CheckpointHeader = Static<typeof CheckpointHeader>;

/** Parts refer to lists of names by their indexes. */
export type NamedTable = {
  readonly files: readonly FileEntry[];
  readonly packNames: readonly string[];
  readonly mapNames: readonly string[];
};

/** The same files, with lists of only those names that they need. */
export function narrowTable({ files, packNames, mapNames }: NamedTable): NamedTable {
  const packs = new Map<number, number>();
  const maps = new Map<number, number>();
  const narrowed = files.map((file) => ({
    ...file,
    parts: file.parts.map(({ map, frame, packs: needed }) => ({
      map: renumber(maps, map),
      frame,
      packs: needed.map((pack) => renumber(packs, pack)),
    })),
  }));
  return {
    files: narrowed,
    packNames: [...packs.keys()].map((index) => packNames[index] ?? ''),
    mapNames: [...maps.keys()].map((index) => mapNames[index] ?? ''),
  };
}

function renumber(known: Map<number, number>, index: number): number {
  const found = known.get(index);
  if (found !== undefined) return found;
  known.set(index, known.size);
  return known.size - 1;
}

/** The whole object, to be published under its name. */
export function encodeCheckpoint(
  { header, files }: StoredTable,
  options: { readonly name: string; readonly dataKey: DataKey; readonly attemptAt: Date },
): Buffer {
  const { frames, sha256 } = encodeTable(files);
  const record: CheckpointHeader = {
    ...{ format: 1, attempt_at: options.attemptAt.getTime() },
    table: { frames: frames.length, sha256 },
    packs: [...header.packs],
    maps: [...header.maps],
  };
  const encoder = new ObjectEncoder({ kind: 'checkpoint', ...options });
  return encodeFrames(encoder, [Buffer.from(JSON.stringify(record)), ...frames]);
}

export type CheckpointParts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly signal: AbortSignal;
  readonly log: Logger;
};

/**
 * What the given checkpoints say, the latest first. One that is damaged, or names an object that is
 * gone, costs storing its pages again: it is left out, with a warning.
 * @throws storage-unavailable
 */
export async function readCheckpoints(
  found: readonly ObjectInfo[],
  parts: CheckpointParts,
): Promise<readonly StoredTable[]> {
  const tables: { table: StoredTable; attemptAt: number; name: string }[] = [];
  for (const info of found) {
    try {
      tables.push({ ...(await readCheckpoint(info, parts)), name: info.name });
    } catch (err) {
      if (!isErrorKind(err, 'repository-damaged') && !isErrorKind(err, 'not-found')) throw err;
      parts.log.warn({ err, name: info.name }, 'a checkpoint cannot be used');
    }
  }
  // Of one attempt the names count upwards.
  tables.sort((a, b) => b.attemptAt - a.attemptAt || (a.name < b.name ? 1 : -1));
  return tables.map(({ table }) => table);
}

async function readCheckpoint(
  { name, sizeBytes }: ObjectInfo,
  parts: CheckpointParts,
): Promise<{ table: StoredTable; attemptAt: number }> {
  const { signal, storage } = parts;
  const where = { name, kind: 'checkpoint', sizeBytes } as const;
  const object = await SealedObject.open(parts, where, { whole: true, signal });
  const frames: Buffer[] = [];
  for (let frame = 0; frame < object.frameCount; frame++) {
    frames.push(await object.readFrame(frame, signal));
    await setImmediate();
  }
  const [first, ...rest] = frames;
  const header = parseHeader(first ?? Buffer.alloc(0), name);
  const { files } = await decodeTable(header.table, rest, name);
  const table = { header, files };
  assertReferences(table, name);
  await assertPresent(storage, [...header.packs, ...header.maps], signal);
  return { table, attemptAt: header.attempt_at };
}

function parseHeader(frame: Buffer, name: string): CheckpointHeader {
  let value: unknown;
  try {
    value = JSON.parse(frame.toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'its header is not JSON', cause);
  }
  if (!Value.Check(CheckpointHeader, value)) throw damaged(name, 'its header is no checkpoint');
  return value;
}
