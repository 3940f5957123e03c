// The statements by which the service lets itself in, and by which it lets others in (MariaDB
// documentation, "Account Management SQL Commands"; the words are those that MySQL knows too).
import { CairnError } from '../../model/errors.ts';
import { Secret } from '../../model/secret.ts';
import type { Random } from '../../platform/random.ts';
import type { Query } from './connection.ts';

export const serviceUser = 'cairn_service';
const passwordBytes = 24;
const service = `'${serviceUser}'@'localhost'`;

export const dropServiceStatement = `drop user if exists ${service}`;

/** Of all kinds of characters, since the server may want that; none of them needs a quote. */
export function newServicePassword(random: Random): Secret {
  return new Secret(`${random.hex(passwordBytes)}aA1!`);
}

/** For a server's `init_file`: one statement a line. */
export function serviceStatements(password: Secret): string {
  const secret = password.reveal();
  if (!/^[\w!]+$/.test(secret)) throw new CairnError('bug', 'the password has to be quoted');
  const statements = [
    'set sql_log_bin = 0',
    `create user if not exists ${service} identified by '${secret}'`,
    `alter user ${service} identified by '${secret}'`,
    `grant all privileges on *.* to ${service} with grant option`,
  ];
  return statements.map((statement) => `${statement};\n`).join('');
}

export type RestoredAccount = {
  readonly user: string;
  readonly password: Secret;
  /** `create`: one that the backup does not know is made. */
  readonly mode: 'ensure' | 'create';
};

/** From where the service logs in. Which of the two a server takes first is its own affair. */
const exactHosts = ['127.0.0.1', 'localhost'];
/** Which other accounts would let it in, the most specific first. */
const patternHosts = ['127.0.0.%', '127.%', '%'];
/** What a backup and the archive of the log need, and no more. */
const backupRights =
  'select, show view, trigger, event, reload, process, lock tables, replication client, ' +
  'replication slave';

/**
 * Lets the user in from this machine with the password. An account that would do so keeps its
 * rights; one that lets the user in from elsewhere only stays as it is, and gets a twin for this
 * machine that may take backups. @throws engine-refused when there is no such user
 */
export async function ensureAccount(query: Query, account: RestoredAccount): Promise<void> {
  const { user, password, mode } = account;
  // Values are quoted as a server without settings of its own reads them.
  await query("set sql_mode = '', sql_log_bin = 0");
  const rows = await query('select host as host from mysql.user where user = ?', [user]);
  const hosts = rows.map((row) => String(row['host']));
  if (hosts.length === 0 && mode === 'ensure') {
    throw new CairnError('engine-refused', `the backup has no user ${user}`, {
      hint: 'it was taken before the user was made: restore a newer one',
    });
  }
  const isThere = (host: string): boolean => hosts.includes(host);
  const exact = exactHosts.filter(isThere);
  const found = exact.length > 0 ? exact : patternHosts.filter(isThere).slice(0, 1);
  for (const host of found) {
    const change = 'alter user ?@? identified by ? require none account unlock';
    await query(change, [user, host, password.reveal()]);
  }
  if (found.length > 0) return;
  const [host] = exactHosts;
  await query('create user ?@? identified by ?', [user, host, password.reveal()]);
  await query(`grant ${backupRights} on *.* to ?@?`, [user, host]);
}
