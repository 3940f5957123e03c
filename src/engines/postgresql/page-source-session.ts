// The connection that a backup by SQL hangs on (PostgreSQL documentation, chapter "Continuous
// Archiving and Point-in-Time Recovery", "Making a Base Backup Using the Low Level API"): it holds
// the temporary slot that keeps the log and the backup mode. When it ends, for whatever reason, the
// server drops both.

import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { parseLsn } from '../../model/log-position.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { ReplicationStream } from './replication-stream.ts';
import { quoteText } from './sql-text.ts';

export type SessionParts = Parameters<typeof ReplicationStream.open>[1] & {
  /** `pg_backup_start` writes a checkpoint, a listing may be long: longer than other silences. */
  readonly slowTimeoutMs: number;
  readonly silenceTimeoutMs: number;
};

export type ClusterFacts = {
  readonly systemIdentifier: string;
  /** `version()`. */
  readonly versionText: string;
  /** The server's own folder in a tablespace. */
  readonly tablespaceFolder: string;
  /** Blocks in one file of a relation. */
  readonly segmentBlocks: number;
  /** Permission bits of folders; files have them without execution. */
  readonly folderMode: number;
  readonly fullPageWrites: boolean;
  /** Null when it is hidden from the role. */
  readonly dataDirectory: string | null;
  readonly isLittleEndian: boolean;
  /** Connections that ordinary roles may still open. */
  readonly freeConnections: number;
};

export type StartedBackup = {
  readonly position: PostgresLogPosition;
  /** The server's clock before. */
  readonly clockMs: number;
};

export type FoundTablespace = {
  readonly oid: string;
  /** Absolute; relative for one that lies below `pg_tblspc` itself. */
  readonly location: string;
};

export type StoppedBackup = {
  readonly position: PostgresLogPosition;
  /** The contents of `backup_label` and `tablespace_map`. */
  readonly label: string;
  readonly tablespaceMap: string;
};

type Row = readonly (string | null)[];

// What an administrator may have set for all sessions must not end this one, nor lead it astray.
const sessionSettings = {
  bytea_output: 'hex',
  client_min_messages: 'warning',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  jit: 'off',
  search_path: 'pg_catalog',
  standard_conforming_strings: 'on',
  statement_timeout: '0',
} as const;

/** @throws engine-unreachable, engine-refused, cancelled */
export async function openSqlStream(
  connection: Connection,
  parts: SessionParts,
): Promise<ReplicationStream> {
  const stream = await ReplicationStream.open(connection, { ...parts, protocol: 'sql' });
  const settings = Object.entries(sessionSettings).map(([name, value]) => `set ${name} = ${value}`);
  const { silenceTimeoutMs } = parts;
  await stream.query(settings.join('; '), {
    purpose: 'the settings of a connection',
    ...{ firstByteTimeoutMs: silenceTimeoutMs, silenceTimeoutMs },
  });
  return stream;
}

export class PageSession implements AsyncDisposable {
  readonly #stream: ReplicationStream;
  readonly #parts: SessionParts;

  static async open(connection: Connection, parts: SessionParts): Promise<PageSession> {
    return new PageSession(await openSqlStream(connection, parts), parts);
  }

  private constructor(stream: ReplicationStream, parts: SessionParts) {
    this.#stream = stream;
    this.#parts = parts;
  }

  /** Runs one statement. */
  async rows(statement: string, purpose: string): Promise<readonly Row[]> {
    const { slowTimeoutMs, silenceTimeoutMs } = this.#parts;
    const limits = { firstByteTimeoutMs: slowTimeoutMs, silenceTimeoutMs };
    const results = await this.#stream.query(statement, { purpose, ...limits });
    return results[0]?.rows ?? [];
  }

