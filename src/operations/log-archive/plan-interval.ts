// When a stretch of log is closed and shown as a backup. Pure.
import type { LogPoint, LogStreamProgress } from '../../model/log-stream.ts';
import type { StoredLogPiece } from '../../repository/repository.ts';

/** What was stored since the last interval. */
export type OpenInterval = {
  /** By the server's clock, when its first piece was stored; null: there is none. */
  readonly since: Date | null;
  /** Names of its files, in order. */
  readonly files: readonly string[];
  readonly logicalBytes: number;
  readonly storedBytes: number;
};

export const emptyInterval: OpenInterval = {
  since: null,
  files: [],
  logicalBytes: 0,
  storedBytes: 0,
};

export type PlannedInterval = {
  readonly sequence: number;
  readonly start: LogPoint;
  readonly end: LogPoint;
};

export type IntervalInput = {
  readonly open: OpenInterval;
  readonly closed: LogStreamProgress['closed'];
  readonly covered: LogPoint | null;
  /** Where the stream begins. */
  readonly began: LogPoint;
  readonly intervalMs: number;
  /** The stream is over: what there is is the last interval. */
  readonly isEnding: boolean;
};

/**
 * Intervals end when the server's clock passes a multiple of their length, so that those of several
 * instances lie side by side. Without log there is none.
 */
export function planInterval(input: IntervalInput): PlannedInterval | null {
  const { open, closed, covered, began, intervalMs, isEnding } = input;
  if (!open.since || !covered) return null;
  const slotOf = (at: Date): number => Math.floor(at.getTime() / intervalMs);
  if (!isEnding && slotOf(covered.at) === slotOf(open.since)) return null;
  const { position, at } = closed ?? began;
  // The server's clock may have been set back.
  const startAt = at < covered.at ? at : covered.at;
  const start = { position, at: startAt };
  return { sequence: (closed?.sequence ?? -1) + 1, start, end: covered };
}

export function addPiece(
  open: OpenInterval,
  piece: Pick<StoredLogPiece, 'file' | 'lengthBytes' | 'storedBytes' | 'endAt'>,
): OpenInterval {
  const { name } = piece.file;
  return {
    since: open.since ?? piece.endAt,
    files: open.files.at(-1) === name ? open.files : [...open.files, name],
    logicalBytes: open.logicalBytes + piece.lengthBytes,
    storedBytes: open.storedBytes + piece.storedBytes,
  };
}

/** `incremental-shop-20260105T020500`; no longer than a name that a user may give: 64. */
export function nameInterval(instanceName: string, endAt: Date): string {
  const moment = endAt.toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
  return `incremental-${instanceName.slice(0, 36)}-${moment}`;
}
