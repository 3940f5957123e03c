// The physical backup: the vendor's program copies the files of a running server into a stream, and
// with them the log that makes them consistent when the backup is prepared (MariaDB documentation,
// "mariadb-backup Overview"; Percona XtraBackup documentation, "How XtraBackup works"). It counts
// only when the program says so, the stream is whole, and the log that it copied is that of the
// server which we are connected to.
//
// XtraBackup has never been run here: what it is given and what it sends is taken from its
// documentation.
import { basename } from 'node:path';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { releaseMemory } from '../../platform/release-memory.ts';
import type { BaseBackupOptions, BaseBackupResult } from '../engine.ts';
import { listContents } from './backup-contents.ts';
import type { BackupInformation } from './backup-information.ts';
import { isInformationFile, parseInformation, withoutSecrets } from './backup-information.ts';
import type { StartSettings } from './backup-notes.ts';
import { readEncryptionPlugin, readStartSettings, toEngineNotes } from './backup-notes.ts';
import type { Query } from './connection.ts';
import { withQueries } from './connection.ts';
import type { DataFolder, FolderLook } from './data-folder.ts';
import { estimateBytes, lookAtDataFolder } from './data-folder.ts';
import type { Flavor, FlavoredVersion } from './flavor.ts';
import { noLogPosition } from './log-position.ts';
import { readBinlogEnd } from './log-server.ts';
import { readFlavor, readSystemIdentifier } from './server-identity.ts';
import { StreamFiles } from './stream-files.ts';
import { runBackupTool } from './tool-run.ts';
import { XbstreamReader } from './xbstream.ts';

export type BaseBackupParts = {
  readonly clock: Clock;
  readonly random: Random;
  /** The backup program of that series, absolute. @throws engine-refused naming what to install */
  readonly findProgram: (serverVersion: string) => Promise<string>;
  readonly silenceMs?: number;
};

type ServerFacts = FlavoredVersion & {
  readonly systemIdentifier: string;
  readonly settings: StartSettings;
  readonly encryptionPlugin: string | null;
  readonly binlogName: string | null;
  readonly startPosition: LogPosition;
  readonly look: FolderLook;
};

/** The log that the program has copied; without it the files are of different moments. */
const logFiles: Readonly<Record<Flavor, string>> = {
  mariadb: 'ib_logfile0',
  mysql: 'xtrabackup_logfile',
};

/** A session that holds a table locked makes the backup wait, and DDL of others behind it. */
const lockWaitSeconds = 600;
const defaultSilenceMs = 20 * 60_000;

/** @throws engine-unreachable, engine-refused, cancelled; whatever the sink throws */
export async function takeBaseBackup(
  connection: Connection,
  options: BaseBackupOptions,
  parts: BaseBackupParts,
): Promise<BaseBackupResult> {
  const { signal, log } = options;
  const server = await withQueries(connection, { signal }, (query) =>
    lookAtServer(query, connection, { ...parts, signal }),
  );
  if (server.look.kind !== 'here') throw refuseFolder(server.look);
  const program = await parts.findProgram(server.serverVersion);
  const { folder } = server.look;
  log.info({ program, dataDir: folder.path }, 'the backup program copies the files of the server');
  const files = await receive(connection, options, { ...parts, server, folder, program });
  const { hasBinaryLog, ...information } = readInformation(files, server);
  await withQueries(connection, { signal }, (query) => assertSameLog(query, information));
  return {
    serverVersion: server.serverVersion,
    systemIdentifier: server.systemIdentifier,
    startPosition: server.startPosition,
    stopPosition: information.position ?? noLogPosition,
    lastLogFile: logFiles[server.flavor],
    notes: toEngineNotes({
      version: 1,
      kind: 'physical',
      flavor: server.flavor,
      pageSizeBytes: Number(server.settings.innodb_page_size),
      hasBinaryLog,
      encryptionPlugin: server.encryptionPlugin,
      toolVersion: information.toolVersion,
      log: { toLsn: String(information.toLsn), lastLsn: String(information.lastLsn) },
      settings: server.settings,
    }),
    contents: await listContents(connection, { signal, log }),
  };
}

type ReceiveParts = BaseBackupParts & {
  readonly server: ServerFacts;
  readonly folder: DataFolder;
  readonly program: string;
};

