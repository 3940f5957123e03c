// The base backup (PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Streaming
// Replication Protocol"): a temporary slot keeps the WAL, BASE_BACKUP streams files, WAL and
// manifest in one COPY, and the backup counts only when every announced file and every WAL segment
// of the range came whole.

import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { parseLsn } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import type { BaseBackupOptions, BaseBackupResult } from '../engine.ts';
import { ArchiveReceiver } from './archive-receiver.ts';
import type { ResultSet, ServerReport } from './backend-messages.ts';
import type { Tablespace } from './backup-notes.ts';
import { toEngineNotes } from './backup-notes.ts';
import { withQueries } from './connection.ts';
import type { IncrementSink } from './increment-sink.ts';
import type { PostgresLogPosition } from './log-position.ts';
import { verifyLogRange } from './log-position.ts';
import { ReplicationStream } from './replication-stream.ts';
import type { ServerSettings } from './server-settings.ts';
import { majorVersionMin, pickStartSettings, readServerSettings } from './server-settings.ts';
import { quoteText } from './sql-text.ts';

export type BackupLimits = {
  /** Until the first byte: a checkpoint of a busy server may take long. */
  readonly firstByteTimeoutMs: number;
  /** Silence of the server at any later time. */
  readonly silenceTimeoutMs: number;
};

export const defaultLimits: BackupLimits = {
  firstByteTimeoutMs: 60 * 60_000,
  silenceTimeoutMs: 5 * 60_000,
};

export type BaseBackupParts = {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: BackupLimits;
};

const commandTimeoutMs = 60_000;
const labelCharactersMax = 200;
const dataCorrupted = 'XX001';

/** @throws engine-unreachable, engine-refused, log-gap, cancelled; whatever the sink throws */
export async function takeBaseBackup(
  connection: Connection,
  options: BaseBackupOptions,
  parts: BaseBackupParts,
): Promise<BaseBackupResult> {
  const { signal, log } = options;
  const settings = await withQueries(connection, { signal }, readServerSettings);
  assertSupported(settings);
  const streamOptions = { signal, log, clock: parts.clock };
  await using stream = await ReplicationStream.open(connection, streamOptions);
  const system = await identifySystem(stream);
  await createSlot(stream, parts.random);
  return await receiveBackup(stream, { ...parts, ...system, settings, increment: null }, options);
}

export type StreamScene = BaseBackupParts & {
  readonly settings: ServerSettings;
  readonly systemIdentifier: string;
  /** The server has the manifest that it shall send an increment to; null: it sends everything. */
  readonly increment: IncrementSink | null;
};

/** Asks for the backup and takes it; the slot is there. @throws as `takeBaseBackup` */
export async function receiveBackup(
  stream: ReplicationStream,
  scene: StreamScene,
  options: BaseBackupOptions,
): Promise<BaseBackupResult> {
  const { settings, systemIdentifier } = scene;
  const { results, receiver } = await receive(stream, scene, options);
  const start = readPosition(results[0], 'start');
  const stop = readPosition(results.at(-1), 'stop');
  const lastLogFile = verifyLogRange({ start, stop }, settings.walSegmentBytes, receiver.received);
  return {
    serverVersion: settings.serverVersion,
    systemIdentifier,
    startPosition: start,
    stopPosition: stop,
    lastLogFile,
    notes: toEngineNotes({
      version: 1,
      blockSizeBytes: settings.blockSizeBytes,
      walSegmentBytes: settings.walSegmentBytes,
      timeline: stop.timeline,
      systemIdentifier,
      dataChecksums: settings.dataChecksums,
      fromStandby: settings.isInRecovery,
      superuser: settings.superuser,
      tablespaces: readTablespaces(results[1]),
      startClockMs: settings.clockMs,
      serverStartMs: settings.serverStartMs,
      settings: pickStartSettings(settings),
    }),
  };
}

async function receive(
  stream: ReplicationStream,
  { settings, increment, clock, limits }: StreamScene,
  options: BaseBackupOptions,
): Promise<{ results: readonly ResultSet[]; receiver: ArchiveReceiver }> {
  const receiver = new ArchiveReceiver({
    sink: increment ?? options.sink,
    toStored: async (manifest) => (await increment?.toWholeManifest(manifest)) ?? manifest,
    blockSizeBytes: settings.blockSizeBytes,
    estimateBytes: (results) => readEstimate(results[1]),
    onProgress: (doneBytes, totalBytes) => {
      options.onProgress(doneBytes + (increment?.keptBytes ?? 0), totalBytes);
    },
    now: () => clock.now(),
  });
  try {
    const command = backupCommand(options.label, increment ? ['INCREMENTAL'] : []);
    const results = await stream.query(command, {
      purpose: 'the base backup',
      receiver,
      ...limits,
    });
    await receiver.end();
    return { results, receiver };
  } catch (error) {
    throw explainDamage(error, stream.notices);
  }
}

