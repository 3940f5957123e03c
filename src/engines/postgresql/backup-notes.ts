// What a restore must know about the server that a backup came from: kept in the backup's manifest
// as JSON, so it is parsed like any text from outside.
import { CairnError } from '../../model/errors.ts';
import type { EngineNotes } from '../engine.ts';

export type Tablespace = {
  readonly oid: string;
  /** Absolute on the old server; relative for one that lies inside the data folder. */
  readonly location: string;
  /** The server's estimate. */
  readonly sizeBytes: number;
};

export type PostgresNotes = {
  readonly version: 1;
  readonly blockSizeBytes: number;
  readonly walSegmentBytes: number;
  readonly timeline: number;
  readonly systemIdentifier: string;
  readonly dataChecksums: boolean;
  /** The backup was taken from a standby. */
  readonly fromStandby: boolean;
  /** Whoever ran initdb: the one role that every cluster has. Older backups do not tell it. */
  readonly superuser: string;
  readonly tablespaces: readonly Tablespace[];
  /**
   * The server's clock before the backup began, in epoch milliseconds: a file last written before
   * is in the backup as it was written. Older backups do not tell it.
   */
  readonly startClockMs: number | null;
  /**
   * When the server was started, in epoch milliseconds: while it is the same, so is the history of
   * the log. Older backups do not tell it.
   */
  readonly serverStartMs: number | null;
  /** Settings a server needs to start on the files, as `pg_settings` gives them. */
  readonly settings: Readonly<Record<string, string>>;
};

export function toEngineNotes(notes: PostgresNotes): EngineNotes {
  return { ...notes };
}

/** @throws repository-damaged; invalid for a logical backup: nothing can be started on it */
export function parseNotes(notes: EngineNotes): PostgresNotes {
  if (notes.kind === 'logical') throw notWholeServer();
  const { version, tablespaces, settings } = notes;
  if (version !== 1) throw damaged('version', version);
  if (!Array.isArray(tablespaces)) throw damaged('tablespaces', tablespaces);
  if (typeof settings !== 'object' || settings === null) throw damaged('settings', settings);
  return {
    version,
    blockSizeBytes: readNumber(notes, 'blockSizeBytes'),
    walSegmentBytes: readNumber(notes, 'walSegmentBytes'),
    timeline: readNumber(notes, 'timeline'),
    systemIdentifier: readText(notes, 'systemIdentifier'),
    dataChecksums: notes.dataChecksums === true,
    fromStandby: notes.fromStandby === true,
    superuser: notes.superuser === undefined ? 'postgres' : readText(notes, 'superuser'),
    tablespaces: tablespaces.map(readTablespace),
    startClockMs: readMoment(notes, 'startClockMs'),
    serverStartMs: readMoment(notes, 'serverStartMs'),
    settings: Object.fromEntries(
      Object.entries(settings).filter((entry): entry is [string, string] => {
        return /^[a-z_]+$/.test(entry[0]) && typeof entry[1] === 'string';
      }),
    ),
  };
}

function notWholeServer(): CairnError {
  return new CairnError('invalid', 'the backup holds single databases, not a server', {
    reason: 'databases-not-offered',
    hint: 'restore its databases into an instance that runs: cairn restore --database … --into',
  });
}

function readTablespace(value: unknown): Tablespace {
  if (typeof value !== 'object' || value === null) throw damaged('tablespaces', value);
  const record = value as Record<string, unknown>;
  const oid = readText(record, 'oid');
  if (!/^\d{1,10}$/.test(oid)) throw damaged('oid', oid);
  const location = readText(record, 'location');
  return { oid, location, sizeBytes: readNumber(record, 'sizeBytes') };
}

/** Null in backups that do not tell it. */
function readMoment(notes: EngineNotes, name: string): number | null {
  return typeof notes[name] === 'number' ? readNumber(notes, name) : null;
}

function readNumber(record: Readonly<Record<string, unknown>>, name: string): number {
  const value = record[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw damaged(name, value);
}

function readText(record: Readonly<Record<string, unknown>>, name: string): string {
  const value = record[name];
  if (typeof value === 'string') return value;
  throw damaged(name, value);
}

function damaged(name: string, value: unknown): CairnError {
  const text = JSON.stringify(value) ?? 'missing';
  return new CairnError('repository-damaged', `the backup's PostgreSQL note ${name} is ${text}`);
}