  async readFacts(major: number): Promise<ClusterFacts> {
    const setting = (name: string): string =>
      `(select setting from pg_settings where name = '${name}')`;
    const [row] = await this.rows(
      `select system_identifier, catalog_version_no, version(), ${setting('segment_size')},
         ${setting('data_directory_mode')}, ${setting('full_page_writes')},
         ${setting('data_directory')}, pg_read_binary_file('global/pg_control', 0, 8, false),
         ${setting('max_connections')}::int - ${setting('superuser_reserved_connections')}::int
           - coalesce(${setting('reserved_connections')}::int, 0)
           - (select sum(numbackends) from pg_stat_database)
       from pg_control_system()`,
      'the facts of the server',
    );
    const [id, catalogVersion, versionText, segmentBlocks, mode, fullPages, ...rest] = row ?? [];
    const [dataDirectory = null, controlHead, free] = rest;
    return {
      systemIdentifier: id ?? '',
      versionText: versionText ?? '',
      tablespaceFolder: `PG_${major}_${catalogVersion}`,
      segmentBlocks: Number(segmentBlocks),
      folderMode: Number.parseInt(mode ?? '0700', 8),
      fullPageWrites: fullPages === 'on',
      dataDirectory,
      isLittleEndian: readLittleEndian(controlHead ?? '') === id,
      freeConnections: Number(free),
    };
  }

  /** The server's own two have no folder of their own. */
  async readTablespaces(): Promise<readonly FoundTablespace[]> {
    const rows = await this.rows(
      `select oid, location from pg_tablespace, pg_tablespace_location(oid) as location
       where location <> '' order by oid`,
      'the list of tablespaces',
    );
    return rows.map(([oid, location]) => ({ oid: oid ?? '', location: location ?? '' }));
  }

  /** Until the connection ends no log that the backup needs can vanish. */
  async createSlot(name: string): Promise<void> {
    await this.rows(
      `select pg_create_physical_replication_slot(${quoteText(name)}, true, true)`,
      'the replication slot',
    );
  }

  async dropSlot(name: string): Promise<void> {
    await this.rows(`select pg_drop_replication_slot(${quoteText(name)})`, 'the replication slot');
  }

  async startBackup(label: string): Promise<StartedBackup> {
    const [clock] = await this.rows(
      'select floor(extract(epoch from clock_timestamp()) * 1000)::bigint',
      "the server's clock",
    );
    const [row] = await this.rows(
      `select lsn, pg_walfile_name(lsn) from pg_backup_start(${quoteText(label)}, true) as lsn`,
      'the start of the backup',
    );
    return { clockMs: Number(clock?.[0]), position: readPosition(row, 'start') };
  }

  /** The server writes the end of the backup into its log and goes on to the next segment. */
  async stopBackup(): Promise<StoppedBackup> {
    const [row] = await this.rows(
      'select lsn, pg_walfile_name(lsn), labelfile, spcmapfile from pg_backup_stop(false)',
      'the end of the backup',
    );
    const position = readPosition(row, 'stop');
    const label = row?.[2];
    if (!label) throw new CairnError('engine-refused', 'the server gave no backup label');
    return { position, label, tablespaceMap: row?.[3] ?? '' };
  }

  /** Null when the file is gone. */
  async readBytes(path: string, offsetBytes: number, sizeBytes: number): Promise<Buffer | null> {
    const range = `${quoteText(path)}, ${offsetBytes}, ${sizeBytes}, true`;
    const [row] = await this.rows(
      `select pg_read_binary_file(${range})`,
      `the base backup at ${path}`,
    );
    const text = row?.[0];
    return text === null || text === undefined ? null : Buffer.from(text.slice(2), 'hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stream[Symbol.asyncDispose]();
  }
}

/** The first digits of a segment's name are the timeline. */
function readPosition(row: Row | undefined, which: string): PostgresLogPosition {
  const lsn = parseLsn(row?.[0] ?? '');
  const timeline = Number.parseInt((row?.[1] ?? '').slice(0, 8), 16);
  if (lsn !== null && timeline > 0) return { engine: 'postgresql', timeline, lsn };
  throw new CairnError('engine-refused', `the server did not tell the ${which} of the backup`);
}

/** `pg_control` begins with the system identifier, in the machine's byte order. */
function readLittleEndian(hex: string): string {
  const bytes = Buffer.from(hex.slice(2), 'hex');
  return bytes.length === 8 ? bytes.readBigUInt64LE(0).toString() : '';
}
