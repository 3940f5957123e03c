// Names of archived log in the storage. They say where in the log a piece lies, so that a stream of
// years is surveyed from its listing. What a name says follows from the bytes alone, never from
// when they were stored: of two writers of a piece one finds the name taken, and compares.
//
//   instances/<instance>/log/<stream>/stream
//   …/files/<log file>/<offset>-<end>.<part|last|side>.<start of the file>.<position at the end>
//   …/intervals/<sequence>
import { CairnError } from '../model/errors.ts';
import type { InstanceId, LogStreamId } from '../model/ids.ts';
import { parseLogStreamId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { formatLogPosition, parseLogPosition } from '../model/log-position.ts';
import type { ObjectInfo } from '../storage/storage.ts';
import { instanceFolder } from './format.ts';
import type { LogFile, LogPiece } from './log-door.ts';

const offsetDigits = 12;
const sequenceDigits = 8;
const fileNamePattern = /^[A-Za-z0-9._-]{1,200}$/;
const logPattern = /^instances\/[^/]+\/log\/([0-9A-Za-z-]{1,64})\/(.+)$/;
const intervalPattern = /^intervals\/(\d{8})$/;
const piecePattern =
  /^files\/([^/]+)\/([0-9a-f]{12})-([0-9a-f]{12})\.(part|last|side)\.([\w-]+)\.([\w-]+)$/;

export type LogPlace = { readonly instanceId: InstanceId; readonly streamId: LogStreamId };

/** What the name of a piece says. */
export type PieceObject = ObjectInfo & {
  readonly file: LogFile;
  readonly offsetBytes: number;
  readonly endBytes: number;
  readonly isLast: boolean;
  readonly endPosition: LogPosition;
};

export type LogObject =
  | { readonly kind: 'stream'; readonly streamId: LogStreamId }
  | { readonly kind: 'interval'; readonly streamId: LogStreamId; readonly sequence: number }
  | { readonly kind: 'piece'; readonly streamId: LogStreamId; readonly piece: PieceObject };

export function logFolder(instanceId: InstanceId): string {
  return `${instanceFolder(instanceId)}log/`;
}

export function streamFolder({ instanceId, streamId }: LogPlace): string {
  return `${logFolder(instanceId)}${streamId}/`;
}

export function streamObject(place: LogPlace): string {
  return `${streamFolder(place)}stream`;
}

export function intervalsFolder(place: LogPlace): string {
  return `${streamFolder(place)}intervals/`;
}

export function intervalObject(place: LogPlace, sequence: number): string {
  return `${intervalsFolder(place)}${String(sequence).padStart(sequenceDigits, '0')}`;
}

/** @throws invalid when the engine named the file otherwise than it may */
export function logFileFolder(place: LogPlace, fileName: string): string {
  if (!fileNamePattern.test(fileName) || /^\.+$/.test(fileName)) {
    throw new CairnError('invalid', `${fileName} is no name of a log file`, {
      hint: 'letters, digits, points, underscores and hyphens, at most 200',
    });
  }
  return `${logFilesFolder(place)}${fileName}/`;
}

export function logFilesFolder(place: LogPlace): string {
  return `${streamFolder(place)}files/`;
}

export function pieceObject(place: LogPlace, piece: Omit<LogPiece, 'endAt'>): string {
  const { file, offsetBytes, lengthBytes, isLast, endPosition } = piece;
  const kind = file.kind === 'side' ? 'side' : isLast ? 'last' : 'part';
  const range = `${formatOffset(offsetBytes)}-${formatOffset(offsetBytes + lengthBytes)}`;
  const positions = `${formatToken(file.startPosition)}.${formatToken(endPosition)}`;
  return `${logFileFolder(place, file.name)}${range}.${kind}.${positions}`;
}

/** Null: not a name of archived log. */
export function parseLogObject(info: ObjectInfo): LogObject | null {
  const [, stream = '', rest = ''] = logPattern.exec(info.name) ?? [];
  const streamId = parseLogStreamId(stream);
  if (streamId === null) return null;
  if (rest === 'stream') return { kind: 'stream', streamId };
  const sequence = intervalPattern.exec(rest)?.[1];
  if (sequence !== undefined) return { kind: 'interval', streamId, sequence: Number(sequence) };
  const piece = parsePiece(info, rest);
  return piece && { kind: 'piece', streamId, piece };
}

function parsePiece(info: ObjectInfo, rest: string): PieceObject | null {
  const match = piecePattern.exec(rest);
  const [, name = '', offset = '', end = '', kind = '', start = '', stop = ''] = match ?? [];
  const startPosition = parseToken(start);
  const endPosition = parseToken(stop);
  const [offsetBytes, endBytes] = [Number.parseInt(offset, 16), Number.parseInt(end, 16)];
  if (!match || !startPosition || !endPosition || offsetBytes > endBytes) return null;
  return {
    ...info,
    file: { name, kind: kind === 'side' ? 'side' : 'log', startPosition },
    ...{ offsetBytes, endBytes, isLast: kind !== 'part', endPosition },
  };
}

function formatOffset(offsetBytes: number): string {
  return offsetBytes.toString(16).padStart(offsetDigits, '0');
}

/** GTID sets are of any length: only the metadata of a piece has them. */
function formatToken(position: LogPosition): string {
  const text = formatLogPosition(
    position.engine === 'mysql' ? { ...position, gtidSet: null } : position,
  );
  return text.replace(/[^A-Za-z0-9-]/g, (char) => `_${char.charCodeAt(0).toString(16)}`);
}

function parseToken(token: string): LogPosition | null {
  const decoded = token.replace(/_([0-9a-f]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
  return parseLogPosition(decoded);
}
