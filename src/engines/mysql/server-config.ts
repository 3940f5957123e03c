// How a restored server is configured (MariaDB documentation, "Configuring MariaDB with Option
// Files"; "Server System Variables"). A backup holds no configuration file of its server: the
// settings come from the notes and from `backup-my.cnf`, and ours come last, which wins. They keep
// a copy away from where its backup came from: it follows no other server, fires no events and
// listens on this machine only. Settings that only some versions know are `loose_`. Pure: texts
// only.
import { CairnError } from '../../model/errors.ts';

export type Settings = Readonly<Record<string, string>>;
/** Null stands for a switch, which takes no value. */
export type Options = Readonly<Record<string, string | null>>;

/**
 * `isolated`: reached over its private socket only, writes no binary log. `open`: listens on its
 * port on this machine, and writes a log of its own, so that it can be archived in its turn.
 */
export type ServerMode =
  | { readonly kind: 'isolated' }
  | { readonly kind: 'open'; readonly port: number };

export type ConfigInput = {
  readonly homeDir: string;
  readonly socketPath: string;
  readonly mode: ServerMode;
  /** Of the server that was backed up. */
  readonly settings: Settings;
  readonly serverId: number;
  /** Read before ours: where keys are, and what else this machine knows; null for none. */
  readonly extraConfigFile: string | null;
  /** Statements that the server executes before anybody is let in; null for none. */
  readonly initFile: string | null;
  readonly memoryBytes: number;
};

/** Who archives the log of a restored server has this long to come back. */
const binlogKeepSeconds = 7 * 24 * 3600;

/** Folders of production, and what the backup tool adds for itself. */
const foreignSettings = new Set([
  ...['plugin_dir', 'innodb_data_home_dir', 'innodb_undo_directory', 'innodb_log_group_home_dir'],
  ...['server_id', 'server_uuid', 'master_key_id', 'redo_log_version', 'innodb_log_checksums'],
  ...['innodb_log_checksum_algorithm', 'innodb_fast_checksum', 'innodb_log_block_size'],
  ...['innodb_log_files_in_group', 'innodb_compression_level', 'innodb_checksum_algorithm'],
]);

/** What a server needs of `backup-my.cnf`, which the backup tool has written, by variable. */
export function parseBackupConfig(text: string): Settings {
  const settings: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Za-z][\w-]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) continue;
    const [, name = '', value = ''] = match;
    const key = name.replaceAll('-', '_').toLowerCase();
    // An empty one is a default, which cannot be given again.
    if (value !== '') settings[key] = value.replace(/^"(.*)"$/, '$1');
  }
  return localSettings(settings);
}

/** Without what leads to folders of the old server: its data files lie in one folder here. */
export function localSettings(settings: Settings): Settings {
  const local = Object.entries(settings)
    .filter(([name]) => !foreignSettings.has(name))
    .map(([name, value]) => [name, name === dataFilesName ? withoutFolders(value) : value]);
  return Object.fromEntries(local);
}

const dataFilesName = 'innodb_data_file_path';

/** `/srv/ibdata1:12M;ibdata2:50M:autoextend` becomes `ibdata1:12M;ibdata2:50M:autoextend`. */
function withoutFolders(dataFilePath: string): string {
  return dataFilePath
    .split(';')
    .map((part) => part.replace(/^.*\//, ''))
    .join(';');
}

/** The option file of the server. @throws invalid when a value cannot be written */
export function formatServerConfig(input: ConfigInput): string {
  const { extraConfigFile, settings } = input;
  const include = extraConfigFile === null ? '' : `!include ${checkLine(extraConfigFile)}\n`;
  return (
    `# Written by Cairn for a restored server, anew at each start.\n` +
    `[mysqld]\n${formatOptions({ ...settings, ...fitMemory(input) })}${include}` +
    `[mysqld]\n${formatOptions(ownSettings(input))}`
  );
}

/** Lines of an option file. */
function formatOptions(options: Options): string {
  return Object.entries(options)
    .map(([name, value]) => (value === null ? `${name}\n` : `${name}="${quoteValue(value)}"\n`))
    .join('');
}

/** The port is told here, too: who looks at the process sees where it is reached. */
export function serverArguments(configPath: string, dataDir: string, mode: ServerMode): string[] {
  const port = mode.kind === 'open' ? [`${portOption}${mode.port}`] : [];
  return [`--defaults-file=${configPath}`, `${dataDirOption}${dataDir}`, ...port];
}

export const dataDirOption = '--datadir=';
export const portOption = '--port=';
/** Of the backup tool. */
export const targetDirOption = '--target-dir=';

/** Settings that keep a copy quiet, whoever starts it. */
export const quietSettings: Options = {
  skip_slave_start: null,
  // Not `DISABLED`, in which no dump can read the events.
  event_scheduler: 'OFF',
  read_only: 'OFF',
  loose_super_read_only: 'OFF',
  loose_require_secure_transport: 'OFF',
  loose_wsrep_on: 'OFF',
  loose_mysqlx: 'OFF',
  loose_persisted_globals_load: 'OFF',
  // A table with a DATA DIRECTORY would be made anew where the old server has its own.
  loose_skip_symbolic_links: null,
};

/**
 * Engines whose rows are on another server: what is replayed was done there already. Without them
 * the replay fails on such a table, and touches nothing.
 */
const withoutRemoteTables: Options = {
  loose_federated: 'OFF',
  loose_spider: 'OFF',
};

function ownSettings({ homeDir, socketPath, mode, serverId, initFile }: ConfigInput): Options {
  return {
    ...quietSettings,
    socket: socketPath,
    pid_file: `${homeDir}/server.pid`,
    tmpdir: `${homeDir}/tmp`,
    server_id: String(serverId),
    lc_messages: 'en_US',
    ...(initFile === null ? {} : { init_file: initFile }),
    ...(mode.kind === 'isolated'
      ? { skip_networking: null, skip_log_bin: null, ...withoutRemoteTables }
      : {
          bind_address: '127.0.0.1',
          log_bin: 'bin',
          binlog_format: 'ROW',
          sync_binlog: '1',
          loose_binlog_checksum: 'CRC32',
          loose_binlog_expire_logs_seconds: String(binlogKeepSeconds),
        }),
  };
}

/** Production's buffers may be larger than this host: then an eighth of its memory. */
function fitMemory({ settings, memoryBytes }: ConfigInput): Settings {
  const wantedBytes = Number(settings['innodb_buffer_pool_size'] ?? 0);
  if (!(wantedBytes > memoryBytes / 4)) return {};
  return { innodb_buffer_pool_size: String(Math.floor(memoryBytes / 8)) };
}

function quoteValue(text: string): string {
  return checkLine(text).replaceAll('\\', '\\\\');
}

function checkLine(text: string): string {
  if (!/[\n\r\0]/.test(text)) return text;
  throw new CairnError('invalid', `a setting of the server has a line break: ${text.slice(0, 60)}`);
}
