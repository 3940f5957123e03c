// The manifest is the commit point: a backup exists if and only if its manifest does. Frame 0 is
// the header, the others hold the file table, JSON each. The header carries counts and a hash of
// the table (rule 6): a manifest whose totals differ from what it lists is refused.
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { damaged, formatVersion, partPagesMax, tableEntriesMax, unknownVersion } from './format.ts';
import type { ObjectReference } from './object-presence.ts';

const Whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** Objects with their sizes: what a table refers to. */
export const ObjectReferences = Type.Array(
  Type.Object({
    name: Type.String({ maxLength: 512 }),
    size: Whole,
    raw: Type.Optional(Whole),
    live: Type.Optional(Whole),
  }),
);
export const TableFacts = Type.Object({ frames: Whole, sha256: Type.String() });

const ManifestHeader = Type.Object({
  format: Type.Literal(1),
  repository_id: Type.String(),
  instance: Type.Object({ id: Type.String(), name: Type.String(), engine: Type.String() }),
  backup: Type.Object({
    id: Type.String(),
    project_id: Type.String(),
    name: Type.String(),
    description: Type.String(),
    type: Type.String(),
    databases: Type.Array(Type.String()),
    started_at: Whole,
    ended_at: Whole,
  }),
  engine: Type.Object({
    version: Type.String(),
    system_identifier: Type.String(),
    start_position: Type.String(),
    stop_position: Type.String(),
    last_log_file: Type.String(),
    notes: Type.Record(Type.String(), Type.Unknown()),
  }),
  totals: Type.Object({
    files: Whole,
    directories: Whole,
    logical_bytes: Whole,
    new_bytes: Whole,
    /** Of packs and map objects; the manifest cannot count itself. */
    stored_bytes: Whole,
  }),
  table: TableFacts,
  /** The frames behind those of the table: what the backup holds, for people. */
  contents: Type.Optional(TableFacts),
  /** Every pack and map object that a restore needs, of this backup and of earlier ones. */
  packs: ObjectReferences,
  maps: ObjectReferences,
});
export type ManifestHeader = Static<typeof ManifestHeader>;

/**
 * Where one part of a file map is: index into `maps`, frame in it, and the packs (indexes) it
 * needs.
 */
const PartReference = Type.Object({ map: Whole, frame: Whole, packs: Type.Array(Whole) });
export type PartReference = Static<typeof PartReference>;

const FileEntry = Type.Object({
  type: Type.Literal('file'),
  path: Type.String(),
  size: Whole,
  mode: Type.Integer({ minimum: 0, maximum: 0o7777 }),
  /** Milliseconds. */
  modified: Type.Integer(),
  page: Type.Integer({ minimum: 512, maximum: 65536 }),
  parts: Type.Array(PartReference),
});
export type FileEntry = Static<typeof FileEntry>;

const DirectoryEntry = Type.Object({
  type: Type.Literal('directory'),
  path: Type.String(),
  mode: Type.Integer({ minimum: 0, maximum: 0o7777 }),
});
export type DirectoryEntry = Static<typeof DirectoryEntry>;

/** Compiled: a million entries took 24 s to check otherwise, in which no lease can be renewed. */
const tableFrame = Compile(
  Type.Array(Type.Union([FileEntry, DirectoryEntry]), { maxItems: tableEntriesMax }),
);
export type TableEntry = FileEntry | DirectoryEntry;

/** Files that are stored, and the objects that their parts are in. */
export type StoredTable = {
  readonly header: {
    readonly packs: readonly ObjectReference[];
    readonly maps: readonly ObjectReference[];
  };
  readonly files: readonly FileEntry[];
};

export type Manifest = StoredTable & {
  readonly header: ManifestHeader;
  readonly directories: readonly DirectoryEntry[];
};

/** The file table as frames, and the hash over them. */
export function encodeTable(entries: readonly TableEntry[]): { frames: Buffer[]; sha256: string } {
  const frames: Buffer[] = [];
  const sum = createHash('sha256');
  for (let at = 0; at < entries.length; at += tableEntriesMax) {
    const frame = Buffer.from(JSON.stringify(entries.slice(at, at + tableEntriesMax)));
    sum.update(frame);
    frames.push(frame);
  }
  return { frames, sha256: sum.digest('hex') };
}

export function encodeManifestHeader(header: ManifestHeader): Buffer {
  return Buffer.from(JSON.stringify(header));
}

/** @throws repository-damaged */
export function decodeManifestHeader(frame: Buffer, name: string): ManifestHeader {
  const value = parseJson(frame, name);
  if (!Value.Check(ManifestHeader, value)) {
    const format = value && typeof value === 'object' && 'format' in value ? value.format : null;
    if (typeof format === 'number' && format > formatVersion) throw unknownVersion(name, format);
    throw damaged(name, 'its header is not a manifest');
  }
  return value;
}

/** The entries of a file table; its hash is checked. @throws repository-damaged */
export async function decodeTable(
  table: Static<typeof TableFacts>,
  frames: readonly Buffer[],
  name: string,
): Promise<Pick<Manifest, 'files' | 'directories'>> {
  const sum = createHash('sha256');
  const files: FileEntry[] = [];
  const directories: DirectoryEntry[] = [];
  for (const frame of frames) {
    await setImmediate();
    sum.update(frame);
    const entries = parseJson(frame, name);
    if (!tableFrame.Check(entries)) throw damaged(name, 'its file table is broken');
    for (const entry of entries) {
      if (entry.type === 'file') files.push(entry);
      else directories.push(entry);
    }
  }
  if (frames.length !== table.frames || sum.digest('hex') !== table.sha256) {
    throw damaged(name, 'its file table is not the one that its header counts');
  }
  return { files, directories };
}

/** Checks counts, hash, uniqueness of paths and every index. @throws repository-damaged */
export async function decodeManifest(
  header: ManifestHeader,
  frames: readonly Buffer[],
  name: string,
): Promise<Manifest> {
  const { files, directories } = await decodeTable(header.table, frames, name);
  const { totals } = header;
  const logicalBytes = files.reduce((total, file) => total + file.size, 0);
  const fits =
    files.length === totals.files &&
    directories.length === totals.directories &&
    logicalBytes === totals.logical_bytes;
  if (!fits) throw damaged(name, 'its file table is not the one that its header counts');
  for (const file of files) {
    if (file.parts.length !== Math.ceil(file.size / (partPagesMax * file.page))) {
      throw damaged(name, `the parts of ${file.path} do not cover it`);
    }
  }
  assertReferences({ header, files }, name);
  const paths = new Set<string>();
  for (const { path } of [...files, ...directories]) {
    if (!isRelativePath(path)) throw damaged(name, `bad path ${JSON.stringify(path)}`);
    paths.add(path);
  }
  if (paths.size !== files.length + directories.length) throw damaged(name, 'a path occurs twice');
  return { header, files, directories };
}

/** Whether every index is one of the header's lists. @throws repository-damaged */
export function assertReferences({ header, files }: StoredTable, name: string): void {
  const { maps, packs } = header;
  for (const { path, parts } of files) {
    const known = parts.every(
      (part) => part.map < maps.length && part.packs.every((pack) => pack < packs.length),
    );
    if (!known) throw damaged(name, `${path} refers to an object that is not listed`);
  }
}

function isRelativePath(path: string): boolean {
  if (path.includes('\0')) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function parseJson(frame: Buffer, name: string): unknown {
  try {
    return JSON.parse(frame.toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'it holds a frame that is not JSON', cause);
  }
}
