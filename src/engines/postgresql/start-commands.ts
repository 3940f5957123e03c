// What to type to start a server by hand on a restored folder (PostgreSQL documentation, chapter
// "pg_ctl"). Pure.
import { quoteForShell } from '../../platform/shell-text.ts';
import type { PostgresNotes } from './backup-notes.ts';
import { formatConfig } from './server-config.ts';

export type StartCommandInput = {
  readonly dataDir: string;
  /** Folders that the server needs besides. */
  readonly otherDirs: readonly string[];
  readonly major: string;
  /** Null when the version is not installed here. */
  readonly binDir: string | null;
  /** The user that must own the files; null when that is us. */
  readonly owner: string | null;
  readonly hasOwnConfig: boolean;
  readonly hasOwnHba: boolean;
  /** `standby.signal` or `recovery.signal`, where the backup holds one. */
  readonly signalFiles: readonly string[];
  readonly notes: PostgresNotes;
};

/** `pg_hba.conf` for a server whose own lay elsewhere: this machine only, nobody without proof. */
export const localHba = 'local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n';

export function planStartCommands(input: StartCommandInput): string[] {
  const { dataDir, owner } = input;
  const prefix = owner === null ? '' : `runuser -u ${quote(owner)} -- `;
  const binDir = input.binDir ?? `<bin folder of PostgreSQL ${input.major}>`;
  const program = input.binDir === null ? `'${binDir}'/pg_ctl` : quote(`${binDir}/pg_ctl`);
  const commands: string[] = [];
  for (const name of input.signalFiles) commands.push(`rm ${quote(`${dataDir}/${name}`)}`);
  if (!input.hasOwnConfig) {
    commands.push(
      `printf %s ${quote(formatConfig(input.notes))} > ${quotePath(dataDir, 'postgresql.conf')}`,
    );
  }
  if (!input.hasOwnHba) {
    commands.push(`printf %s ${quote(localHba)} > ${quotePath(dataDir, 'pg_hba.conf')}`);
    commands.push(`touch ${quotePath(dataDir, 'pg_ident.conf')}`);
  }
  if (owner !== null) {
    const folders = [dataDir, ...input.otherDirs].map(quote).join(' ');
    commands.push(`chown -R ${quote(owner)} ${folders}`);
  }
  const log = quote(`${dataDir}/server.log`);
  commands.push(`${prefix}${program} -D ${quote(dataDir)} -l ${log} -o '${quietOptions}' -w start`);
  return commands;
}

/**
 * What keeps a copy quiet while someone looks at it: the rest of `isolationSettings` acts only in a
 * standby, which this is not without its signal files. An empty value needs no quotes.
 */
const quietOptions = [
  'archive_mode=off',
  'synchronous_standby_names=',
  'max_logical_replication_workers=0',
  // The old server's folder may not exist here.
  'unix_socket_directories=/tmp',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

function quotePath(folder: string, name: string): string {
  return quote(`${folder}/${name}`);
}

/** For a POSIX shell; plain words stay plain. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : quoteForShell(text);
}

const quietNote = `\
The -o options keep a copy from archiving and replicating; leave them out when it takes the
place of the original. Add -p PORT to them while the original runs on this machine.
`;

/** With the folder beside it, where the server recovers by itself. */
export function startNote(supportDir: string | null): string {
  return supportDir === null ? quietNote : `${quietNote}${recoveryNote}${supportDir}\n`;
}

const recoveryNote = `\
The server recovers when it is started: it fetches archived log with this Cairn, so its
user must be able to read the storage and the key, or have CAIRN_MASTER_KEY in its environment.
When it ends with “recovery ended before configured recovery target was reached”, nothing was
committed behind the target: delete recovery_target_time (or _lsn) at the end of the folder's
postgresql.auto.conf and start it again. Once it takes queries, it needs no more of
`;
