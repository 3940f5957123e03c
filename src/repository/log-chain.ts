// Decides, purely, how the pieces of log files fit together. Pieces of one file may overlap, when
// an attempt was repeated or the file was stored once more as a whole: of a stream, the same place
// always holds the same bytes.
import type { LogPosition } from '../model/log-position.ts';
import { compareLogPositions } from '../model/log-position.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import type { PieceObject } from './log-names.ts';
import { parseLogObject } from './log-names.ts';

/** One file of log with its pieces, by their offsets. */
export type PiecedFile = { readonly name: string; readonly pieces: readonly PieceObject[] };

/** A piece, and the place of the file from which on its bytes are used. */
export type ChainLink = { readonly piece: PieceObject; readonly fromBytes: number };

/** As much of a file as is there from its beginning without a gap. */
export type FileChain = {
  readonly links: readonly ChainLink[];
  readonly endBytes: number;
  /** Where the log stands there; null when there is nothing. */
  readonly end: PieceObject['endPosition'] | null;
  readonly isComplete: boolean;
};

/** The file's pieces that a longer one from its beginning holds as well. */
export function findReplaced(pieces: readonly PieceObject[]): readonly PieceObject[] {
  const longest = pieces.reduce<PieceObject | null>(longerFromStart, null);
  return pieces.filter((piece) => longest !== null && isWithin(piece, longest));
}

function longerFromStart(longest: PieceObject | null, piece: PieceObject): PieceObject | null {
  if (piece.offsetBytes > 0) return longest;
  return longest === null || isWithin(longest, piece) ? piece : longest;
}

function isWithin(piece: PieceObject, other: PieceObject): boolean {
  if (piece.name === other.name || piece.endBytes > other.endBytes) return false;
  return other.isLast || !piece.isLast;
}

/** Names of all replaced pieces in a listing of whole streams. */
export function listReplaced(objects: Iterable<ObjectInfo>): ReadonlySet<string> {
  const files = new Map<string, PieceObject[]>();
  for (const info of objects) {
    const object = parseLogObject(info);
    if (object?.kind !== 'piece') continue;
    const folder = info.name.slice(0, info.name.lastIndexOf('/'));
    const known = files.get(folder);
    if (known) known.push(object.piece);
    else files.set(folder, [object.piece]);
  }
  return new Set([...files.values()].flatMap(findReplaced).map(({ name }) => name));
}

/** Everywhere the piece that reaches furthest: that is the whole file where there is one. */
export function planChain(pieces: readonly PieceObject[]): FileChain {
  const links: ChainLink[] = [];
  let endBytes = 0;
  for (;;) {
    const next = pieces.reduce<PieceObject | null>((best, piece) => {
      const goesOn = piece.offsetBytes <= endBytes && piece.endBytes > endBytes;
      return goesOn && (!best || piece.endBytes > best.endBytes) ? piece : best;
    }, null);
    if (!next) break;
    links.push({ piece: next, fromBytes: endBytes });
    endBytes = next.endBytes;
  }
  const atEnd = pieces.filter((piece) => piece.endBytes === endBytes);
  const isComplete = atEnd.some(({ isLast }) => isLast);
  return { links, endBytes, end: atEnd[0]?.endPosition ?? null, isComplete };
}

/** By position; then what lies beside the sequence behind the rest, then by name. */
export function groupFiles(pieces: Iterable<PieceObject>): readonly PiecedFile[] {
  const byName = new Map<string, PieceObject[]>();
  for (const piece of pieces) {
    const known = byName.get(piece.file.name);
    if (known) known.push(piece);
    else byName.set(piece.file.name, [piece]);
  }
  const files = [...byName].map(([name, found]) => ({ name, pieces: found.sort(comparePieces) }));
  return files.sort((a, b) => comparePlaces(a.pieces, b.pieces));
}

/**
 * Pieces of files that do not lie wholly before the position, with the newest file and those beside
 * the sequence. Log backups of SQL Server begin at a moment: the last one before the position may
 * hold what was logged after it. What lies beside them belongs to one of them each, and goes too.
 */
export function planFilesFrom(
  pieces: readonly PieceObject[],
  position: LogPosition,
): readonly PieceObject[] {
  const isSide = ({ file }: PieceObject): boolean => file.kind === 'side';
  const files = groupFiles(pieces.filter((piece) => !isSide(piece)));
  const lastBefore = files.findLastIndex((file) => isBefore(startOf(file), position));
  const kept = files.filter(({ pieces: own }, index) => {
    if (index === files.length - 1) return true;
    if (index === lastBefore && position.engine === 'sqlserver') return true;
    return own.some(({ endPosition }) => compareLogPositions(endPosition, position) > 0);
  });
  const begin = startOf(kept[0]);
  const sides = pieces.filter((piece) => {
    if (!isSide(piece)) return false;
    const { startPosition } = piece.file;
    return startPosition.engine !== 'sqlserver' || !isBefore(startPosition, begin);
  });
  return [...sides, ...kept.flatMap((file) => file.pieces)];
}

const startOf = (file: PiecedFile | undefined): LogPosition | null =>
  file?.pieces[0]?.file.startPosition ?? null;

function isBefore(a: LogPosition | null, b: LogPosition | null): boolean {
  return a !== null && b !== null && compareLogPositions(a, b) < 0;
}

function comparePieces(a: PieceObject, b: PieceObject): number {
  return a.offsetBytes - b.offsetBytes || a.endBytes - b.endBytes || (a.name < b.name ? -1 : 1);
}

function comparePlaces([a]: readonly PieceObject[], [b]: readonly PieceObject[]): number {
  if (!a || !b) return 0;
  const byPosition = compareLogPositions(a.file.startPosition, b.file.startPosition);
  if (byPosition !== 0) return byPosition;
  const byKind = Number(a.file.kind === 'side') - Number(b.file.kind === 'side');
  return byKind || (a.file.name < b.file.name ? -1 : 1);
}
