import { formatLogPosition } from '../../model/log-position.ts';
import type { LogArchiveStatus } from '../../operations/log-archive/archive-status.ts';
import type { LogArchiveWire } from '../schema/log-archive.ts';
import { formatWireTime } from '../wire-time.ts';

export function presentLogArchive(status: LogArchiveStatus, now: Date): LogArchiveWire {
  const { stream, trouble, lastGap } = status;
  const covered = stream?.progress.covered ?? null;
  const isFollowing = stream?.state.status === 'following';
  const behindMs = covered && isFollowing ? now.getTime() - covered.at.getTime() : null;
  return {
    status: statusOf(status),
    stream_id: stream?.id ?? null,
    since: stream && formatWireTime(stream.beganAt),
    kept_from: stream && formatLogPosition(stream.keptFrom),
    stored_position: covered && formatLogPosition(covered.position),
    covered_until: covered && formatWireTime(covered.at),
    behind_seconds: behindMs === null ? null : Math.max(0, Math.round(behindMs / 1000)),
    behind_bytes: isFollowing ? stream.progress.behindBytes : null,
    warning: stream?.progress.warning ?? null,
    trouble: trouble && {
      message: trouble.message,
      hint: trouble.hint,
      since: formatWireTime(trouble.since),
    },
    last_gap: presentGap(lastGap),
  };
}

function statusOf({ stream, isAsked, trouble }: LogArchiveStatus): LogArchiveWire['status'] {
  if (!isAsked) return 'stopped';
  return stream?.state.status === 'following' && !trouble ? 'following' : 'waiting';
}

function presentGap(stream: LogArchiveStatus['lastGap']): LogArchiveWire['last_gap'] {
  if (stream?.state.status !== 'ended') return null;
  const { endedAt, reason } = stream.state;
  return { at: formatWireTime(endedAt), reason };
}
