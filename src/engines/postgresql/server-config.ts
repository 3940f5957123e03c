// How a restored server is configured (PostgreSQL documentation, chapter "Server Configuration").
// Its files hold the settings of production, so everything that would reach back there, or leave
// the server's own folder, is overridden on the command line, which wins over every file: no
// archiving, no following of another server, no waiting for standbys, no sockets and logs
// elsewhere. Pure: texts only.
import type { PostgresNotes } from './backup-notes.ts';

export type ConfigInput = {
  readonly homeDir: string;
  readonly dataDir: string;
  readonly socketDir: string;
  readonly port: number;
  readonly major: number;
  readonly notes: PostgresNotes;
  /** The data folder came with its own `postgresql.conf`. */
  readonly hasOwnConfig: boolean;
  readonly memoryBytes: number;
  /** Settings of a recovery; they win. */
  readonly overrides?: Readonly<Record<string, string>>;
};

const numberPattern = /^-?\d+(\.\d+)?$/;

/**
 * `local` may trust because the socket's folder can be entered by nobody else; `md5` accepts SCRAM
 * too. Replication lets the restored server be backed up in its turn; from this machine only.
 */
export const hbaText = `# Written by Cairn for a restored server.
local   all         all               trust
host    all         all 127.0.0.1/32  md5
host    replication all 127.0.0.1/32  md5
`;

export const identText = '# Written by Cairn for a restored server: no maps.\n';

/** Settings that keep a restored server away from where its backup came from. */
export function isolationSettings(major: number): Record<string, string> {
  return {
    archive_mode: 'off',
    archive_command: '',
    ...(major >= 15 ? { archive_library: '' } : {}),
    archive_cleanup_command: '',
    restore_command: '',
    recovery_end_command: '',
    primary_conninfo: '',
    primary_slot_name: '',
    synchronous_standby_names: '',
    max_logical_replication_workers: '0',
    ...(major >= 17 ? { sync_replication_slots: 'off', synchronized_standby_slots: '' } : {}),
  };
}

/** The arguments of `postgres`. */
export function planServerArguments(input: ConfigInput): string[] {
  const { homeDir, dataDir } = input;
  const settings: Record<string, string> = {
    ...isolationSettings(input.major),
    // A file of production may point to production's own folders.
    data_directory: dataDir,
    hba_file: `${homeDir}/pg_hba.conf`,
    ident_file: `${homeDir}/pg_ident.conf`,
    external_pid_file: '',
    listen_addresses: '127.0.0.1',
    port: String(input.port),
    unix_socket_directories: quoteList(input.socketDir),
    unix_socket_permissions: '0700',
    unix_socket_group: '',
    ssl: 'off',
    bonjour: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    lc_messages: 'C',
    huge_pages: 'try',
    ...fitMemory(input),
    ...(input.hasOwnConfig ? {} : { config_file: `${homeDir}/postgresql.conf` }),
    ...input.overrides,
  };
  return [
    '-D',
    dataDir,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

/** For a server whose configuration lay outside its data folder, as Debian has it. */
export function formatConfig(notes: PostgresNotes): string {
  const text = formatSettings(notes.settings);
  return `# Written by Cairn from the settings of the backed-up server.\n${text}`;
}

/** Lines of a configuration file. */
export function formatSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${numberPattern.test(value) ? value : quote(value)}\n`)
    .join('');
}

/** A list setting: a folder with a comma or a blank in its name needs quotes of its own. */
function quoteList(folder: string): string {
  return `"${folder.replaceAll('"', '""')}"`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

/**
 * Production's buffers (counted in blocks) may be larger than this host: then an eighth of its
 * memory.
 */
function fitMemory({ notes, memoryBytes }: ConfigInput): Record<string, string> {
  const wantedBytes = Number(notes.settings.shared_buffers ?? 0) * notes.blockSizeBytes;
  if (!(wantedBytes > memoryBytes / 4)) return {};
  return { shared_buffers: `${Math.floor(memoryBytes / 8 / 1024)}kB` };
}
