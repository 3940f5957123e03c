// Where an attempt goes on: the storage knows the last file of the archive, the server's history
// all backups of the log that were taken under its name, and the exchange holds those that are not
// stored yet. The three together tell what is still to be sent, what is stored and may go, and what
// was never finished.
import { CairnError } from '../../model/errors.ts';
import type { LogPosition } from '../../model/log-position.ts';
import { formatLogPosition } from '../../model/log-position.ts';
import type { EngineNotes, LogResumePoint } from '../engine.ts';
import type { Exchange } from './exchange.ts';
import type { ChainBounds } from './log-chains.ts';
import { isBehind } from './log-chains.ts';
import type { LogHistory, OwnLog } from './log-history.ts';
import type { LogName } from './log-names.ts';
import { exchangePrefix, findLogName } from './log-names.ts';

/** How much of which file the storage has; null: no file at all. */
export type StoredEnd = {
  readonly moment: string;
  readonly offsetBytes: number;
  readonly lastBytes: Uint8Array;
};

export type ResumePlan = ChainBounds & {
  /** The file that is stored in part; null: all that are stored are whole. */
  readonly partial: OwnLog | null;
  /** Taken and not stored, the oldest first. */
  readonly pending: readonly OwnLog[];
  /** Stored: their files are not needed any more. */
  readonly stored: readonly LogName[];
  readonly leftovers: readonly LogName[];
};

const newStreamHint = 'the archive begins anew, which needs a full backup';

type SqlServerPosition = Extract<LogPosition, { readonly engine: 'sqlserver' }>;

/** What a stream keeps for whoever resumes it: the history's newest number when it began. */
export function toStreamNotes(beganId: number): EngineNotes {
  return { version: 1, beganId };
}

/** Null while nothing of the stream is stored. @throws bug */
export function findStoredEnd({ facts, position, lastBytes }: LogResumePoint): StoredEnd | null {
  const { moment, offsetBytes } = asSqlServer(position);
  if (moment === asSqlServer(facts.startPosition).moment) return null;
  return { moment, offsetBytes, lastBytes: lastBytes ?? new Uint8Array() };
}

function asSqlServer(position: LogPosition): SqlServerPosition {
  if (position.engine === 'sqlserver') return position;
  throw new CairnError('bug', `position ${formatLogPosition(position)} is none of SQL Server`);
}

/** @throws log-gap when the server's history is older than the archive; repository-damaged */
export async function readResumePlan(
  resume: LogResumePoint,
  parts: {
    readonly history: LogHistory;
    readonly exchange: Exchange;
    readonly keeperName: string;
    readonly signal: AbortSignal;
  },
): Promise<ResumePlan> {
  const { history } = parts;
  const beganId = readBeganId(resume.facts.notes);
  const end = findStoredEnd(resume);
  if ((await history.readNewestId()) < beganId) throw setBack('when the archive began');
  const last = end && (await history.findAt(end.moment));
  if (end !== null && last === null) throw setBack(`at ${end.moment}`);
  const storedId = last?.record.setId ?? beganId;
  const { moment: startMoment } = asSqlServer(resume.facts.startPosition);
  const later = await history.readOwnSince(storedId);
  const pending = later.filter((log) => isBehind(log, startMoment));
  const names = await listNames(parts);
  const isPartial = end !== null && (end.offsetBytes === 0 || end.lastBytes.length > 0);
  return {
    ...{ startMoment, beganId, storedId, pending, partial: isPartial ? last : null },
    ...sortNames(names, { end, isPartial, pending }),
  };
}

/** What lies in the exchange of this archive, the oldest first. */
export async function listNames({
  exchange,
  keeperName,
  signal,
}: {
  readonly exchange: Exchange;
  readonly keeperName: string;
  readonly signal: AbortSignal;
}): Promise<readonly LogName[]> {
  const found = await exchange.list(exchangePrefix(keeperName), signal);
  return found.flatMap(({ name }) => findLogName(keeperName, name) ?? []);
}

/** Pure. */
function sortNames(
  names: readonly LogName[],
  known: {
    readonly end: StoredEnd | null;
    readonly isPartial: boolean;
    readonly pending: readonly OwnLog[];
  },
): Pick<ResumePlan, 'stored' | 'leftovers'> {
  const { end, isPartial, pending } = known;
  const isStored = ({ moment }: LogName): boolean =>
    end !== null && (moment < end.moment || (moment === end.moment && !isPartial));
  const isTaken = ({ moment }: LogName): boolean =>
    moment === end?.moment || pending.some(({ name }) => name.moment === moment);
  // One that was finished late, and is older than what is stored, is pending all the same.
  const open = names.filter((name) => !pending.some((log) => log.name.moment === name.moment));
  return {
    stored: open.filter(isStored),
    leftovers: open.filter((name) => !isStored(name) && !isTaken(name)),
  };
}

function readBeganId({ version, beganId }: EngineNotes): number {
  if (version === 1 && typeof beganId === 'number' && Number.isSafeInteger(beganId)) {
    return beganId;
  }
  throw new CairnError('repository-damaged', 'the notes of the archived log are not readable', {
    hint: `they were changed, or written by a newer version of Cairn; ${newStreamHint}`,
  });
}

function setBack(when: string): CairnError {
  const text = `the server's history does not have the backup of the log that was taken ${when}`;
  return new CairnError('log-gap', text, {
    hint: `the server or its msdb was set back, or its history was deleted: ${newStreamHint}`,
  });
}
