// Decides, purely, whether a stream is what it promises to be: log without a gap, and intervals
// that have all of their files.
import type { BackupId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import { compareLogPositions, formatLogPosition, isLogMissing } from '../model/log-position.ts';
import type { FileChain } from './log-chain.ts';
import { groupFiles, planChain } from './log-chain.ts';
import type { LogInterval } from './log-door.ts';
import type { LogPlace, PieceObject } from './log-names.ts';
import { intervalObject, logFileFolder, streamObject } from './log-names.ts';

export type LogProblem = {
  /** Of an object, or of the folder of a log file. */
  readonly object: string;
  readonly why: string;
};

export type StreamParts = {
  readonly place: LogPlace;
  readonly hasRecord: boolean;
  readonly pieces: readonly PieceObject[];
  /** By their sequence; null for one that is there and cannot be read. */
  readonly intervals: ReadonlyArray<{
    readonly sequence: number;
    readonly interval: LogInterval | null;
  }>;
};

type ChainedFile = {
  readonly folder: string;
  readonly start: LogPosition;
  readonly pieces: readonly PieceObject[];
  readonly chain: FileChain;
};

export function findLogProblems(parts: StreamParts): readonly LogProblem[] {
  const { place, hasRecord, pieces } = parts;
  const missing = {
    object: streamObject(place),
    why: 'it is missing: whose log it is, is unknown',
  };
  const logs = pieces.filter(({ file }) => file.kind === 'log');
  const files = groupFiles(logs).map(({ name, pieces: own }) => ({
    ...{ name, folder: logFileFolder(place, name), pieces: own, chain: planChain(own) },
    start: own[0]?.file.startPosition as LogPosition,
  }));
  const names = new Map(files.map((file) => [file.name, file]));
  const named = new Set(parts.intervals.flatMap(({ interval }) => interval?.files ?? []));
  const described = new Set(
    pieces.filter(({ file }) => file.kind === 'side').map((piece) => placeOf(piece.file)),
  );
  return [
    ...(hasRecord ? [] : [missing]),
    ...files.flatMap((file, index) => {
      // A removal that broke off: intervals go first, then the oldest file from its beginning on.
      const isGoing = index === 0 && file.chain.endBytes === 0 && !named.has(file.name);
      return isGoing ? [] : findGap(file, files[index + 1]);
    }),
    ...files.flatMap((file) => findUndescribed(file, described)),
    ...findIntervalGaps(parts),
    ...parts.intervals.flatMap(({ interval }) =>
      interval ? findLostFiles(parts, interval, names) : [],
    ),
  ];
}

/** In the file, or behind it. The newest file may still grow. */
function findGap(file: ChainedFile, next: ChainedFile | undefined): readonly LogProblem[] {
  const { folder: object, chain, pieces, start } = file;
  const { endBytes, isComplete } = chain;
  if (pieces.some((piece) => piece.endBytes > endBytes)) {
    return [{ object, why: `its bytes from ${endBytes} on are missing` }];
  }
  if (!next) return [];
  const end = chain.end ?? start;
  const goesOn = isComplete || isNewBranch(end, next.start);
  if (!goesOn) return [{ object, why: `it ends at ${endBytes}, and is not complete` }];
  if (!isLogMissing(end, next.start)) return [];
  const where = `between ${formatLogPosition(end)} and ${formatLogPosition(next.start)}`;
  return [{ object, why: `the log ${where} is missing` }];
}

/** Log backups of SQL Server have a file beside each that says whose log it is, from where on. */
function findUndescribed(
  { folder: object, start }: ChainedFile,
  described: ReadonlySet<string>,
): readonly LogProblem[] {
  if (start.engine !== 'sqlserver' || described.has(formatLogPosition(start))) return [];
  return [{ object, why: 'what is known of it is missing: no restore can use it' }];
}

const placeOf = ({ startPosition }: PieceObject['file']): string =>
  formatLogPosition(startPosition);

/** The last segment of a timeline is never completed. */
function isNewBranch(end: LogPosition, start: LogPosition): boolean {
  return (
    end.engine === 'postgresql' && start.engine === 'postgresql' && start.timeline > end.timeline
  );
}

function findIntervalGaps({ place, intervals }: StreamParts): readonly LogProblem[] {
  return intervals.slice(1).flatMap(({ sequence, interval }, index) => {
    const before = intervals[index];
    if (!before) return [];
    if (before.sequence + 1 !== sequence) {
      return [{ object: intervalObject(place, before.sequence + 1), why: 'it is missing' }];
    }
    if (!interval || !before.interval) return [];
    if (!isLogMissing(before.interval.endPosition, interval.startPosition)) return [];
    const starts = formatLogPosition(interval.startPosition);
    const ends = formatLogPosition(before.interval.endPosition);
    const why = `it begins at ${starts}, and the one before ends at ${ends}`;
    return [{ object: intervalObject(place, sequence), why }];
  });
}

function findLostFiles(
  { place, pieces }: StreamParts,
  { files, name, endPosition }: LogInterval,
  logs: ReadonlyMap<string, ChainedFile>,
): readonly LogProblem[] {
  const known = new Set(pieces.map(({ file }) => file.name));
  const lost = files.filter((file) => !known.has(file));
  if (lost.length > 0) {
    return lost.map((file) => ({
      object: logFileFolder(place, file),
      why: `it is missing, and ${name} needs it`,
    }));
  }
  const last = files.map((file) => logs.get(file)).findLast((file) => file !== undefined);
  const end = last?.chain.end;
  if (!last || (end && compareLogPositions(end, endPosition) >= 0)) return [];
  const why = `${name} needs it up to ${formatLogPosition(endPosition)}, which is missing`;
  return [{ object: last.folder, why }];
}

/** Intervals that have bytes of a log file. */
export function backupsOf(
  object: string,
  intervals: StreamParts['intervals'],
): readonly BackupId[] {
  const [, , , , , fileName = ''] = object.split('/');
  return intervals.flatMap(({ interval }) =>
    interval?.files.includes(fileName) ? [interval.backupId] : [],
  );
}
