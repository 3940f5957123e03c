// The exchange as a folder that both sides see: the server under its path for it (`\\share\cairn`),
// Cairn under another. Files of other names than `exchange-names.ts` makes are not looked at. What
// Cairn puts there is written under another name first, so that a file with its name is whole.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { access, chmod, chown, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import { isDiskFull } from '../../platform/disk-full.ts';
import { syncFolder } from '../../platform/sync-folder.ts';
import type { BackupFolder } from './connection-url.ts';
import type { BackupDevices } from './devices.ts';
import type { Exchange, ExchangeFile, ExchangeName, FileToPut } from './exchange.ts';
import { backupsOf, fileNameOf, fileNames } from './exchange-names.ts';

const unfinishedSuffix = '.part';
const chunkBytes = 1024 * 1024;
/** Those who may list the folder may read what lies in it. */
const readBits = 0o044;
/** Network shares that have no fsync of folders say so. */
const unsupported = ['EINVAL', 'ENOTSUP', 'EISDIR'];

/** @throws storage-unavailable when it is not there, invalid when it cannot be used */
export async function openFolderExchange(folder: BackupFolder): Promise<Exchange> {
  await checkFolder(folder.here);
  return new FolderExchange(folder);
}

class FolderExchange implements Exchange {
  readonly #folder: BackupFolder;

  constructor(folder: BackupFolder) {
    this.#folder = folder;
  }

  devices(backup: ExchangeName): BackupDevices {
    const { onServer } = this.#folder;
    const platform = onServer.startsWith('/') ? 'linux' : 'windows';
    const separator = platform === 'windows' && !onServer.includes('/') ? '\\' : '/';
    const prefix = /[\\/]$/.test(onServer) ? onServer : `${onServer}${separator}`;
    return { kind: 'disk', platform, paths: fileNames(backup).map((name) => prefix + name) };
  }

  async open(
    backup: ExchangeName,
    stripe: number,
    signal: AbortSignal,
  ): Promise<ExchangeFile | null> {
    signal.throwIfAborted();
    const path = this.#path(backup, stripe);
    const handle = await this.#openFile(path);
    if (handle === null) return null;
    await using file = handle;
    const { size: sizeBytes, mtime: modifiedAt } = await statFile(file, path);
    return {
      ...{ sizeBytes, modifiedAt },
      read: (fromBytes, until) => this.#read(path, { fromBytes, sizeBytes }, until),
    };
  }