async function receive(
  connection: Connection,
  { sink, signal, onProgress }: BaseBackupOptions,
  { server, folder, program, clock, silenceMs = defaultSilenceMs }: ReceiveParts,
): Promise<StreamFiles> {
  const files = new StreamFiles({
    sink,
    innodbPageBytes: Number(server.settings.innodb_page_size),
    modifiedAt: clock.now(),
    isInformation: isInformationFile,
    filterOf: withoutSecrets,
  });
  const reader = new XbstreamReader(server.flavor === 'mysql' ? 'percona' : 'mariadb', files);
  const totalBytes = await estimateBytes(folder.path, server.binlogName);
  onProgress(0, totalBytes);
  // Without a password it is who asks that the server looks at (unix_socket), and that are we.
  const identity = connection.password === null ? null : folder.owner;
  await runBackupTool({
    ...{ program, connection, signal, silenceMs, identity },
    args: planToolArguments({ flavor: server.flavor, user: connection.user, folder }),
    take: async (bytes) => {
      await reader.push(bytes);
      releaseMemory(bytes);
      onProgress(files.doneBytes, totalBytes);
    },
  });
  reader.end();
  files.assertWhole();
  return files;
}

/** Pure. Read from no option file: those of a host may be for another server. */
export function planToolArguments({
  flavor,
  user,
  folder,
}: {
  readonly flavor: Flavor;
  readonly user: string;
  readonly folder: Pick<DataFolder, 'path' | 'socketPath'>;
}): readonly string[] {
  const own: Readonly<Record<Flavor, readonly string[]>> = {
    // Commits wait until the thread that copies the log looks up: 36 ms instead of up to 990 ms.
    mariadb: ['--log-copy-interval=100', `--loose-startup-wait-timeout=${lockWaitSeconds}`],
    mysql: [`--backup-lock-timeout=${lockWaitSeconds}`],
  };
  return [
    '--no-defaults',
    '--backup',
    '--stream=xbstream',
    ...own[flavor],
    `--user=${user}`,
    `--socket=${folder.socketPath}`,
    `--datadir=${folder.path}`,
  ];
}

async function lookAtServer(
  query: Query,
  connection: Connection,
  parts: Pick<BaseBackupParts, 'random'> & { readonly signal: AbortSignal },
): Promise<ServerFacts> {
  const version = await readFlavor(query);
  const [row] = await query(
    'select @@global.log_bin as log_bin, @@global.log_bin_basename as binlog_path',
  );
  const hasBinaryLog = Number(row?.['log_bin']) === 1;
  return {
    ...version,
    systemIdentifier: await readSystemIdentifier(query, version.flavor),
    settings: await readStartSettings(query),
    encryptionPlugin: await readEncryptionPlugin(query),
    binlogName: hasBinaryLog ? basename(String(row?.['binlog_path'])) : null,
    // The program would look at the end only whether we may ask for this.
    startPosition: hasBinaryLog
      ? { engine: 'mysql', ...(await readBinlogEnd(query, version.flavor)), gtidSet: null }
      : noLogPosition,
    look: await lookAtDataFolder(query, connection, parts),
  };
}

function readInformation(
  files: StreamFiles,
  { flavor, binlogName }: ServerFacts,
): BackupInformation & { readonly hasBinaryLog: boolean } {
  if (!files.ended.has(logFiles[flavor])) {
    throw new CairnError(
      'engine-refused',
      `the backup is not whole: ${logFiles[flavor]} is missing`,
      {
        hint: 'take the backup again; the log of the server may say what happened',
      },
    );
  }
  const hasBinaryLog = binlogName !== null;
  return { ...parseInformation(files.information, { hasBinaryLog }), hasBinaryLog };
}

/**
 * The log of the server is at least where that of the backup ends, and not before where it began.
 * Another server's would end elsewhere. @throws engine-refused
 */
async function assertSameLog(query: Query, { toLsn, lastLsn }: { toLsn: bigint; lastLsn: bigint }) {
  const rows = await query(
    `show global status where variable_name in
       ('Innodb_lsn_current', 'Innodb_redo_log_current_lsn')`,
  );
  const text = String(rows[0]?.['Value'] ?? '');
  // Old servers do not tell.
  if (!/^\d+$/.test(text)) return;
  const nowLsn = BigInt(text);
  if (toLsn <= lastLsn && lastLsn <= nowLsn) return;
  throw new CairnError(
    'engine-refused',
    `the backup is of another server: its log ends at ${lastLsn}, the server's at ${nowLsn}`,
    { hint: 'check which server the data folder on this host belongs to' },
  );
}

function refuseFolder({ reason, hint }: Exclude<FolderLook, { kind: 'here' }>): CairnError {
  return new CairnError('engine-refused', `the files of the server cannot be read: ${reason}`, {
    hint: `${hint}; without, a logical backup can be taken`,
  });
}
