// Where the files of a server are, and whether they are those of the server that the connection
// leads to: the backup program reads what it finds in a folder of that name on this host, which may
// be another server's when the connection leads elsewhere, through a tunnel, or into a container.
// The server is here when it answers on its socket: a lock with a random name that the connection
// holds is seen there.
import { access, constants, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Identity } from '../../platform/child-process.ts';
import type { Random } from '../../platform/random.ts';
import { throwIfAborted } from '../guard.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';

export type DataFolder = {
  readonly path: string;
  /** The server's own, on this host. */
  readonly socketPath: string;
  /** Whom the files belong to, whom the backup program must run as; null: as we do. */
  readonly owner: Identity | null;
};

/** What is known of the way to the files; one sentence for people where something is missing. */
export type FolderLook =
  | { readonly kind: 'here'; readonly folder: DataFolder }
  | { readonly kind: 'elsewhere' | 'unreadable'; readonly reason: string; readonly hint: string };

type Parts = { readonly random: Random; readonly signal: AbortSignal };

const socketTimeoutMs = 5_000;
/** Nobody waits longer for an estimate. */
const filesCountedMax = 200_000;

/** On the connection that `query` asks. @throws engine-unreachable, engine-refused, cancelled */
export async function lookAtDataFolder(
  query: Query,
  connection: Connection,
  { random, signal }: Parts,
): Promise<FolderLook> {
  const [row] = await query('select @@global.datadir as datadir, @@global.socket as socket');
  const path = String(row?.['datadir']).replace(/(?<=.)\/+$/, '');
  const socketPath = connection.host.startsWith('/')
    ? connection.host
    : resolve(path, String(row?.['socket']));
  const far = await findDistance(query, { ...connection, host: socketPath }, { random, signal });
  const found = await stat(path).catch(() => null);
  if (far !== null || !found?.isDirectory()) {
    return {
      kind: 'elsewhere',
      reason: far ?? `the data folder ${path} of the server is not on this host`,
      hint: 'run a worker on the host of the server, which reaches it over its socket',
    };
  }
  const isRoot = process.getuid?.() === 0;
  const isReadable = await access(join(path, '.'), constants.R_OK | constants.X_OK).then(
    () => isRoot || found.uid === process.getuid?.(),
    () => false,
  );
  if (!isReadable) {
    return {
      kind: 'unreadable',
      reason: `the data folder ${path} can be read by its owner only, user number ${found.uid}`,
      hint: 'run the worker as that user, or as root',
    };
  }
  const owner = isRoot && found.uid !== 0 ? { uid: found.uid, gid: found.gid } : null;
  return { kind: 'here', folder: { path, socketPath, owner } };
}

/** Null: the server answers on the socket of this host. */
async function findDistance(
  query: Query,
  local: Connection,
  { random, signal }: Parts,
): Promise<string | null> {
  const name = `cairn_${random.hex(12)}`;
  await query('select get_lock(?, 0)', [name]);
  try {
    const [own] = await query('select connection_id() as id');
    const seen = await withQueries(local, { signal, connectTimeoutMs: socketTimeoutMs }, (ask) =>
      ask('select is_used_lock(?) as id', [name]),
    );
    const isSame = seen[0]?.['id'] !== null && String(seen[0]?.['id']) === String(own?.['id']);
    return isSame ? null : `another server answers on ${local.host} of this host`;
  } catch (error) {
    throwIfAborted(signal);
    if (!(error instanceof CairnError)) throw error;
    return `the server does not let us in on its socket on this host: ${error.message}`;
  } finally {
    await query('select release_lock(?)', [name]);
  }
}

/** About as much as a backup of it has to read: without logs. Null when nobody can tell. */
export async function estimateBytes(
  folder: string,
  binlogName: string | null,
): Promise<number | null> {
  let total = 0;
  let left = filesCountedMax;
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const isLog = binlogName !== null && entry.name.startsWith(`${binlogName}.`);
      if (!entry.isFile() || isLog || /^(ib_logfile|ibtmp|relay-bin)/.test(entry.name)) continue;
      if (left-- === 0) return null;
      total += await stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        // Tables come and go.
        () => 0,
      );
    }
    return total;
  } catch {
    return null;
  }
}
