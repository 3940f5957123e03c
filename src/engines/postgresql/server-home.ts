// The folder that a restored server lives in. As root the server runs as another user, who must own
// everything below the folder and be able to walk to it; that is looked at before a byte is
// restored.
import {
  chmod,
  chown,
  lchown,
  mkdir,
  mkdtemp,
  opendir,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Identity } from '../../platform/child-process.ts';
import { normalizeTarget } from './restore.ts';
import { hbaText, identText, socketFolderPrefix } from './server-config.ts';

/** The longest path of a socket that every system takes; the terminating zero comes on top. */
const socketPathBytesMax = 103;

/** Makes the folder, private to the server's user. @throws invalid */
export async function prepareHome(folder: string, identity: Identity | null): Promise<string> {
  if (!isAbsolute(folder) || /[\n\r\0]/.test(folder)) {
    throw new CairnError('invalid', `server folder ${folder} is not an absolute path`);
  }
  const homeDir = normalizeTarget(folder);
  await mkdir(homeDir, { recursive: true });
  const names = await readdir(homeDir);
  if (names.length > 0) {
    throw new CairnError('invalid', `server folder ${homeDir} is not empty`, {
      hint: 'name a folder that does not exist yet or is empty; nothing was touched',
    });
  }
  if (identity) await assertReachable(dirname(homeDir), identity);
  await makePrivate(homeDir, identity);
  return homeDir;
}

/**
 * Gives the restored files to the server's user and removes what would make it follow another
 * server.
 */
export async function settleFiles(
  homeDir: string,
  dataDir: string,
  identity: Identity | null,
): Promise<void> {
  for (const name of ['postmaster.pid', 'postmaster.opts', 'standby.signal', 'recovery.signal']) {
    await rm(join(dataDir, name), { force: true });
  }
  await writeFile(join(homeDir, 'pg_hba.conf'), hbaText, { mode: 0o600 });
  await writeFile(join(homeDir, 'pg_ident.conf'), identText, { mode: 0o600 });
  if (identity) await giveAll(homeDir, identity);
}

/**
 * The home itself, or a private folder under the temp folder when the home's path is too long for a
 * socket.
 */
export async function prepareSocketFolder(
  homeDir: string,
  port: number,
  identity: Identity | null,
): Promise<string> {
  const path = join(homeDir, `.s.PGSQL.${port}`);
  if (Buffer.byteLength(path) <= socketPathBytesMax) return homeDir;
  const folder = await mkdtemp(join(tmpdir(), socketFolderPrefix));
  await makePrivate(folder, identity);
  return folder;
}

/** To the server's user. */
export async function giveFile(path: string, identity: Identity | null): Promise<void> {
  if (identity) await lchown(path, identity.uid, identity.gid);
}

async function makePrivate(folder: string, identity: Identity | null): Promise<void> {
  await chmod(folder, 0o700);
  if (identity) await chown(folder, identity.uid, identity.gid);
}

async function assertReachable(folder: string, identity: Identity): Promise<void> {
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

async function giveAll(folder: string, identity: Identity): Promise<void> {
  await lchown(folder, identity.uid, identity.gid);
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await giveAll(path, identity);
    else await lchown(path, identity.uid, identity.gid);
  }
}
