// Fetches one large file over connections that break. What has arrived is kept in `FILE.part`;
// `part-note.ts` keeps of which file it is and how much of it is surely on the disk, so that only
// bytes of the same file are ever put together, in this command or in the next, and none that a
// power failure took. `part-lock.ts` keeps other commands away from it meanwhile.
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CairnError, isErrorKind } from '../model/errors.ts';
import { formatBytes, formatDuration, MiB } from '../model/units.ts';
import type { Clock } from '../platform/clock.ts';
import { isDiskFull } from '../platform/disk-full.ts';
import { syncFolder } from '../platform/sync-folder.ts';
import { lockPart } from './part-lock.ts';
import type { Kept } from './part-note.ts';
import { notePathOf, readKept, writeNote } from './part-note.ts';
import { retryAfterMsOf, ServiceError } from './service-client.ts';

/** Failures in a row, without a byte between them. */
const failuresMax = 8;
const pauseMs = 1_000;
const pauseMaxMs = 30_000;
/** How long a service that is busy is waited for, without a byte between. */
const busyMaxMs = 30 * 60_000;
const syncEveryBytes = 256 * MiB;

export type FetchRequest = {
  /** Absolute; must not exist. */
  readonly targetPath: string;
  /** A link that is valid now; asked for anew before every attempt. */
  readonly findLink: () => Promise<string>;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  /** The service asks to come again after so long. */
  readonly onBusy: (waitMs: number) => void;
  readonly clock: Clock;
};

/**
 * The file is whole and durable when it answers. @throws what `findLink` throws but
 * engine-unreachable, which is tried again like a broken connection; storage-full; invalid when the
 * file exists or cannot be written; conflict while another command fetches it, or when the service
 * was busy for half an hour; engine-unreachable after many failures. What arrived is kept
 */
export async function fetchFile(request: FetchRequest): Promise<{ readonly sizeBytes: number }> {
  const { targetPath } = request;
  const partPath = `${targetPath}.part`;
  await using _lock = await lockPart(partPath).catch(throwTold);
  await assertAbsent(targetPath);
  try {
    await fetchAll(partPath, request);
    const { size: sizeBytes } = await stat(partPath);
    await rename(partPath, targetPath);
    await rm(notePathOf(partPath), { force: true });
    await syncFolder(dirname(targetPath));
    return { sizeBytes };
  } catch (error) {
    throw withKept(tell(error), await readKept(partPath));
  }
}

/** Attempt after attempt, until nothing is left to fetch. */
async function fetchAll(partPath: string, request: FetchRequest): Promise<void> {
  const { clock, onBusy } = request;
  let failures = 0;
  let busyMs = 0;
  for (;;) {
    const had = (await readKept(partPath)).bytes;
    const failure = await fetchRest(partPath, request).then(() => null, passing);
    if (failure === null) return;
    if ((await readKept(partPath)).bytes > had) failures = busyMs = 0;
    const retryAfterMs = failure instanceof ServiceError ? failure.retryAfterMs : null;
    if (retryAfterMs === null) {
      if (++failures >= failuresMax) throw brokenError(failure);
      await clock.sleep(Math.min(pauseMaxMs, pauseMs * 2 ** (failures - 1)));
    } else {
      busyMs += retryAfterMs;
      if (busyMs > busyMaxMs) throw busyError(failure);
      onBusy(retryAfterMs);
      await clock.sleep(retryAfterMs);
    }
  }
}

function busyError(cause: Error): CairnError {
  const text = `the service was busy for ${formatDuration(busyMaxMs)}: ${cause.message}`;
  return new CairnError('conflict', text, { cause });
}

function brokenError(cause: Error): CairnError {
  const text = `the download broke off ${failuresMax} times in a row: ${cause.message}`;
  return new CairnError('engine-unreachable', text, { cause });
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
  const isRest = response.status === 206;
  if (isRest && !isRestOf(response, kept)) {
    await rm(notePathOf(partPath), { force: true });
    throw new Error('the answer is not the rest of what has arrived');
  }
  const totalBytes = isRest ? totalOf(response) : Number(response.headers.get('content-length'));
  const tag = response.headers.get('etag') ?? '';
  const begun: Kept = { tag, bytes: isRest ? kept.bytes : 0 };
  // A note of other bytes must not outlive them.
  if (!isRest) await writeNote(partPath, begun);
  const flags = isRest ? constants.O_RDWR : constants.O_RDWR | constants.O_CREAT;
  await using file = await open(partPath, flags, 0o600);
  await file.truncate(begun.bytes);
  const onBytes = (doneBytes: number): void => onProgress(doneBytes, totalBytes);
  const doneBytes = await keepBytes(response.body, file, { partPath, begun }, onBytes);
  if (doneBytes !== totalBytes) throw new Error(`${doneBytes} of ${totalBytes} bytes arrived`);
}

/** Answers how long the file is now; also of what broke off, all is durable and noted. */
async function keepBytes(
  body: AsyncIterable<Uint8Array>,
  file: FileHandle,
  { partPath, begun }: { readonly partPath: string; readonly begun: Kept },
  onBytes: (doneBytes: number) => void,
): Promise<number> {
  let doneBytes = begun.bytes;
  let syncedBytes = doneBytes;
  const note = async (): Promise<void> => {
    await file.sync();
    await writeNote(partPath, { tag: begun.tag, bytes: doneBytes });
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

/** What may pass by itself is answered; a ServiceError: the service is busy. @throws the rest */
function passing(error: unknown): Error {
  if (error instanceof ServiceError && error.retryAfterMs !== null) return error;
  const told = tell(error);
  if (told instanceof CairnError && !isErrorKind(told, 'engine-unreachable')) throw told;
  return told;
}

/** What the disk says, in our words; other errors as they are. @throws what is no error */
function tell(error: unknown): Error {
  if (!(error instanceof Error)) throw error;
  // What `fetch` throws names no system call itself: these are of our own file.
  if (error instanceof CairnError || !('syscall' in error)) return error;
  const isFull = 'code' in error && isDiskFull(error.code);
  return new CairnError(isFull ? 'storage-full' : 'invalid', `cannot write: ${error.message}`, {
    hint: isFull ? 'free space' : 'name a file with --to that can be written',
    cause: error,
  });
}

function throwTold(error: unknown): never {
  throw tell(error);
}

/** Says of what ended the download what there is to go on with. */
function withKept(error: Error, { bytes }: Kept): Error {
  if (!(error instanceof CairnError) || error instanceof ServiceError) return error;
  const kept =
    bytes > 0
      ? `${formatBytes(bytes)} have arrived and are kept: the same command goes on with them`
      : 'nothing has arrived: the same command begins anew';
  const { kind, message, hint, cause } = error;
  return new CairnError(kind, message, { hint: hint === null ? kept : `${hint}; ${kept}`, cause });
}

async function assertAbsent(path: string): Promise<void> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new CairnError('invalid', `${path} exists already`, {
    hint: 'name another file with --to',
  });
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
  const retryAfterMs = retryAfterMsOf(response);
  if (retryAfterMs !== null) {
    const refusal = 'it runs as many downloads as it can at once (HTTP status 429)';
    return new ServiceError('conflict', refusal, { body: text, retryAfterMs });
  }
  if (status === 403 || status === 408 || status >= 500) return new Error(`HTTP status ${status}`);
  throw new CairnError(status === 404 ? 'not-found' : 'invalid', `HTTP status ${status}: ${text}`);
}
