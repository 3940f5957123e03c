// Homes of servers are paths, and a path says nothing of the host. So each folder of servers holds
// a file with an id of its own, which goes where the folder goes; the catalog keeps it with every
// server. Whoever does not find it cannot tell what became of that server: it never takes "not
// here" for "gone".
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Instance, PlacedServer, ServerPlace } from '../../model/instance.ts';
import { isDiskFull } from '../../platform/disk-full.ts';
import { ensurePrivateFile, readFileIfPresent } from '../../platform/private-file.ts';
import type { WorkerParts } from '../worker-parts.ts';

/** One id per line: an operator may add the one of a folder that this one stands in for. */
const placeFile = '.cairn-servers';
const idBytes = 16;

/**
 * The place of the servers that this host starts; its file is made when it is missing. @throws
 * storage-full, storage-unavailable
 */
export async function ensureServerPlace({
  serversDir,
  random,
}: Pick<WorkerParts, 'serversDir' | 'random'>): Promise<ServerPlace> {
  const path = join(serversDir, placeFile);
  const text =
    (await readPlaceFile(path)) ??
    (await explained(path, ensurePrivateFile(path, `${random.hex(idBytes)}\n`, random)));
  const [serversId] = idsIn(text);
  if (serversId) return { serversId, host: hostname() };
  throw new CairnError('storage-unavailable', `${path} holds no id`, {
    hint: 'restore the file from a copy, or move it away to have a new one made',
  });
}

/**
 * Whether this host answers for the server, so that it may be stopped, started or removed here.
 * @throws engine-unreachable when it may live elsewhere, naming where; storage-unavailable
 */
export async function assertServerHere({
  name,
  managed,
}: Pick<Instance, 'name' | 'managed'>): Promise<void> {
  if (!managed || (await isHere(managed))) return;
  const { homeDir, place } = managed;
  const path = join(dirname(homeDir), placeFile);
  const host = place === null ? 'another host' : `host ${place.host}`;
  const adopt = place === null ? `mkdir ${homeDir}` : `echo ${place.serversId} >> ${path}`;
  throw new CairnError(
    'engine-unreachable',
    `the server of instance ${name} lives on ${host} in ${homeDir}, which is not the folder here`,
    { hint: `run a worker there; when that folder is gone for good, say so here: ${adopt}` },
  );
}

async function isHere({ homeDir, place }: PlacedServer): Promise<boolean> {
  if (place === null) return await explained(homeDir, exists(homeDir));
  const text = await readPlaceFile(join(dirname(homeDir), placeFile));
  return text !== null && idsIn(text).includes(place.serversId);
}

async function readPlaceFile(path: string): Promise<string | null> {
  return await explained(path, readFileIfPresent(path));
}

async function explained<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const kind = isDiskFull(code) ? 'storage-full' : 'storage-unavailable';
    throw new CairnError(kind, `${path} cannot be used: ${message}`, { cause });
  }
}

function idsIn(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return false;
      throw error;
    },
  );
}
