// Which log still serves. A point in time is reached from a full backup that ended before it, along
// the log. So what is kept begins with the newest full backup that is older than the days kept, and
// where there is none, with the oldest there is. Pure.
import type { BackupId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { LogStream } from '../../model/log-stream.ts';

/** How long log stays when its policy is switched off: somebody may think better of it. */
export const switchOffGraceMs = 24 * 3_600_000;

export type BaseBackup = {
  readonly id: BackupId;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly startPosition: LogPosition;
};

export type LogRetentionInput = {
  /** The begin of the days kept; null: the policy is off. */
  readonly cutoff: Date | null;
  /**
   * When archiving was stopped on purpose; null: it was not. A catalog that was rebuilt has its
   * policies off without anybody's wish: that deletes nothing.
   */
  readonly stoppedAt: Date | null;
  readonly now: Date;
  /** How long log stays after the policy was switched off. */
  readonly graceMs: number;
  /** Completed full backups: the newest that ended before the cutoff, and the oldest of all. */
  readonly newestOld: BaseBackup | null;
  readonly oldest: BaseBackup | null;
};

export type LogTrim =
  | { readonly kind: 'keep' }
  | { readonly kind: 'all'; readonly reason: string }
  /** What lies before goes. */
  | { readonly kind: 'before'; readonly position: LogPosition };

export function planLogTrim(stream: LogStream, input: LogRetentionInput): LogTrim {
  const { cutoff, newestOld, oldest, now, graceMs, stoppedAt } = input;
  const { state } = stream;
  if (cutoff === null) {
    const isOver = stoppedAt !== null && now.getTime() - stoppedAt.getTime() >= graceMs;
    return isOver && state.status === 'ended'
      ? { kind: 'all', reason: 'the backup policy is off' }
      : { kind: 'keep' };
  }
  const coveredUntil = stream.progress.covered?.at ?? stream.beganAt;
  const base = newestOld ?? oldest;
  if (state.status === 'ended') {
    // Nothing of the days kept lies in it, or no backup leads into it.
    const isOld = coveredUntil < cutoff;
    const isUnled = base !== null && coveredUntil < base.endedAt;
    if (isOld || isUnled) return { kind: 'all', reason: 'no time that is kept needs it' };
  }
  if (!base || base.startedAt <= stream.beganAt) return { kind: 'keep' };
  return { kind: 'before', position: base.startPosition };
}

/**
 * Whether a full backup that is older than the days kept is needed, because log leads from it to
 * times that are kept.
 */
export function leadsIntoWindow(
  base: Pick<BaseBackup, 'endedAt'>,
  streams: readonly LogStream[],
  cutoff: Date,
): boolean {
  return streams.some(({ beganAt, progress }) => {
    return beganAt <= base.endedAt && progress.covered !== null && progress.covered.at > cutoff;
  });
}
