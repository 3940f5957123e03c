// Fetches one large file over connections that break. What has arrived is kept in `FILE.part`;
// `FILE.part.state` says of which file it is and how much of it is surely on the disk, so that only
// bytes of the same file are ever put together, in this command or in the next, and none that a
// power failure took.
import type { FileHandle } from 'node:fs/promises';
import { open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { MiB } from '../model/units.ts';
import type { Clock } from '../platform/clock.ts';
import { syncFolder } from '../platform/sync-folder.ts';

/** Failures in a row, without a byte between them. */
const failuresMax = 8;
const pauseMs = 1_000;
const pauseMaxMs = 30_000;
const syncEveryBytes = 256 * MiB;

export type FetchRequest = {
  /** Absolute; must not exist. */
  readonly targetPath: string;
  /** A link that is valid now; asked for anew before every attempt. */
  readonly findLink: () => Promise<string>;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly clock: Clock;
};

/** What is kept of a file, and which: `tag` is the server's word for its bytes. */
type Kept = { readonly tag: string; readonly bytes: number };

/**
 * The file is whole and durable when it answers. @throws what `findLink` throws but
 * engine-unreachable, which is tried again like a broken connection; storage-full; invalid when the
 * file cannot be written; engine-unreachable after many failures, and what arrived is kept
 */
export async function fetchFile(request: FetchRequest): Promise<{ readonly sizeBytes: number }> {
  const { targetPath, clock } = request;
  const partPath = `${targetPath}.part`;
  for (let failures = 0; ; ) {
    const had = (await readKept(partPath)).bytes;
    const failure = await fetchRest(partPath, request).then(() => null, passing);
    if (failure === null) break;
    failures = (await readKept(partPath)).bytes > had ? 1 : failures + 1;
    if (failures >= failuresMax) {
      const text = `the download broke off ${failures} times in a row: ${failure.message}`;
      const hint = 'what has arrived is kept: the same command goes on with it';
      throw new CairnError('engine-unreachable', text, { hint, cause: failure });
    }
    await clock.sleep(Math.min(pauseMaxMs, pauseMs * 2 ** (failures - 1)));
  }
  const { size: sizeBytes } = await stat(partPath);
  await rename(partPath, targetPath);
  await rm(statePath(partPath), { force: true });
  await syncFolder(dirname(targetPath));
  return { sizeBytes };
}

async function fetchRest(partPath: string, { findLink, onProgress }: FetchRequest): Promise<void> {
  const link = await findLink();
  const kept = await readKept(partPath);
  const headers = { Range: `bytes=${kept.bytes}-`, 'If-Range': kept.tag };
  const response = await fetch(link, kept.bytes > 0 ? { headers } : {});
  // Nothing is left to fetch: an earlier attempt ended right before its own end.
  if (response.status === 416 && totalOf(response) === kept.bytes) {
    return await truncate(partPath, kept.bytes);
  }
  if (!response.ok || !response.body) throw await readRefusal(response);
  if (response.status === 206 && !isRestOf(response, kept)) {
    await rm(statePath(partPath), { force: true });
    throw new Error('the answer is not the rest of what has arrived');
  }
  const isRest = response.status === 206;
  const startBytes = isRest ? kept.bytes : 0;
  const totalBytes = isRest ? totalOf(response) : Number(response.headers.get('content-length'));
  const tag = response.headers.get('etag') ?? '';
  // A note of other bytes must not outlive them.
  if (!isRest) await rm(statePath(partPath), { force: true });
  await using file = await open(partPath, isRest ? 'r+' : 'w', 0o600);
  await file.truncate(startBytes);
  const place = { partPath, tag, startBytes };
  const onBytes = (doneBytes: number): void => onProgress(doneBytes, totalBytes);
  const doneBytes = await keepBytes(response.body, file, place, onBytes);
  if (doneBytes !== totalBytes) throw new Error(`${doneBytes} of ${totalBytes} bytes arrived`);
}

/** Answers how long the file is now; also of what broke off, all is durable and noted. */
async function keepBytes(
  body: AsyncIterable<Uint8Array>,
  file: FileHandle,
  place: { readonly partPath: string; readonly tag: string; readonly startBytes: number },
  onBytes: (doneBytes: number) => void,
): Promise<number> {
  let doneBytes = place.startBytes;
  let syncedBytes = doneBytes;
  const note = async (): Promise<void> => {
    await file.sync();
    const kept: Kept = { tag: place.tag, bytes: doneBytes };
    await writeFile(statePath(place.partPath), JSON.stringify(kept), { mode: 0o600 });
    syncedBytes = doneBytes;
  };
  try {
    for await (const chunk of body) {
      for (let at = 0; at < chunk.byteLength; ) {
        const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at, doneBytes);
        at += bytesWritten;
        doneBytes += bytesWritten;
      }
      onBytes(doneBytes);
      if (doneBytes - syncedBytes >= syncEveryBytes) await note();
    }
  } finally {
    await note();
  }
  return doneBytes;
}

/** What may pass by itself is answered. @throws the rest */
function passing(error: unknown): Error {
  if (error instanceof CairnError) {
    if (isErrorKind(error, 'engine-unreachable')) return error;
    throw error;
  }
  if (!(error instanceof Error)) throw error;
  // What `fetch` throws names no system call itself: these are of our own file.
  if (!('syscall' in error)) return error;
  const isFull = 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
  throw new CairnError(isFull ? 'storage-full' : 'invalid', `cannot write: ${error.message}`, {
    hint: isFull
      ? 'what has arrived is kept: free space, and the same command goes on with it'
      : 'name a file with --to that can be written',
    cause: error,
  });
}

/** What is not surely there counts as absent. */
async function readKept(partPath: string): Promise<Kept> {
  const nothing: Kept = { tag: '', bytes: 0 };
  try {
    const kept: Partial<Kept> = JSON.parse(await readFile(statePath(partPath), 'utf8'));
    const { size } = await stat(partPath);
    const { tag, bytes } = kept;
    const isSound = typeof tag === 'string' && tag !== '' && Number.isSafeInteger(bytes);
    return isSound && bytes !== undefined && bytes <= size ? { tag, bytes } : nothing;
  } catch {
    return nothing;
  }
}

function statePath(partPath: string): string {
  return `${partPath}.state`;
}

/** A cache in between may know neither `If-Range` nor where the rest begins. */
function isRestOf({ headers }: Response, { tag, bytes }: Kept): boolean {
  const from = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return headers.get('etag') === tag && Number(from) === bytes;
}

/** The length after the slash of `Content-Range`. */
function totalOf({ headers }: Response): number {
  return Number(/\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1] ?? -1);
}

/** 403: the link expired while it waited. @throws what no new link and no patience helps against */
async function readRefusal(response: Response): Promise<Error> {
  const { status } = response;
  const text = await response.text();
  if (status === 403 || status === 408 || status === 429 || status >= 500) {
    return new Error(`HTTP status ${status}`);
  }
  throw new CairnError(status === 404 ? 'not-found' : 'invalid', `HTTP status ${status}: ${text}`);
}
