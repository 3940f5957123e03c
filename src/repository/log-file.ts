// Reads one log file out of its pieces, in order, a few of them ahead. Meanwhile a piece may be
// replaced by a longer one, and what a damaged one held may lie in others: then what is left of the
// file is planned anew.
import { CairnError, isErrorKind } from '../model/errors.ts';
import { damaged } from './format.ts';
import type { FileChain } from './log-chain.ts';
import { groupFiles, planChain } from './log-chain.ts';
import type { StoredLogFile } from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { logFileFolder, logFilesFolder, parseLogObject } from './log-names.ts';
import type { LogParts } from './log-store.ts';
import { assertStreamThere, nullIfGone, readPiece } from './log-store.ts';

const piecesAhead = 4;
/** A piece is replaced or removed while it is read once in a while, not again and again. */
const goneMax = 5;

export type LogFilePlace = LogPlace & { readonly fileName: string; readonly signal: AbortSignal };

type Read = { readonly piece: PieceObject } & (
  | { readonly outcome: 'read'; readonly bytes: Buffer }
  | { readonly outcome: 'gone' }
  | { readonly outcome: 'broken'; readonly error: unknown }
);
type WholePiece = Extract<Read, { readonly outcome: 'read' }>;
type BrokenPiece = Extract<Read, { readonly outcome: 'broken' }>;

/** What `RepositoryLog.readFile` promises. */
export async function readLogFile(
  parts: LogParts,
  of: LogFilePlace,
): Promise<{ readonly bytes: Buffer; readonly isComplete: boolean }> {
  const views: Buffer[] = [];
  const reading = streamLogFile(parts, of);
  for (;;) {
    const next = await reading.next();
    if (next.done) return { bytes: Buffer.concat(views), isComplete: next.value };
    views.push(next.value);
  }
}

/** What `RepositoryLog.streamFile` promises. Returns whether the file ends there. */
export async function* streamLogFile(
  parts: LogParts,
  of: LogFilePlace,
): AsyncGenerator<Buffer, boolean> {
  const broken: BrokenPiece[] = [];
  let before: WholePiece | null = null;
  let doneBytes = 0;
  for (let goneCount = 0; goneCount < goneMax; ) {
    const chain = planWithout(broken, await listFile(parts, of));
    const rest = chain.links.flatMap(({ piece }) => (piece.endBytes > doneBytes ? [piece] : []));
    let isGone = chain.endBytes < doneBytes;
    let isBroken = false;
    for await (const found of readAhead(parts, rest, of.signal)) {
      isGone = found.outcome === 'gone';
      isBroken = found.outcome === 'broken';
      if (found.outcome === 'broken') broken.push(found);
      if (found.outcome !== 'read') break;
      assertGoesOn(found, before, doneBytes);
      const fresh = found.bytes.subarray(doneBytes - found.piece.offsetBytes);
      before = found;
      doneBytes = found.piece.endBytes;
      yield fresh;
    }
    if (!isGone && !isBroken) return chain.isComplete;
    if (isGone) goneCount++;
  }
  const folder = logFileFolder(of, of.fileName);
  throw new CairnError('storage-unavailable', `pieces in ${folder} vanish while they are read`, {
    hint: 'somebody removes them: try again when that has ended',
  });
}

/** Other pieces may hold what a damaged one held: then nothing is lost. @throws its damage */
function planWithout(broken: readonly BrokenPiece[], listed: readonly PieceObject[]): FileChain {
  const names = new Set(broken.map(({ piece }) => piece.name));
  const chain = planChain(listed.filter(({ name }) => !names.has(name)));
  const lost = broken.find(({ piece: { endBytes, isLast } }) => {
    return endBytes > chain.endBytes || (isLast && !chain.isComplete);
  });
  if (lost) throw lost.error;
  return chain;
}

/** In order; what is read ahead is given up when nobody wants it any more. */
async function* readAhead(
  parts: LogParts,
  pieces: readonly PieceObject[],
  signal: AbortSignal,
): AsyncGenerator<Read> {
  const stop = new AbortController();
  const inside = AbortSignal.any([signal, stop.signal]);
  const waiting: Promise<Read>[] = [];
  const beginNext = (piece: PieceObject | undefined): void => {
    if (!piece) return;
    const reading = readOne(parts, piece, inside);
    // Who waits for it learns of its failure; until then it must not count as nobody's.
    reading.catch(() => undefined);
    waiting.push(reading);
  };
  try {
    for (const piece of pieces.slice(0, piecesAhead)) beginNext(piece);
    for (let index = piecesAhead; waiting.length > 0; index++) {
      const found = await (waiting.shift() as Promise<Read>);
      beginNext(pieces[index]);
      yield found;
    }
  } finally {
    stop.abort();
    await Promise.allSettled(waiting);
  }
}

async function readOne(parts: LogParts, piece: PieceObject, signal: AbortSignal): Promise<Read> {
  const { storage } = parts;
  try {
    const reading = readPiece(parts, piece, signal);
    const found = await nullIfGone(reading, { storage, name: piece.name, signal });
    return found ? { piece, outcome: 'read', bytes: found.bytes } : { piece, outcome: 'gone' };
  } catch (error) {
    if (!isErrorKind(error, 'repository-damaged')) throw error;
    return { piece, outcome: 'broken', error };
  }
}

/** @throws repository-damaged where two pieces differ in what both hold */
function assertGoesOn(
  { piece, bytes }: WholePiece,
  before: WholePiece | null,
  doneBytes: number,
): void {
  if (!before) return;
  const overlap = bytes.subarray(0, doneBytes - piece.offsetBytes);
  // As far as the piece before reaches back.
  const backBytes = Math.max(0, piece.offsetBytes - before.piece.offsetBytes);
  const earlier = before.bytes.subarray(backBytes);
  const shared = Math.min(overlap.byteLength, earlier.byteLength);
  const same = overlap.subarray(overlap.byteLength - shared);
  if (same.equals(earlier.subarray(earlier.byteLength - shared))) return;
  throw damaged(piece.name, 'it does not go on where the piece before it ends');
}

/** @throws not-found when nothing of it is stored, storage-unavailable when not even the stream */
async function listFile(parts: LogParts, of: LogFilePlace): Promise<readonly PieceObject[]> {
  const pieces = await listPieces(parts, logFileFolder(of, of.fileName), of.signal);
  if (pieces.length > 0) return pieces;
  await assertStreamThere(parts.storage, of, of.signal);
  throw new CairnError('not-found', `nothing of log file ${of.fileName} is stored`);
}

/** What `RepositoryLog.listFiles` promises. */
export async function listLogFiles(
  parts: LogParts,
  of: LogPlace & { readonly signal: AbortSignal },
): Promise<readonly StoredLogFile[]> {
  const pieces = await listPieces(parts, logFilesFolder(of), of.signal);
  if (pieces.length === 0) await assertStreamThere(parts.storage, of, of.signal);
  const files = groupFiles(pieces.filter(({ file }) => file.kind === 'log'));
  return files.flatMap(({ name, pieces: own }) => {
    const { endBytes: sizeBytes, isComplete } = planChain(own);
    return own.slice(0, 1).map(({ file }) => {
      return { name, startPosition: file.startPosition, sizeBytes, isComplete };
    });
  });
}

async function listPieces(
  { storage }: LogParts,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly PieceObject[]> {
  const pieces: PieceObject[] = [];
  for await (const info of storage.list(prefix, signal)) {
    const object = parseLogObject(info);
    if (object?.kind === 'piece') pieces.push(object.piece);
  }
  return pieces;
}
