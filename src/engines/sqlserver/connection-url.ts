// `sqlserver://user:password@host:1433/?encrypt=true&ca=/path/ca.pem&backupFolder=…`, as
// `../connection-url.ts` reads it, with the words that SQL Server's own clients use. What is left
// out: port 1433, database master, TLS on and the certificate verified. The server writes its
// backups itself, into `backupFolder` as it sees it (`\\share\cairn`, `/mnt/cairn`), which Cairn
// sees as `backupFolderHere`; both are the same where only the first is given. Or into a bucket:
// `backup-bucket.ts`.
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { UrlDialect } from '../connection-url.ts';
import { decodePart, parseUrl } from '../connection-url.ts';
import { bucketParameters, parseBucket } from './backup-bucket.ts';
import { parseLogInterval } from './log-interval.ts';

/** One folder, as both sides see it. */
export type BackupFolder = { readonly onServer: string; readonly here: string };

const shape =
  'the form is sqlserver://user:password@host:1433/?backupFolder=/mnt/cairn&ca=/path/ca.pem';
const dialect: UrlDialect = {
  scheme: '(?:sqlserver|mssql)',
  kind: 'a sqlserver:// URL',
  shape,
  defaultPort: 1433,
  defaultDatabase: 'master',
  aliases: { ca: 'sslrootcert' },
  ignored: ['applicationName', 'connectTimeout', 'loginTimeout'],
};
const own = [
  ...(['encrypt', 'trustServerCertificate', 'backupFolder', 'backupFolderHere'] as const),
  ...bucketParameters,
  ...(['backupCompression', 'logBackupSeconds'] as const),
] as const;
type OwnName = (typeof own)[number];

/** What a name of our own, behind a slash, still leaves of the server's 259 characters. */
const folderLengthMax = 180;

/** @throws invalid; the text of no error holds the password */
export function parseConnectionUrl(text: string): Connection {
  const { url, values } = takeOwnParameters(text.trim());
  const connection = parseUrl(url, dialect);
  checkHost(connection);
  return {
    ...connection,
    tls: tlsMode(values, connection, /[?&]sslmode=/.test(url)),
    options: {
      ...parsePlace(values),
      ...(parseSwitch(values, 'backupCompression') ? { backupCompression: 'true' } : {}),
      ...parseLogInterval(values.get('logBackupSeconds')),
    },
  };
}

/** Where backups are handed over. */
function parsePlace(values: ReadonlyMap<OwnName, string>): Readonly<Record<string, string>> {
  const folder = parseFolder(values);
  const bucket = parseBucket((name) => values.get(name));
  if (folder === null) return bucket;
  if (Object.keys(bucket).length === 0) {
    return { backupFolder: folder.onServer, backupFolderHere: folder.here };
  }
  throw new CairnError('invalid', 'backupFolder and backupUrl are given, and one is used', {
    hint: 'leave one of them out',
  });
}

/**
 * Whether the server compresses what it writes. Off unless it is asked for: pages that it has
 * compressed are new ones for Cairn, which compresses anyway and stores equal pages once.
 */
export function compressionOf({ options = {} }: Connection): 'on' | 'off' {
  return options['backupCompression'] === 'true' ? 'on' : 'off';
}

/** The folder that backups are handed over in; null: the connection names none. */
export function findBackupFolder({ options = {} }: Connection): BackupFolder | null {
  const { backupFolder: onServer, backupFolderHere: here } = options;
  return onServer === undefined || here === undefined ? null : { onServer, here };
}

function takeOwnParameters(text: string): {
  readonly url: string;
  readonly values: ReadonlyMap<OwnName, string>;
} {
  const start = text.indexOf('?');
  if (start < 0) return { url: text, values: new Map() };
  const values = new Map<OwnName, string>();
  const others = text
    .slice(start + 1)
    .split('&')
    .filter((pair) => {
      const equals = pair.indexOf('=');
      const written = equals < 0 ? pair : pair.slice(0, equals);
      const name = own.find((known) => known.toLowerCase() === written.toLowerCase());
      if (name === undefined) return true;
      values.set(name, decodePart(equals < 0 ? '' : pair.slice(equals + 1), name));
      return false;
    });
  return { url: `${text.slice(0, start)}?${others.join('&')}`, values };
}

function tlsMode(
  values: ReadonlyMap<OwnName, string>,
  connection: Connection,
  hasMode: boolean,
): Connection['tls'] {
  if (hasMode) {
    if (values.has('encrypt') || values.has('trustServerCertificate')) {
      throw new CairnError('invalid', 'sslmode and encrypt are given, and one of them is enough');
    }
    if (['disable', 'require', 'verify-full'].includes(connection.tls)) return connection.tls;
    throw new CairnError('invalid', `sslmode ${connection.tls} does not exist for SQL Server`, {
      hint: 'use verify-full, require or disable',
    });
  }
  const isEncrypted = parseSwitch(values, 'encrypt') ?? true;
  const isTrusted = parseSwitch(values, 'trustServerCertificate') ?? false;
  if (!isEncrypted) return 'disable';
  if (isTrusted && connection.tlsCaPem !== null) {
    throw new CairnError('invalid', 'trustServerCertificate verifies nothing, and a ca is given', {
      hint: 'leave trustServerCertificate out',
    });
  }
  return isTrusted ? 'require' : 'verify-full';
}

function parseSwitch(values: ReadonlyMap<OwnName, string>, name: OwnName): boolean | null {
  const text = values.get(name)?.toLowerCase();
  switch (text) {
    case undefined:
      return null;
    case 'true':
    case 'yes':
    case 'mandatory':
      return true;
    case 'false':
    case 'no':
      return false;
    default:
      throw new CairnError('invalid', `${name}=${text} is not supported`, {
        hint: `${name} is true or false`,
      });
  }
}

function checkHost({ host, standbys }: Connection): void {
  if (standbys.length > 0) {
    throw new CairnError('invalid', 'the connection string names several hosts', {
      hint: 'each replica of SQL Server is an instance of its own',
    });
  }
  if (host.startsWith('/') || host.includes('\\')) {
    throw new CairnError('invalid', `${host} is not the name of a host`, {
      hint: 'a named instance is reached by its own port: sqlserver://user@host:port/',
    });
  }
}

function parseFolder(values: ReadonlyMap<OwnName, string>): BackupFolder | null {
  const onServer = values.get('backupFolder');
  const here = values.get('backupFolderHere') ?? onServer;
  if (here === undefined) return null;
  if (onServer === undefined) {
    throw new CairnError('invalid', 'backupFolderHere is given without backupFolder', {
      hint: 'backupFolder is the same folder as the server sees it',
    });
  }
  if (!isServerPath(onServer)) {
    throw new CairnError('invalid', `backupFolder ${onServer} is not an absolute path`, {
      hint: `give /mnt/b, D:\\b or \\\\server\\b, of up to ${folderLengthMax} characters`,
    });
  }
  if (!here.startsWith('/') || hasControl.test(here)) {
    throw new CairnError('invalid', `backupFolderHere ${here} is not an absolute path`, {
      hint: 'name the folder in which Cairn sees the files that the server writes',
    });
  }
  return { onServer: withoutEnd(onServer), here: withoutEnd(here) };
}

const hasControl = /\p{Cc}/u;

function isServerPath(path: string): boolean {
  return (
    /^(?:\/|[A-Za-z]:[\\/]|\\\\[^\\/.?][^\\/]*\\)./.test(path) &&
    path.length <= folderLengthMax &&
    !hasControl.test(path)
  );
}

const withoutEnd = (path: string): string => path.replace(/(?<=[^\\/])[\\/]+$/, '');
