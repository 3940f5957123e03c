// What to type to start a server by hand on a restored folder (MariaDB documentation, "mariadbd
// Options"). It keeps quiet until whoever starts it knows better: no network, no events, no
// replication. Pure.
import { quoteForShell } from '../../platform/shell-text.ts';
import type { Options, Settings } from './server-config.ts';
import { quietSettings } from './server-config.ts';

export type StartCommandInput = {
  /** Absolute, or relative to where the commands are typed, with `./` before it. */
  readonly dataDir: string;
  /** The server's program; its name only when it is not installed here. */
  readonly program: string;
  /** The user that must own the files; null when that is us. */
  readonly owner: string | null;
  /** That the data need. */
  readonly settings: Settings;
};

/** Longer ones make no socket. */
const socketPathBytesMax = 103;

export function planStartCommands(input: StartCommandInput): string[] {
  const { dataDir, owner, settings } = input;
  const socket = `${dataDir}/mysql.sock`;
  const isUsable = dataDir.startsWith('/') && Buffer.byteLength(socket) <= socketPathBytesMax;
  const own: Options = {
    datadir: dataDir,
    socket: isUsable ? socket : '/tmp/mysql-restored.sock',
    // Both lie in the data folder.
    pid_file: 'server.pid',
    log_error: 'server.log',
    skip_networking: null,
    ...quietSettings,
  };
  const words = [input.program, '--no-defaults', ...formatOptions({ ...settings, ...own })];
  const start = `${words.map(quote).join(' ')} &`;
  if (owner === null) return [start];
  return [`chown -R ${quote(owner)} ${quote(dataDir)}`, `runuser -u ${quote(owner)} -- ${start}`];
}

/** Options of a command line. A secret in the settings is not told: it would be seen by others. */
function formatOptions(options: Options): string[] {
  return Object.entries(options)
    .filter(([name, value]) => !name.endsWith('_filekey') || value?.startsWith('FILE:'))
    .map(([name, value]) => {
      const option = `--${name.replaceAll('_', '-')}`;
      return value === null ? option : `${option}=${value}`;
    });
}

/** For a POSIX shell; plain words stay plain. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : quoteForShell(text);
}
