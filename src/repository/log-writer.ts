// Appends to one stream. A piece is durable, and the storage proven to be the right one, before it
// counts as stored: the server then forgets its bytes. Pieces are replaced by longer ones that hold
// the same bytes, never by others.
import { CairnError, isErrorKind } from '../model/errors.ts';
import { runBounded } from '../platform/bounded.ts';
import type { ObjectKind } from './format.ts';
import type { DataKey } from './keys.ts';
import { lockInterval } from './lock-log.ts';
import { findReplaced } from './log-chain.ts';
import type {
  LogInterval,
  LogPiece,
  LogStreamRecord,
  LogStreamWriter,
  StoredLogPiece,
} from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { intervalObject, logFileFolder, parseLogObject, pieceObject } from './log-names.ts';
import type { DescribedPiece } from './log-records.ts';
import { decodeInterval, encodeInterval } from './log-records.ts';
import type { LogParts } from './log-store.ts';
import {
  assertStreamThere,
  digestOf,
  nullIfGone,
  publishOnce,
  readDescription,
  readRecord,
  sealPiece,
} from './log-store.ts';
import { encodeFrames, ObjectEncoder } from './sealed-object.ts';

const requestsInFlight = 16;

export type LogWriterParts = LogParts & {
  readonly record: LogStreamRecord;
  readonly dataKey: DataKey;
  readonly level: number;
  /** Whether the storage is the repository still, and has the data key. */
  readonly assertReadable: (signal: AbortSignal) => Promise<void>;
};

export function createLogWriter(parts: LogWriterParts): LogStreamWriter {
  return {
    record: parts.record,
    store: (piece, bytes, signal) => storePiece(parts, { piece, bytes, signal }),
    closeInterval: (interval, signal) => closeInterval(parts, interval, signal),
    lockInterval: (interval, signal) => lockInterval(parts.storage, parts.record, interval, signal),
  };
}

type Storing = {
  readonly piece: LogPiece;
  readonly bytes: Uint8Array;
  readonly signal: AbortSignal;
};

async function storePiece(
  parts: LogWriterParts,
  { piece, bytes, signal }: Storing,
): Promise<StoredLogPiece> {
  const { storage, dataKey, level } = parts;
  assertFits(piece, bytes);
  const objectName = pieceObject(parts.record, piece);
  const sha256 = await digestOf(bytes);
  // What a piece from the file's beginning replaces must hold the same bytes.
  const others = piece.offsetBytes === 0 ? await listFile(parts, piece.file.name, signal) : [];
  const replaced = await findEqual(parts, { piece, bytes, signal }, others);
  const pool = parts.pool();
  const options = { name: objectName, dataKey, pool, level, sha256 };
  const object = { name: objectName, parts: await sealPiece(piece, bytes, options) };
  const outcome = await publishOnce(storage, object, signal);
  const storedBytes =
    outcome === 'exists'
      ? await assertSame(parts, { objectName, sha256 }, signal)
      : object.parts.reduce((sum, part) => sum + part.byteLength, 0);
  await assertStreamThere(parts.storage, parts.record, signal);
  await removeReplaced(parts, replaced, signal);
  return { ...piece, objectName, storedBytes };
}

/** Another attempt was faster. Answers the size of its object. @throws conflict */
async function assertSame(
  parts: LogWriterParts,
  of: { readonly objectName: string; readonly sha256: string },
  signal: AbortSignal,
): Promise<number> {
  const found = await parts.storage.stat(of.objectName, signal);
  const stored = await readDescription(parts, found, signal);
  if (stored.sha256 !== of.sha256) throw twoHistories(stored);
  return found.sizeBytes;
}

function assertFits(piece: LogPiece, bytes: Uint8Array): void {
  const { offsetBytes, lengthBytes, isLast, file } = piece;
  const isWhole = offsetBytes === 0 && isLast;
  if (lengthBytes === bytes.byteLength && (isWhole || file.kind === 'log')) return;
  throw new CairnError('bug', `a piece of ${file.name} does not have the bytes that it says`);
}

