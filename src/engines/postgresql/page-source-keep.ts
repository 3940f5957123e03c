// Which files need not be read, because the previous backup holds what they are now. Pure.
//
// A file is kept when it has the size and the time of last write that the previous backup noted,
// and that time lies well before the previous backup began. Why that is enough:
// - Whatever was changed in memory before this backup's start is written by the checkpoint of
//   `pg_backup_start`, and the listing comes after it. Every write, extension and truncation by the
//   server moves the time at once (the server writes by system call, never through a mapping);
//   copies of files (a database made with FILE_COPY, a moved tablespace) are new files.
// - What is changed after the start is in the log as whole pages, which a restore replays.
// - The previous backup noted the time before it read the file. A write while it read, or since,
//   left a later time; the margin is for file systems and clocks that lag (whole seconds here, two
//   on FAT, network file systems that take the time of their own host).
// - What is written without log (hints, free space maps, unlogged relations) is repaired, or thrown
//   away, by every restore; `wal_level = minimal` is refused altogether.
// - After a crash of the host a page may be newer than the time of its file; recovery writes such a
//   page again from the log and moves the time, but only with `full_page_writes`.
// - Another host that took over has times of its own: it is on another timeline.
// A clock that went back shows in the start times, and nothing is kept then. What cannot be seen: a
// program that changes a file and sets its time back, or a clock that goes back and forth between
// two backups so that a write meets the very second that the file had.
// Only parts of relations are kept: all else is small, or changes without the log.
import { isErrorKind } from '../../model/errors.ts';
import type { PreviousBackup } from '../engine.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { parseNotes } from './backup-notes.ts';
import type { PostgresLogPosition } from './log-position.ts';
import type { ListedFile } from './page-source-list.ts';

export type KeepFacts = {
  readonly systemIdentifier: string;
  readonly blockSizeBytes: number;
  readonly startPosition: PostgresLogPosition;
  /** The server's clock before the backup began. */
  readonly startClockMs: number;
  readonly fullPageWrites: boolean;
  /** `version()`: names the operating system. */
  readonly versionText: string;
};

export type KeepRule =
  | { readonly kind: 'nothing'; readonly reason: string }
  | {
      readonly kind: 'unchanged';
      readonly previous: Pick<PreviousBackup, 'findFile'>;
      /** Files written at or after this moment are read. */
      readonly beforeMs: number;
    };

/** The clock of a server in a network is off by seconds, that of a file server perhaps by more. */
export const keepMarginMs = 5 * 60_000;

export function planKeep(previous: PreviousBackup | null, facts: KeepFacts): KeepRule {
  if (previous === null) return { kind: 'nothing', reason: 'there is no previous backup' };
  const notes = readNotes(previous);
  const reason = notes === null ? 'its notes cannot be read' : refusal(previous, notes, facts);
  if (reason !== null) return { kind: 'nothing', reason };
  return { kind: 'unchanged', previous, beforeMs: (notes?.startClockMs ?? 0) - keepMarginMs };
}

export function isKept(file: ListedFile, pageSizeBytes: number, rule: KeepRule): boolean {
  if (rule.kind === 'nothing' || file.relation === null || file.sizeBytes === 0) return false;
  const modifiedMs = file.modifiedSeconds * 1000;
  if (modifiedMs >= rule.beforeMs) return false;
  const found = rule.previous.findFile(file.path);
  return (
    found !== null &&
    found.sizeBytes === file.sizeBytes &&
    found.modifiedAt.getTime() === modifiedMs &&
    found.pageSizeBytes === pageSizeBytes
  );
}

function refusal(previous: PreviousBackup, notes: PostgresNotes, facts: KeepFacts): string | null {
  const { startPosition } = previous;
  if (previous.systemIdentifier !== facts.systemIdentifier) return 'it is of another server';
  if (notes.blockSizeBytes !== facts.blockSizeBytes) return 'it has another block size';
  if (notes.fromStandby) return 'it was taken from a standby';
  if (startPosition.engine !== 'postgresql' || notes.timeline !== facts.startPosition.timeline) {
    return 'it is of another timeline';
  }
  if (startPosition.lsn >= facts.startPosition.lsn) return 'it is ahead in the log';
  if (notes.startClockMs === null) return "it does not tell the server's clock";
  if (notes.startClockMs >= facts.startClockMs) return "the server's clock went back";
  if (!facts.fullPageWrites) return 'full_page_writes is off';
  // On Windows the time of a file that is open may be written later.
  if (!/linux|bsd|darwin|apple|solaris/i.test(facts.versionText)) {
    return `times of files are not trusted on this system: ${facts.versionText}`;
  }
  return null;
}

/** A previous backup that cannot be understood must not stand in the way of the next. */
function readNotes(previous: PreviousBackup): PostgresNotes | null {
  try {
    return parseNotes(previous.notes);
  } catch (error) {
    if (isErrorKind(error, 'repository-damaged')) return null;
    throw error;
  }
}
