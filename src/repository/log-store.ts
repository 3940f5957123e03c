// Seals pieces of log in the page threads and reads them back. Frame 0 of a piece describes it, the
// others hold its bytes.
import { CairnError, isErrorKind } from '../model/errors.ts';
import { runBounded } from '../platform/bounded.ts';
import type { Storage } from '../storage/storage.ts';
import type { ObjectKind } from './format.ts';
import { damaged, frameRawBytesMax } from './format.ts';
import type { DataKey, KeyRing } from './keys.ts';
import type { LogPiece } from './log-door.ts';
import type { LogPlace } from './log-names.ts';
import { streamObject } from './log-names.ts';
import type { DescribedPiece } from './log-records.ts';
import { decodePiece, encodePiece } from './log-records.ts';
import { isPresent } from './object-presence.ts';
import { sealFrame } from './seal.ts';
import { ObjectEncoder, SealedObject } from './sealed-object.ts';
import type { ThreadPool } from './thread-pool.ts';

const framesPerThread = 2;
const recordLevel = 3;
/** Smaller objects are read in one go, also when only their first frame is wanted. */
const smallBytes = 64 * 1024;

export type SealedParts = { readonly storage: Storage; readonly keys: KeyRing };
export type LogParts = SealedParts & { readonly pool: () => ThreadPool };

type Place = { readonly name: string; readonly sizeBytes: number };

export async function digestOf(bytes: Uint8Array): Promise<string> {
  // Off this thread, unlike `createHash`: 64 MiB take a while.
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}

/** The object of a piece, in the parts that it is written in. */
export async function sealPiece(
  piece: LogPiece,
  bytes: Uint8Array,
  options: {
    readonly name: string;
    readonly dataKey: DataKey;
    readonly pool: ThreadPool;
    readonly level: number;
    readonly sha256: string;
  },
): Promise<readonly Buffer[]> {
  const { pool, level, name, dataKey } = options;
  const encoder = new ObjectEncoder({ kind: 'log', name, dataKey });
  const { key } = encoder;
  const first = encodePiece({ ...piece, sha256: options.sha256 });
  const frames = [sealFrame(first, { key, frame: 0, level: recordLevel })];
  const count = Math.ceil(bytes.byteLength / frameRawBytesMax);
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  await runBounded(numbers, pool.threadCount * framesPerThread, async (frame) => {
    const at = (frame - 1) * frameRawBytesMax;
    const { buffer, byteLength } = new Uint8Array(bytes.subarray(at, at + frameRawBytesMax));
    const task = { kind: 'seal', buffer, lengthBytes: byteLength, key, frame, level } as const;
    frames[frame] = Buffer.from((await pool.run(task, [buffer])).sealed);
  });
  for (const frame of frames) encoder.add(frame);
  return [encoder.header, ...frames, encoder.end()];
}

/** Durable when it answers, whoever wrote the object. */
export async function publishOnce(
  storage: Storage,
  object: { readonly name: string; readonly parts: readonly Buffer[] },
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  const { name, parts } = object;
  const writer = await storage.openWriter(name, signal);
  let outcome: 'created' | 'exists' = 'created';
  try {
    for (const part of parts) await writer.write(part);
    await writer.publish();
  } catch (error) {
    if (!isErrorKind(error, 'conflict')) throw error;
    outcome = 'exists';
  } finally {
    await writer.abort();
  }
  await storage.flush([name], signal);
  return outcome;
}

/**
 * A volume that was unmounted left a folder in its place: nothing in it is stored, and what it
 * lacks is not known to be missing. @throws storage-unavailable
 */
export async function assertStreamThere(
  storage: Storage,
  place: LogPlace,
  signal: AbortSignal,
): Promise<void> {
  const name = streamObject(place);
  if (await isPresent(storage, name, signal)) return;
  throw new CairnError(
    'storage-unavailable',
    `${storage.location} does not hold ${name} any more`,
    {
      hint: 'look whether its volume is mounted',
    },
  );
}

/** What a piece says of itself. @throws repository-damaged naming it; storage-unavailable */
export async function readDescription(
  parts: SealedParts,
  { name, sizeBytes }: Place,
  signal: AbortSignal,
): Promise<DescribedPiece> {
  const options = { whole: sizeBytes <= smallBytes, signal };
  const object = await SealedObject.open(parts, { name, sizeBytes, kind: 'log' }, options);
  return decodePiece(await object.readFrame(0, signal), name);
}

/** A piece and its bytes, compared with their digest. @throws as `readDescription` */
export async function readPiece(
  parts: LogParts,
  { name, sizeBytes }: Place,
  signal: AbortSignal,
): Promise<DescribedPiece & { readonly bytes: Buffer }> {
  const where = { name, sizeBytes, kind: 'log' } as const;
  const object = await SealedObject.open(parts, where, { whole: true, signal });
  const piece = decodePiece(await object.readFrame(0, signal), name);
  const raws: Uint8Array[] = [];
  const pool = parts.pool();
  const frames = Array.from({ length: object.frameCount - 1 }, (_, index) => index + 1);
  await runBounded(frames, pool.threadCount * framesPerThread, async (frame) => {
    // A copy: the whole object is one buffer, and would go to the thread with every frame.
    const sealed = new Uint8Array(await object.readSealed(frame, signal));
    const task = { kind: 'unseal', sealed, name, key: object.key, frame } as const;
    raws[frame - 1] = new Uint8Array((await pool.run(task, [sealed.buffer])).raw);
  });
  const bytes = Buffer.concat(raws);
  if (bytes.byteLength !== piece.lengthBytes) throw damaged(name, 'it has another length');
  if ((await digestOf(bytes)) !== piece.sha256) throw damaged(name, 'its bytes have changed');
  return { ...piece, bytes };
}

/** A record of one frame: of a stream, of an interval. @throws repository-damaged */
export async function readRecord<T>(
  parts: SealedParts,
  object: Place & { readonly kind: ObjectKind },
  decode: (frame: Buffer, name: string) => T,
  signal: AbortSignal,
): Promise<T> {
  const opened = await SealedObject.open(parts, object, { whole: true, signal });
  return decode(await opened.readFrame(0, signal), object.name);
}

/** Null when what was listed is gone by now: removed, or replaced by a longer piece. */
export async function nullIfGone<T>(
  reading: Promise<T>,
  of: { readonly storage: Storage; readonly name: string; readonly signal: AbortSignal },
): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    if (await isPresent(of.storage, of.name, of.signal)) throw error;
    return null;
  }
}