/** @throws engine-refused */
export function assertSupported(settings: ServerSettings): void {
  if (settings.major < majorVersionMin) {
    const text = `PostgreSQL ${settings.serverVersion} is too old for backups`;
    throw new CairnError('engine-refused', text, {
      hint: `upgrade the server to PostgreSQL ${majorVersionMin} or newer`,
    });
  }
  if (settings.values.wal_level === 'minimal') {
    throw new CairnError('engine-refused', 'the server cannot be backed up: wal_level is minimal', {
      hint: 'set wal_level = replica and restart',
    });
  }
}

export async function identifySystem(
  stream: ReplicationStream,
): Promise<{ systemIdentifier: string }> {
  const results = await stream.query('IDENTIFY_SYSTEM', commandLimits('the system identification'));
  return { systemIdentifier: readCell(results[0], 'systemid') };
}

/** The slot goes away with the connection; until then no WAL that the backup needs can vanish. */
export async function createSlot(stream: ReplicationStream, random: Random): Promise<void> {
  const name = `cairn_${random.hex(8)}`;
  await stream.query(
    `CREATE_REPLICATION_SLOT "${name}" TEMPORARY PHYSICAL (RESERVE_WAL)`,
    commandLimits('the replication slot'),
  );
}

export function commandLimits(purpose: string): Parameters<ReplicationStream['query']>[1] {
  return { purpose, firstByteTimeoutMs: commandTimeoutMs, silenceTimeoutMs: commandTimeoutMs };
}

function backupCommand(label: string, more: readonly string[]): string {
  const clean = label.replace(/\p{Cc}/gu, ' ').slice(0, labelCharactersMax);
  const options = [
    `LABEL ${quoteText(clean)}`,
    'PROGRESS',
    "CHECKPOINT 'fast'",
    'WAL',
    'WAIT false',
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'CRC32C'",
    'VERIFY_CHECKSUMS true',
    'TABLESPACE_MAP',
    ...more,
  ];
  return `BASE_BACKUP (${options.join(', ')})`;
}

/** The server names damaged files in warnings, and refuses at the end without a name. */
function explainDamage(error: unknown, notices: readonly ServerReport[]): unknown {
  if (!(error instanceof CairnError) || error.details.code !== dataCorrupted) return error;
  const warnings = notices.filter((notice) => notice.severity === 'WARNING');
  const files = new Set(warnings.flatMap((notice) => namedFiles(notice.message)));
  const names = files.size > 0 ? [...files].join(', ') : 'no file was named';
  return new CairnError('engine-refused', `the server found damaged pages: ${names}`, {
    hint: 'find the tables with pg_amcheck, and restore them from the last proven backup',
    details: { code: dataCorrupted, warnings: warnings.map((item) => item.message).join('; ') },
    cause: error,
  });
}

/** Names are quoted in every language that the server speaks, with its own marks. */
function namedFiles(text: string): string[] {
  return [...text.matchAll(/["«„“]\s?([^"»”“]+?)\s?["»”“]/g)].map((match) => match[1] ?? '');
}

function readPosition(result: ResultSet | undefined, which: string): PostgresLogPosition {
  const [lsnText, timelineText] = result?.rows[0] ?? [];
  const lsn = parseLsn(lsnText ?? '');
  const timeline = Number(timelineText);
  if (lsn !== null && Number.isSafeInteger(timeline) && timeline > 0) {
    return { engine: 'postgresql', timeline, lsn };
  }
  throw new CairnError('engine-refused', `the server did not tell the ${which} of the backup`);
}

function readTablespaces(result: ResultSet | undefined): Tablespace[] {
  const tablespaces: Tablespace[] = [];
  for (const [oid, location, size] of result?.rows ?? []) {
    if (!oid || !location) continue;
    tablespaces.push({ oid, location, sizeBytes: Number(size ?? 0) * 1024 });
  }
  return tablespaces;
}

/** The sizes are in kB; the data folder is the row without an OID. */
function readEstimate(result: ResultSet | undefined): number | null {
  const sizes = result?.rows.map((row) => Number(row[2] ?? Number.NaN)) ?? [];
  const sum = sizes.reduce((total, size) => total + size, 0);
  return sizes.length > 0 && Number.isFinite(sum) ? sum * 1024 : null;
}

function readCell(result: ResultSet | undefined, column: string): string {
  const value = result?.rows[0]?.[result.columns.indexOf(column)];
  if (value) return value;
  throw new CairnError('engine-refused', `the server did not tell its ${column}`);
}
