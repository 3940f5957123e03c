// A folder as object storage.
//
// An object is written to `tmp/` and enters its final name by `link`, which is atomic and fails
// when the name is taken: nobody sees half an object and nothing is ever replaced. The fsync of a
// published object runs behind the writer's back, a few at a time; `flush` waits for them and then
// for the folders. One barrier before the commit point costs seconds where one per object costs
// minutes (rules 2 and 31).
import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, mkdir, open, readdir, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CairnError } from '../model/errors.ts';
import { isDiskFull } from '../platform/disk-full.ts';
import type { Random } from '../platform/random.ts';
import { syncFolder } from '../platform/sync-folder.ts';
import { assertObjectName } from './object-name.ts';
import type { ByteRange, ObjectInfo, ObjectWriter, Storage } from './storage.ts';

const temporaryFolder = 'tmp';
const syncsInFlightMax = 4;
const folderMode = 0o700;
const fileMode = 0o600;
/** No job lives so long: a temporary file that nobody wrote to since belongs to a dead process. */
const abandonedMs = 7 * 24 * 3_600_000;

export class LocalStorage implements Storage {
  readonly location: string;
  readonly #root: string;
  readonly #random: Random;
  /** Objects whose fsync runs, by name. */
  readonly #syncs = new Map<string, Promise<void>>();
  /** A kernel reports a failed write-back once; after that the object is in doubt for good. */
  readonly #failedSyncs = new Map<string, CairnError>();
  /** Objects that this process has written and nobody has flushed yet. */
  readonly #synced = new Set<string>();
  #sweeping: Promise<void> | null = null;

  private constructor(root: string, random: Random) {
    this.#root = root;
    this.#random = random;
    this.location = `file://${root}`;
  }

  /** Makes the folder when it is missing. @throws storage-unavailable */
  static async open(root: string, random: Random): Promise<LocalStorage> {
    const storage = new LocalStorage(root, random);
    await storage.#attempt(`open ${root}`, () => makeFolders(root));
    return storage;
  }

  async openWriter(name: string, signal: AbortSignal): Promise<ObjectWriter> {
    signal.throwIfAborted();
    const finalPath = this.#path(name);
    this.#sweeping ??= this.#sweep().catch(() => undefined);
    await this.#sweeping;
    const { path, handle } = await this.#openTemporary(name);
    let open = true;
    return {
      write: async (bytes) => {
        signal.throwIfAborted();
        await this.#attempt(`write ${name}`, () => writeFully(handle, bytes));
      },
      publish: async () => {
        signal.throwIfAborted();
        open = false;
        try {
          await this.#enterName(name, path, finalPath);
        } catch (error) {
          await handle.close();
          await rm(path, { force: true });
          throw error;
        }
        await this.#syncBehind(name, handle);
      },
      abort: async () => {
        if (!open) return;
        open = false;
        await handle.close();
        await rm(path, { force: true });
      },
    };
  }

  async flush(names: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const folders = new Set<string>();
    for (const name of names) {
      await this.#syncs.get(name);
      const failure = this.#failedSyncs.get(name);
      if (failure) throw failure;
      // Another process wrote it, and may have died before it was durable.
      if (!this.#synced.delete(name)) await this.#attempt(`sync ${name}`, () => this.#sync(name));
      for (const folder of this.#foldersOf(this.#path(name))) folders.add(folder);
    }
    for (const folder of folders) {
      signal.throwIfAborted();
      await this.#attempt(`sync ${folder}`, () => syncFolder(folder));
    }
  }

  async createExclusive(
    name: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    signal.throwIfAborted();
    const finalPath = this.#path(name);
    const { path, handle } = await this.#openTemporary(name);
    try {
      await this.#attempt(`write ${name}`, async () => {
        await writeFully(handle, bytes);
        await handle.sync();
      });
      await this.#enterName(name, path, finalPath);
    } catch (error) {
      if (error instanceof CairnError && error.kind === 'conflict') return 'exists';
      throw error;
    } finally {
      await handle.close();
      await rm(path, { force: true });
    }
    await this.#syncFoldersOf(finalPath);
    return 'created';
  }