  async put(
    backup: ExchangeName,
    stripe: number,
    file: FileToPut,
    signal: AbortSignal,
  ): Promise<void> {
    const path = this.#path(backup, stripe);
    const unfinished = path + unfinishedSuffix;
    try {
      await rm(unfinished, { force: true });
      await writeFile(unfinished, file.bytes, signal);
      const { size } = await stat(unfinished);
      if (size !== file.sizeBytes) {
        throw new CairnError('bug', `${size} bytes of ${file.sizeBytes} came for ${path}`);
      }
      await makeReadable(unfinished, this.#folder.here);
      await rename(unfinished, path);
      await syncNames(this.#folder.here);
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => undefined);
      throw toExchangeError(error, path);
    }
  }

  async remove(backup: ExchangeName, signal: AbortSignal): Promise<void> {
    for (const name of fileNames(backup)) {
      signal.throwIfAborted();
      const path = join(this.#folder.here, name);
      try {
        await rm(path, { force: true });
        await rm(path + unfinishedSuffix, { force: true });
      } catch (error) {
        throw toExchangeError(error, path);
      }
    }
  }

  async list(prefix: string, signal: AbortSignal): Promise<readonly ExchangeName[]> {
    signal.throwIfAborted();
    const { here } = this.#folder;
    const files = await readdir(here).catch((error: unknown) => {
      throw toExchangeError(error, here);
    });
    // What was not finished counts: it is to be removed.
    return backupsOf(
      files.map((file) => file.replace(/\.part$/, '')),
      prefix,
    );
  }

  async *#read(
    path: string,
    { fromBytes, sizeBytes }: { readonly fromBytes: number; readonly sizeBytes: number },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const handle = await this.#openFile(path);
    if (handle === null) throw tooShort(path, { atBytes: fromBytes, sizeBytes });
    await using file = handle;
    for (let at = fromBytes; at < sizeBytes; ) {
      signal.throwIfAborted();
      const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, sizeBytes - at));
      const { bytesRead } = await file
        .read(buffer, 0, buffer.byteLength, at)
        .catch((error: unknown) => {
          throw toExchangeError(error, path);
        });
      if (bytesRead === 0) throw tooShort(path, { atBytes: at, sizeBytes });
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Null when it is not there, though the folder is: a share may not be mounted. */
  async #openFile(path: string): Promise<FileHandle | null> {
    try {
      return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw toExchangeError(error, path);
      await checkFolder(this.#folder.here);
      return null;
    }
  }

  #path(backup: ExchangeName, stripe: number): string {
    return join(this.#folder.here, fileNameOf(backup, stripe));
  }
}

async function writeFile(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  for await (const chunk of bytes) {
    signal.throwIfAborted();
    for (let at = 0; at < chunk.byteLength; ) {
      const { bytesWritten } = await file.write(chunk, at);
      at += bytesWritten;
    }
  }
  await file.sync();
}

/** The server runs as another user: it may read what it may list. */
async function makeReadable(path: string, folder: string): Promise<void> {
  const { mode, uid, gid } = await stat(folder);
  const isRoot = process.getuid?.() === 0;
  // Without being root this works for a group of ours only; then the bits of others must do.
  await chown(path, isRoot ? uid : -1, gid).catch((error: unknown) => {
    if (codeOf(error) !== 'EPERM') throw error;
  });
  await chmod(path, 0o600 | (mode & readBits));
}

async function syncNames(folder: string): Promise<void> {
  try {
    await syncFolder(folder);
  } catch (error) {
    if (!unsupported.includes(codeOf(error))) throw error;
  }
}

async function checkFolder(here: string): Promise<void> {
  try {
    if (!(await stat(here)).isDirectory()) {
      throw new CairnError('invalid', `${here} is not a folder`, { hint: folderHint });
    }
    await access(here, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw toExchangeError(error, here);
  }
}

async function statFile(file: FileHandle, path: string): Promise<{ size: number; mtime: Date }> {
  const stats = await file.stat();
  if (stats.isFile()) return stats;
  throw new CairnError('invalid', `${path} is not a file`, { hint: folderHint });
}

const folderHint = 'backupFolderHere names the folder that the server writes its backups to';

function tooShort(
  path: string,
  { atBytes, sizeBytes }: { readonly atBytes: number; readonly sizeBytes: number },
): CairnError {
  return new CairnError('storage-unavailable', `${path} ends at ${atBytes} of ${sizeBytes} bytes`, {
    hint: 'nothing but the server and Cairn may change files in this folder',
  });
}

function toExchangeError(error: unknown, path: string): unknown {
  if (error instanceof CairnError) return error;
  const code = codeOf(error);
  const text = error instanceof Error ? error.message : String(error);
  if (isDiskFull(code)) {
    return new CairnError('storage-full', `the folder of the server's backups is full: ${text}`, {
      hint: 'free some space where backups are handed over',
      cause: error,
    });
  }
  if (code === 'ENOENT') {
    return new CairnError('storage-unavailable', `${path} is not there`, {
      hint: 'is the share mounted that backups are handed over in?',
      cause: error,
    });
  }
  if (code === 'ELOOP') {
    return new CairnError('invalid', `${path} is a link, and links are not followed`, {
      hint: 'nothing but the server and Cairn may put files into this folder',
      cause: error,
    });
  }
  if (['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'].includes(code)) {
    return new CairnError('invalid', `the folder of backups cannot be used: ${text}`, {
      hint:
        'the user of Cairn must be able to read, write and remove files in it, those that the ' +
        'server writes included: give both a group in common',
      cause: error,
    });
  }
  return code === ''
    ? error
    : new CairnError('storage-unavailable', `the folder of backups failed: ${text}`, {
        cause: error,
      });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
