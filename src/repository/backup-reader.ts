// Reads one backup: what its manifest says, single small files, and the extraction of many
// (`extract.ts`).
import type { BackupTotals } from '../model/backup.ts';
import { backupTypes } from '../model/backup.ts';
import { engines } from '../model/engine-kind.ts';
import { CairnError } from '../model/errors.ts';
import type { ProjectId } from '../model/ids.ts';
import { parseBackupId, parseInstanceId } from '../model/ids.ts';
import { parseLogPosition } from '../model/log-position.ts';
import { MiB } from '../model/units.ts';
import type { Storage } from '../storage/storage.ts';
import { extractFiles } from './extract.ts';
import { locatePages } from './file-map.ts';
import { damaged, digestBytes } from './format.ts';
import type { KeyRing } from './keys.ts';
import type { FileEntry, Manifest, ManifestHeader } from './manifest.ts';
import type { MapStore } from './map-store.ts';
import { PackStore } from './pack-store.ts';
import { digestPage } from './pages.ts';
import { readWhole } from './read-manifest.ts';
import type { RepositoryReader, StoredBackup, StoredDirectory, StoredFile } from './repository.ts';
import { streamPieces } from './stream-pieces.ts';
import type { ThreadPool } from './thread-pool.ts';

const readBytesMax = 64 * MiB;

export type ReaderParts = {
  readonly storage: Storage;
  readonly keys: KeyRing;
  readonly maps: MapStore;
  readonly pool: () => ThreadPool;
};

/** @throws not-found, repository-damaged naming the manifest */
export async function readManifest(
  parts: Pick<ReaderParts, 'storage' | 'keys'>,
  name: string,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; manifestBytes: number }> {
  const { sizeBytes } = await parts.storage.stat(name, signal);
  const manifest = await readWhole(parts, { name, sizeBytes }, signal);
  return { manifest, manifestBytes: sizeBytes };
}

export function createReader(
  parts: ReaderParts,
  manifest: Manifest,
  stored: StoredBackup,
): RepositoryReader {
  const byPath = new Map(manifest.files.map((file) => [file.path, file]));
  const packs = new PackStore(parts.storage, parts.keys);
  const find = (path: string): FileEntry => {
    const file = byPath.get(path);
    if (!file) throw new CairnError('not-found', `the backup has no file ${path}`);
    return file;
  };
  return {
    stored,
    serverVersion: manifest.header.engine.version,
    notes: manifest.header.engine.notes,
    directories: (): readonly StoredDirectory[] => manifest.directories,
    files: () => manifest.files.map(toStoredFile),
    findFile: (path) => {
      const file = byPath.get(path);
      return file ? toStoredFile(file) : null;
    },
    read: async (path, signal) => await readFile(find(path), { ...parts, packs, manifest, signal }),
    verify: async (path, signal) => {
      for await (const _ of readPages(find(path), { ...parts, packs, manifest, signal }));
    },
    stream: (pieces, signal) => {
      return streamPieces(pieces, { ...parts, packs, manifest, find, pool: parts.pool(), signal });
    },
    extract: async (files, { write = 'new-files', onProgress, signal }) => {
      const targets = files.map(({ path, targetPath }) => ({ file: find(path), targetPath }));
      const pool = parts.pool();
      await extractFiles(targets, { ...parts, manifest, packs, pool, write, onProgress, signal });
    },
  };
}

/** @throws repository-damaged when the header says what no writer writes */
export function toStoredBackup(
  header: ManifestHeader,
  name: string,
  manifestBytes: number,
): StoredBackup {
  const instanceId = parseInstanceId(header.instance.id);
  const backupId = parseBackupId(header.backup.id);
  const engine = engines.find((candidate) => candidate === header.instance.engine);
  const type = backupTypes.find((candidate) => candidate === header.backup.type);
  const startPosition = parseLogPosition(header.engine.start_position);
  const stopPosition = parseLogPosition(header.engine.stop_position);
  if (!instanceId || !backupId || !engine || !type || !startPosition || !stopPosition) {
    throw damaged(name, 'its header names something unknown');
  }
  const totals: BackupTotals = {
    fileCount: header.totals.files,
    logicalBytes: header.totals.logical_bytes,
    newBytes: header.totals.new_bytes,
    storedBytes: header.totals.stored_bytes + manifestBytes,
  };
  const backup = {
    projectId: header.backup.project_id as ProjectId,
    name: header.backup.name,
    description: header.backup.description,
    type,
    databases: header.backup.databases,
    startedAt: new Date(header.backup.started_at),
    endedAt: new Date(header.backup.ended_at),
  };
  const base = {
    serverVersion: header.engine.version,
    systemIdentifier: header.engine.system_identifier,
    ...{ startPosition, stopPosition },
    lastLogFile: header.engine.last_log_file,
    notes: header.engine.notes,
  };
  const instance = { name: header.instance.name, engine };
  return { instanceId, backupId, facts: { instance, backup, base }, totals };
}

function toStoredFile(file: FileEntry): StoredFile {
  return {
    path: file.path,
    mode: file.mode,
    modifiedAt: new Date(file.modified),
    sizeBytes: file.size,
    pageSizeBytes: file.page,
  };
}

type FileParts = {
  readonly maps: MapStore;
  readonly packs: PackStore;
  readonly manifest: Manifest;
  readonly signal: AbortSignal;
};

async function readFile(file: FileEntry, parts: FileParts): Promise<Buffer> {
  if (file.size > readBytesMax) throw new CairnError('bug', `${file.path} is too large to read`);
  const content = Buffer.alloc(file.size);
  for await (const { bytes, at } of readPages(file, parts)) bytes.copy(content, at);
  return content;
}

/** Every page that is not a hole, with its place in the file; digests compared. */
async function* readPages(
  file: FileEntry,
  parts: FileParts,
): AsyncGenerator<{ readonly bytes: Buffer; readonly at: number }> {
  const { manifest } = parts;
  const readFrame = createFrameReader(parts);
  let at = 0;
  for (const reference of file.parts) {
    const part = await parts.maps.read(manifest.header, reference, parts.signal);
    let page = 0;
    for (const location of locatePages(part, file.page)) {
      const length = Math.min(file.page, file.size - at);
      if (location) {
        const raw = await readFrame(location);
        const bytes = raw.subarray(location.offsetBytes, location.offsetBytes + length);
        const digest = part.digests.subarray(page * digestBytes, (page + 1) * digestBytes);
        if (!digestPage(bytes).every((byte, i) => byte === digest[i])) {
          throw damaged(location.packName, `a page of ${file.path} is not the one in the file map`);
        }
        yield { bytes, at };
      }
      at += length;
      page++;
    }
  }
  if (at !== file.size) throw damaged('manifest', `the file map does not fit ${file.path}`);
}

/** Keeps the last frame: neighbours in a file are neighbours in a frame. */
function createFrameReader(
  parts: FileParts,
): (location: { packName: string; frame: number }) => Promise<Buffer> {
  let last: { readonly packName: string; readonly frame: number; readonly raw: Buffer } | null =
    null;
  return async ({ packName, frame }) => {
    if (last?.packName === packName && last.frame === frame) return last.raw;
    const pack = await parts.packs.open(packName, parts.manifest.header, parts.signal);
    last = { packName, frame, raw: await pack.readFrame(frame, parts.signal) };
    return last.raw;
  };
}
