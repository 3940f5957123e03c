// A stream of archived log between its row and the model.
import { engines } from '../model/engine-kind.ts';
import { errorKinds } from '../model/errors.ts';
import type { InstanceId, LogStreamId, ProjectId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { formatLogPosition, parseLogPosition } from '../model/log-position.ts';
import type {
  LogPoint,
  LogStream,
  LogStreamProgress,
  LogStreamState,
  LogTrouble,
  LogWarning,
} from '../model/log-stream.ts';
import {
  damagedRow,
  readDate,
  readNumber,
  readObject,
  readText,
  readTextOrNull,
  readWord,
} from './row-values.ts';
import type { LogStreamRow } from './schema.ts';

type StateColumns = Pick<LogStreamRow, 'status' | 'end_cause' | 'end_reason' | 'ended_at'>;
type ProgressColumns = Pick<
  LogStreamRow,
  | 'stored_position'
  | 'covered_until'
  | 'interval_sequence'
  | 'interval_position'
  | 'interval_at'
  | 'behind_bytes'
  | 'warning'
  | 'trouble'
>;

export function toLogStreamRow(stream: LogStream): LogStreamRow {
  return {
    id: stream.id,
    project_id: stream.projectId,
    instance_id: stream.instanceId,
    engine: stream.engine,
    system_identifier: stream.systemIdentifier,
    start_position: formatLogPosition(stream.startPosition),
    began_at: stream.beganAt.getTime(),
    kept_from: formatLogPosition(stream.keptFrom),
    updated_at: stream.updatedAt.getTime(),
    ...toStateColumns(stream.state),
    ...toProgressColumns(stream.progress),
  };
}

export function toStateColumns(state: LogStreamState): StateColumns {
  const { status } = state;
  if (status === 'following') {
    return { status, end_cause: null, end_reason: null, ended_at: null };
  }
  const { cause, reason, endedAt } = state;
  return { status, end_cause: cause, end_reason: reason, ended_at: endedAt.getTime() };
}

export function toProgressColumns(progress: LogStreamProgress): ProgressColumns {
  const { covered, closed, behindBytes, warning, trouble } = progress;
  return {
    stored_position: covered && formatLogPosition(covered.position),
    covered_until: covered && covered.at.getTime(),
    interval_sequence: closed && closed.sequence,
    interval_position: closed && formatLogPosition(closed.position),
    interval_at: closed && closed.at.getTime(),
    behind_bytes: behindBytes,
    warning: warning && JSON.stringify(warning),
    trouble: trouble && JSON.stringify({ ...trouble, since: trouble.since.getTime() }),
  };
}

export function toLogStream(row: LogStreamRow): LogStream {
  return {
    id: row.id as LogStreamId,
    projectId: row.project_id as ProjectId,
    instanceId: row.instance_id as InstanceId,
    engine: readWord(engines, row.engine, 'log_streams.engine'),
    systemIdentifier: row.system_identifier,
    startPosition: toPosition(row.start_position, 'log_streams.start_position'),
    beganAt: new Date(row.began_at),
    keptFrom: toPosition(row.kept_from, 'log_streams.kept_from'),
    state: toState(row),
    progress: toProgress(row),
    updatedAt: new Date(row.updated_at),
  };
}

function toState(row: LogStreamRow): LogStreamState {
  const status = readWord(['following', 'ended'], row.status, 'log_streams.status');
  if (status === 'following') return { status };
  return {
    status,
    cause: readWord(['gap', 'stopped'], row.end_cause, 'log_streams.end_cause'),
    endedAt: readDate(row.ended_at, 'log_streams.ended_at'),
    reason: readText(row.end_reason, 'log_streams.end_reason'),
  };
}

function toProgress(row: LogStreamRow): LogStreamProgress {
  const closed = toPoint(row.interval_position, row.interval_at, 'log_streams.interval_position');
  const sequence = row.interval_sequence;
  return {
    covered: toPoint(row.stored_position, row.covered_until, 'log_streams.stored_position'),
    closed: closed && {
      ...closed,
      sequence: readNumber(sequence, 'log_streams.interval_sequence'),
    },
    behindBytes: row.behind_bytes,
    warning: row.warning === null ? null : toWarning(row.warning),
    trouble: row.trouble === null ? null : toTrouble(row.trouble),
  };
}

function toWarning(text: string): LogWarning {
  const place = 'log_streams.warning';
  const { message, hint } = readObject(text, place);
  return { message: readText(message, place), hint: readText(hint, place) };
}

function toTrouble(text: string): LogTrouble {
  const place = 'log_streams.trouble';
  const { kind, message, hint, since } = readObject(text, place);
  return {
    kind: readWord(errorKinds, kind, place),
    message: readText(message, place),
    hint: readTextOrNull(hint, place),
    since: readDate(since, place),
  };
}

function toPoint(position: string | null, at: number | null, place: string): LogPoint | null {
  if (position === null || at === null) return null;
  return { position: toPosition(position, place), at: new Date(at) };
}

function toPosition(text: string, place: string): LogPosition {
  const position = parseLogPosition(text);
  if (!position) throw damagedRow(place);
  return position;
}