  async read(name: string, range: ByteRange | null, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    const path = this.#path(name);
    return await this.#attempt(`read ${name}`, async () => {
      const handle = await open(path, 'r');
      try {
        const sizeBytes = (await handle.stat()).size;
        const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: sizeBytes };
        if (offsetBytes < 0 || offsetBytes + lengthBytes > sizeBytes) throw truncated(name);
        return await readFully(handle, name, { offsetBytes, lengthBytes });
      } finally {
        await handle.close();
      }
    });
  }

  async stat(name: string, signal: AbortSignal): Promise<ObjectInfo> {
    signal.throwIfAborted();
    const path = this.#path(name);
    const { size } = await this.#attempt(`stat ${name}`, () => stat(path));
    return { name, sizeBytes: size };
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    // The deepest folder that the prefix names completely; what follows its last `/` filters the
    // names.
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const name of this.#walk(folder, signal)) {
      if (!name.startsWith(prefix)) continue;
      const info = await this.stat(name, signal).catch((error: unknown) => {
        if (error instanceof CairnError && error.kind === 'not-found') return null;
        throw error;
      });
      if (info) yield info;
    }
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const path = this.#path(name);
    await this.#attempt(`delete ${name}`, async () => {
      await rm(path, { force: true });
      await syncFolder(dirname(path)).catch(ignoreMissing);
    });
  }

  async *#walk(folder: string, signal: AbortSignal): AsyncIterable<string> {
    signal.throwIfAborted();
    const path = join(this.#root, folder);
    const entries = await this.#attempt(`list ${folder}`, () =>
      readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' && folder !== '') return [];
        throw error;
      }),
    );
    for (const entry of entries) {
      const name = `${folder}${entry.name}`;
      if (name === temporaryFolder) continue;
      if (await isFolder(join(path, entry.name), entry)) yield* this.#walk(`${name}/`, signal);
      else yield name;
    }
  }

  /** What processes that were killed left behind; ages by the clock that dates the files. */
  async #sweep(): Promise<void> {
    const { path, handle } = await this.#openTemporary(temporaryFolder);
    const nowMs = (await handle.stat()).mtimeMs;
    await handle.close();
    await rm(path, { force: true });
    const folder = join(this.#root, temporaryFolder);
    for (const file of await readdir(folder)) {
      const { mtimeMs } = await stat(join(folder, file));
      if (nowMs - mtimeMs > abandonedMs) await rm(join(folder, file), { force: true });
    }
  }

  async #openTemporary(name: string): Promise<{ path: string; handle: FileHandle }> {
    const path = join(this.#root, temporaryFolder, this.#random.hex(16));
    const handle = await this.#attempt(`write ${name}`, () => open(path, 'wx', fileMode));
    return { path, handle };
  }

  async #enterName(name: string, path: string, finalPath: string): Promise<void> {
    await this.#attempt(`publish ${name}`, async () => {
      await mkdir(dirname(finalPath), { recursive: true, mode: folderMode });
      await link(path, finalPath);
      await unlink(path);
    });
  }

  async #syncBehind(name: string, handle: FileHandle): Promise<void> {
    while (this.#syncs.size >= syncsInFlightMax) await Promise.race(this.#syncs.values());
    const sync = this.#attempt(`sync ${name}`, () => syncAndClose(handle))
      .then(() => void this.#synced.add(name))
      .catch((error: CairnError) => {
        this.#failedSyncs.set(name, error);
      })
      .finally(() => this.#syncs.delete(name));
    this.#syncs.set(name, sync);
  }

  async #sync(name: string): Promise<void> {
    await syncAndClose(await open(this.#path(name), 'r'));
  }

  async #syncFoldersOf(finalPath: string): Promise<void> {
    for (const folder of this.#foldersOf(finalPath)) {
      await this.#attempt(`sync ${folder}`, () => syncFolder(folder));
    }
  }

  /** The file's folder and those above it up to the root: any of them may be new. */
  #foldersOf(path: string): string[] {
    const folders: string[] = [];
    for (let folder = dirname(path); folder.length >= this.#root.length; folder = dirname(folder)) {
      folders.push(folder);
    }
    return folders;
  }

  #path(name: string): string {
    assertObjectName(name);
    if (name.split('/')[0] === temporaryFolder) throw new CairnError('bug', 'tmp is reserved');
    return join(this.#root, name);
  }

  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw toStorageError(error, `${what} in ${this.location}`);
    }
  }
}

/** What is on a medium that cannot be written can still be read. */
async function makeFolders(root: string): Promise<void> {
  try {
    const first = await mkdir(join(root, temporaryFolder), { recursive: true, mode: folderMode });
    if (first === undefined) return;
    for (let folder = root; folder.length >= dirname(first).length; folder = dirname(folder)) {
      await syncFolder(folder);
      if (folder === dirname(folder)) return;
    }
  } catch (error) {
    // A read-only volume, on which Node makes ENOENT of it: reading needs no folder of ours.
    if (!['EROFS', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await readdir(root);
  }
}

/** Whoever moved a part of the repository to another volume left a link: it must not hide it. */
async function isFolder(path: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const text = `cannot follow ${path}: ${cause.message}`;
    throw new CairnError('storage-unavailable', text, { cause });
  });
  return target.isDirectory();
}

function toStorageError(error: unknown, what: string): CairnError {
  if (error instanceof CairnError) return error;
  const cause = error as NodeJS.ErrnoException;
  if (cause.code === 'ENOENT')
    return new CairnError('not-found', `cannot ${what}: no such object`, { cause });
  if (cause.code === 'EEXIST')
    return new CairnError('conflict', `cannot ${what}: it exists`, { cause });
  if (isDiskFull(cause.code)) {
    return new CairnError('storage-full', `cannot ${what}: no space left`, {
      hint: 'free space on the volume of the repository, or delete backups that are not needed',
      cause,
    });
  }
  const hint = 'check that the folder exists and that the user Cairn runs as may write to it';
  return new CairnError('storage-unavailable', `cannot ${what}: ${cause.message}`, { cause, hint });
}

function truncated(name: string): CairnError {
  return new CairnError('repository-damaged', `object ${name} is shorter than it should be`);
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done);
    done += bytesWritten;
  }
}

async function readFully(handle: FileHandle, name: string, range: ByteRange): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(range.lengthBytes);
  for (let done = 0; done < range.lengthBytes; ) {
    const left = range.lengthBytes - done;
    const { bytesRead } = await handle.read(bytes, done, left, range.offsetBytes + done);
    if (bytesRead === 0) throw truncated(name);
    done += bytesRead;
  }
  return bytes;
}

async function syncAndClose(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