async function listFile(
  { storage, record }: LogWriterParts,
  fileName: string,
  signal: AbortSignal,
): Promise<readonly PieceObject[]> {
  const pieces: PieceObject[] = [];
  for await (const info of storage.list(logFileFolder(record, fileName), signal)) {
    const object = parseLogObject(info);
    if (object?.kind === 'piece') pieces.push(object.piece);
  }
  return pieces;
}

/**
 * Compares what is stored of the file with the bytes, as far as they reach. Answers the pieces that
 * lie within them: what is damaged of these is as good as replaced. @throws conflict
 */
async function findEqual(
  parts: LogWriterParts,
  { piece, bytes, signal }: Storing,
  others: readonly PieceObject[],
): Promise<readonly PieceObject[]> {
  const { lengthBytes, isLast } = piece;
  const beyond = others.find(({ endBytes }) => endBytes > lengthBytes);
  if (beyond && isLast) throw twoHistories({ ...piece, ...beyond });
  const within = others.filter(({ endBytes }) => endBytes <= lengthBytes);
  await runBounded(within, requestsInFlight, async (object) => {
    const { storage } = parts;
    const reading = readDescription(parts, object, signal);
    const stored = await nullIfGone(reading, { storage, name: object.name, signal }).catch(
      nullIfDamaged,
    );
    if (!stored) return;
    const same = bytes.subarray(stored.offsetBytes, stored.offsetBytes + stored.lengthBytes);
    if ((await digestOf(same)) !== stored.sha256) throw twoHistories(stored);
  });
  const whole = toObject(piece, parts.record);
  return findReplaced([...within, whole]).filter(({ name }) => name !== whole.name);
}

function nullIfDamaged(error: unknown): null {
  if (isErrorKind(error, 'repository-damaged')) return null;
  throw error;
}

function toObject(piece: LogPiece, place: LogPlace): PieceObject {
  const endBytes = piece.offsetBytes + piece.lengthBytes;
  return { ...piece, name: pieceObject(place, piece), sizeBytes: 0, endBytes };
}

function twoHistories({ file, offsetBytes }: Pick<DescribedPiece, 'file' | 'offsetBytes'>): Error {
  const text = `other bytes than these are stored of log file ${file.name} from ${offsetBytes} on`;
  return new CairnError('conflict', text, {
    hint: 'the log has two histories: was the server restored? a new stream must be begun',
  });
}

/** What stays is left out by whoever reads, and goes with the next prune. */
async function removeReplaced(
  { storage }: LogWriterParts,
  replaced: readonly PieceObject[],
  signal: AbortSignal,
): Promise<void> {
  await runBounded(replaced, requestsInFlight, async ({ name }) => {
    await storage.delete(name, signal);
  }).catch((error: unknown) => {
    if (!isErrorKind(error, 'storage-unavailable')) throw error;
  });
}

async function closeInterval(
  parts: LogWriterParts,
  interval: LogInterval,
  signal: AbortSignal,
): Promise<void> {
  const { storage, record, dataKey } = parts;
  await parts.assertReadable(signal);
  const name = intervalObject(record, interval.sequence);
  const frame = encodeInterval(interval);
  const encoder = new ObjectEncoder({ kind: 'log-interval', name, dataKey });
  const outcome = await storage.createExclusive(name, encodeFrames(encoder, [frame]), signal);
  if (outcome === 'created') return;
  const { sizeBytes } = await storage.stat(name, signal);
  const where = { name, sizeBytes, kind: 'log-interval' as ObjectKind };
  const stored = await readRecord(parts, where, decodeInterval, signal);
  if (!encodeInterval(stored).equals(frame)) {
    const text = `interval ${interval.sequence} of the stream is backup ${stored.backupId} already`;
    throw new CairnError('conflict', text, {
      hint: 'another archiver follows the same stream: only one may',
    });
  }
  await storage.flush([name], signal);
}
