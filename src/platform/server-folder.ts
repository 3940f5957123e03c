// The folder that a restored server lives in. As root the server runs as another user, who must own
// everything below the folder and be able to walk to it; that is looked at before a byte is
// restored.
import { chmod, chown, lchown, mkdir, mkdtemp, opendir, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import { CairnError } from '../model/errors.ts';
import type { Identity } from './child-process.ts';

/** The longest path of a socket that every system takes; the terminating zero comes on top. */
const socketPathBytesMax = 103;
/** Names the folders under the temp folder that hold the socket of a server with a long path. */
const socketFolderPrefix = 'cairn-socket-';

/** Makes the folder, private to the server's user. @throws invalid */
export async function prepareHome(folder: string, identity: Identity | null): Promise<string> {
  const homeDir = checkFolder('server', folder);
  await mkdir(homeDir, { recursive: true });
  await assertEmpty('server', homeDir);
  if (identity) await assertReachable(dirname(homeDir), identity);
  await makePrivate(homeDir, identity);
  return homeDir;
}

/**
 * The home itself, or a private folder under the temp folder when the home's path is too long for a
 * socket.
 */
export async function prepareSocketFolder(
  homeDir: string,
  socketName: string,
  identity: Identity | null,
): Promise<string> {
  if (Buffer.byteLength(join(homeDir, socketName)) <= socketPathBytesMax) return homeDir;
  const folder = await mkdtemp(join(tmpdir(), socketFolderPrefix));
  await makePrivate(folder, identity);
  return folder;
}

/** Only a folder that we made ourselves, because the server's own was too long for a socket. */
export async function removeSocketFolder(folder: string): Promise<void> {
  if (dirname(folder) !== tmpdir() || !basename(folder).startsWith(socketFolderPrefix)) return;
  await rm(folder, { recursive: true, force: true });
}

/** To the server's user. */
export async function giveFile(path: string, identity: Identity | null): Promise<void> {
  if (identity) await lchown(path, identity.uid, identity.gid);
}

/** The folder and everything in it, to the server's user. */
export async function giveAll(folder: string, identity: Identity): Promise<void> {
  await lchown(folder, identity.uid, identity.gid);
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await giveAll(path, identity);
    else await lchown(path, identity.uid, identity.gid);
  }
}

export async function makePrivate(folder: string, identity: Identity | null): Promise<void> {
  await chmod(folder, 0o700);
  if (identity) await chown(folder, identity.uid, identity.gid);
}

/** Normalised. @throws invalid; `what` names the folder's role: `target`, `server` */
export function checkFolder(what: string, folder: string): string {
  if (isAbsolute(folder) && !/[\n\r\0]/.test(folder)) return normalizeFolder(folder);
  throw new CairnError('invalid', `${what} folder ${folder} is not an absolute path`);
}

export function normalizeFolder(folder: string): string {
  return normalize(folder).replace(/(.)\/+$/, '$1');
}

/** @throws invalid unless the folder does not exist or is empty */
export async function assertEmpty(what: string, folder: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    const cause = error as NodeJS.ErrnoException;
    if (cause.code === 'ENOENT') return;
    throw new CairnError('invalid', `${what} folder ${folder} cannot be used`, {
      hint: 'name a folder that does not exist yet or is empty',
      cause,
    });
  }
  if (names.length === 0) return;
  throw new CairnError('invalid', `${what} folder ${folder} is not empty`, {
    hint: 'name a folder that does not exist yet or is empty; nothing was touched',
    details: { entries: names.length },
  });
}

/** @throws invalid when the server's user cannot walk to the folder */
export async function assertReachable(folder: string, identity: Identity): Promise<void> {
  for (let current = folder; ; current = dirname(current)) {
    const { mode, uid, gid } = await stat(current);
    const bit = uid === identity.uid ? 0o100 : gid === identity.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) {
      throw new CairnError('invalid', `user ${identity.uid} may not enter the folder ${current}`, {
        hint: `the server runs as that user: chmod o+x ${current}, or choose another folder`,
      });
    }
    if (current === dirname(current)) return;
  }
}
