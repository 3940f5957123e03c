// What the objects of archived log say of themselves: JSON in frame 0. `docs/repository-format.md`
// specifies it.
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { engines } from '../model/engine-kind.ts';
import type { LogStreamId } from '../model/ids.ts';
import { parseBackupId, parseInstanceId, parseProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { formatLogPosition, parseLogPosition } from '../model/log-position.ts';
import { damaged, formatVersion, unknownVersion } from './format.ts';
import type { LogInterval, LogPiece, LogStreamRecord } from './log-door.ts';

const Whole = Type.Integer({ minimum: 0 });
/** Milliseconds since 1970. */
const Moment = Type.Integer();
const Position = Type.String({ maxLength: 100_000 });
const format = Type.Literal(1);

const StreamFrame = Type.Object({
  format,
  repository_id: Type.String(),
  stream_id: Type.String(),
  project_id: Type.String(),
  instance: Type.Object({
    id: Type.String(),
    name: Type.String(),
    engine: Type.Enum([...engines]),
  }),
  began_at: Moment,
  engine: Type.Object({
    version: Type.String(),
    system_identifier: Type.String(),
    start_position: Position,
    notes: Type.Record(Type.String(), Type.Unknown()),
  }),
});

const PieceFrame = Type.Object({
  format,
  file: Type.Object({
    name: Type.String(),
    kind: Type.Union([Type.Literal('log'), Type.Literal('side')]),
    start_position: Position,
  }),
  offset: Whole,
  length: Whole,
  is_last: Type.Boolean(),
  end_position: Position,
  end_at: Moment,
  /** Of the piece's bytes, in hexadecimal. */
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});

const IntervalFrame = Type.Object({
  format,
  backup_id: Type.String(),
  sequence: Whole,
  name: Type.String(),
  start_position: Position,
  end_position: Position,
  start_at: Moment,
  end_at: Moment,
  files: Type.Array(Type.String()),
  logical_bytes: Whole,
  stored_bytes: Whole,
});

/** A piece as its object tells it, with the SHA-256 of its bytes. */
export type DescribedPiece = LogPiece & { readonly sha256: string };

export function encodeStream(record: LogStreamRecord, repositoryId: string): Buffer {
  const { facts } = record;
  const frame: Static<typeof StreamFrame> = {
    ...{ format: 1, repository_id: repositoryId, stream_id: record.streamId },
    project_id: record.projectId,
    instance: { id: record.instanceId, name: record.instanceName, engine: record.engine },
    began_at: record.beganAt.getTime(),
    engine: {
      ...{ version: facts.serverVersion, system_identifier: facts.systemIdentifier },
      ...{ start_position: formatLogPosition(facts.startPosition), notes: facts.notes },
    },
  };
  return toBuffer(frame);
}

/** @throws repository-damaged */
export function decodeStream(frame: Buffer, name: string): LogStreamRecord {
  const value = parseFrame(frame, { name, schema: StreamFrame });
  const instanceId = parseInstanceId(value.instance.id);
  const projectId = parseProjectId(value.project_id);
  const [, instance, , stream] = name.split('/');
  if (!instanceId || !projectId || value.stream_id !== stream || instanceId !== instance) {
    throw damaged(name, 'it is the record of another stream');
  }
  const { version, system_identifier: systemIdentifier, notes } = value.engine;
  const startPosition = positionOf(value.engine.start_position, name);
  return {
    ...{ streamId: value.stream_id as LogStreamId, instanceId, projectId },
    ...{ instanceName: value.instance.name, engine: value.instance.engine },
    beganAt: new Date(value.began_at),
    facts: { serverVersion: version, systemIdentifier, startPosition, notes },
  };
}

export function encodePiece(piece: DescribedPiece): Buffer {
  const { file } = piece;
  const start = formatLogPosition(file.startPosition);
  const frame: Static<typeof PieceFrame> = {
    format: 1,
    file: { name: file.name, kind: file.kind, start_position: start },
    ...{ offset: piece.offsetBytes, length: piece.lengthBytes, is_last: piece.isLast },
    end_position: formatLogPosition(piece.endPosition),
    ...{ end_at: piece.endAt.getTime(), sha256: piece.sha256 },
  };
  return toBuffer(frame);
}

/** @throws repository-damaged */
export function decodePiece(frame: Buffer, name: string): DescribedPiece {
  const value = parseFrame(frame, { name, schema: PieceFrame });
  const { file, offset: offsetBytes, length: lengthBytes, is_last: isLast, sha256 } = value;
  const startPosition = positionOf(file.start_position, name);
  return {
    file: { name: file.name, kind: file.kind, startPosition },
    ...{ offsetBytes, lengthBytes, isLast, sha256 },
    endPosition: positionOf(value.end_position, name),
    endAt: new Date(value.end_at),
  };
}

export function encodeInterval(interval: LogInterval): Buffer {
  const frame: Static<typeof IntervalFrame> = {
    ...{ format: 1, backup_id: interval.backupId, sequence: interval.sequence },
    name: interval.name,
    start_position: formatLogPosition(interval.startPosition),
    end_position: formatLogPosition(interval.endPosition),
    ...{ start_at: interval.startAt.getTime(), end_at: interval.endAt.getTime() },
    files: [...interval.files],
    ...{ logical_bytes: interval.logicalBytes, stored_bytes: interval.storedBytes },
  };
  return toBuffer(frame);
}

/** @throws repository-damaged */
export function decodeInterval(frame: Buffer, name: string): LogInterval {
  const value = parseFrame(frame, { name, schema: IntervalFrame });
  const backupId = parseBackupId(value.backup_id);
  if (!backupId || Number(name.split('/').at(-1)) !== value.sequence) {
    throw damaged(name, 'it is the record of another interval');
  }
  return {
    ...{ backupId, sequence: value.sequence, name: value.name, files: value.files },
    startPosition: positionOf(value.start_position, name),
    endPosition: positionOf(value.end_position, name),
    ...{ startAt: new Date(value.start_at), endAt: new Date(value.end_at) },
    ...{ logicalBytes: value.logical_bytes, storedBytes: value.stored_bytes },
  };
}

function toBuffer(frame: object): Buffer {
  return Buffer.from(JSON.stringify(frame));
}

function parseFrame<Schema extends typeof StreamFrame | typeof PieceFrame | typeof IntervalFrame>(
  frame: Buffer,
  { name, schema }: { readonly name: string; readonly schema: Schema },
): Static<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(frame.toString('utf8'));
  } catch (cause) {
    throw damaged(name, 'its record is not JSON', cause);
  }
  if (Value.Check(schema, value)) return value;
  const version = value && typeof value === 'object' && 'format' in value ? value.format : null;
  if (typeof version === 'number' && version > formatVersion) throw unknownVersion(name, version);
  throw damaged(name, 'its record lacks a field');
}

function positionOf(text: string, name: string): LogPosition {
  const position = parseLogPosition(text);
  if (position) return position;
  throw damaged(name, `${text.slice(0, 100)} is no position in a log`);
}
