// What went wrong when speaking to a server, in words that the reader can act on. Errors of the
// network mean `engine-unreachable`, answers of the server mostly `engine-refused`, by the number
// of the error (SQL Server documentation, "Database Engine events and errors"): texts may be in
// any language. Of several, the first is the cause, and the last, 3013, says only that it failed.
import type { ErrorKind } from '../../model/errors.ts';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Explanation } from '../network-error.ts';
import { explainTls } from '../network-error.ts';

export type ErrorContext = {
  readonly connection: Connection;
  /** What was being done, the name of a statement; null: connecting. */
  readonly statement: string | null;
  /** The statement holds a secret, which the server's text may repeat: it is not shown. */
  readonly isSecret: boolean;
};

/** Never contains the password, in none of its parts. */
export function toConnectionError(error: unknown, context: ErrorContext): CairnError {
  if (error instanceof CairnError) return error;
  const first = firstCause(error);
  const number = errorNumber(first);
  const code = networkCode(first);
  const text = shownText(first, context);
  const { kind, message, hint } =
    explainAnswer(number, text, context) ??
    // Later on, a connection has been established and is broken.
    (context.statement === null ? explainEncryption(code, text, context.connection) : null) ??
    explainNetwork(code, text, context.connection);
  const { host, port, user } = context.connection;
  return new CairnError(kind, message, {
    ...(hint === undefined ? {} : { hint }),
    details: { code, number, statement: context.statement, host, port, user },
    cause: new Error(allTexts(error, context)),
  });
}

/** The server's error number; null when it was not the server that answered. */
export function errorNumber(error: unknown): number | null {
  const first = firstCause(error);
  if (typeof first !== 'object' || first === null || !('number' in first)) return null;
  return typeof first.number === 'number' ? first.number : null;
}

/** The client's word for what happened; empty when there is none. */
export function clientCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

const terminating = 3013;

/** The client bundles several errors of one statement without a text of their own. */
function firstCause(error: unknown): unknown {
  if (!(error instanceof AggregateError)) return error;
  const errors: readonly unknown[] = error.errors;
  return errors.find((one) => errorNumber(one) !== terminating) ?? errors[0] ?? error;
}

/** What lies below the client's own word: the error of the system or of TLS. */
function networkCode(error: unknown): string {
  const cause = error instanceof Error ? clientCode(error.cause) : '';
  return cause === '' ? clientCode(error) : cause;
}

function shownText(error: unknown, { connection, isSecret }: ErrorContext): string {
  if (isSecret) return 'its text is not shown, because the statement holds a secret';
  const text = error instanceof Error ? error.message : String(error);
  const password = connection.password?.reveal() ?? '';
  const shown = password.length < 4 ? text : text.replaceAll(password, '***');
  return shown.replace(/\.\s*$/, '');
}

function allTexts(error: unknown, context: ErrorContext): string {
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return errors.map((one) => shownText(one, context)).join('; ');
}

export function describeServer({ host, port }: Connection): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

type Meaning = readonly [kind: ErrorKind, said: string, hint?: string];

const isLackingRight =
  'cairn instance check names the rights that the login needs in each database';
const serviceAccount =
  'the account that SQL Server runs as, not the login, must be able to use this path';

/** By number. What the server says follows each. */
const meanings: Readonly<Record<number, Meaning>> = {
  18452: ['engine-refused', 'the login was not accepted', 'use a login of SQL Server itself'],
  18486: ['engine-refused', 'the login is locked', 'unlock it on the server'],
  18487: ['engine-refused', 'the password of the login has expired', 'set another one'],
  18488: ['engine-refused', 'the password of the login must be changed', 'set another one'],
  4060: ['engine-refused', 'the database cannot be opened', 'leave the database out of the URL'],
  911: ['engine-refused', 'the database does not exist'],
  916: ['engine-refused', 'the login has no user in the database', isLackingRight],
  229: ['engine-refused', 'the login lacks a right', isLackingRight],
  230: ['engine-refused', 'the login lacks a right', isLackingRight],
  262: ['engine-refused', 'the login lacks a right', isLackingRight],
  297: ['engine-refused', 'the login lacks a right', isLackingRight],
  300: ['engine-refused', 'the login lacks a right', isLackingRight],
  3110: ['engine-refused', 'the login lacks a right', isLackingRight],
  15247: ['engine-refused', 'the login lacks a right', isLackingRight],
  3023: ['conflict', 'another backup or change of files is running', 'try again when it has ended'],
  3101: ['conflict', 'the database is in use', 'end the connections to it'],
  3043: [
    'engine-refused',
    'the database has a damaged page',
    'run DBCC CHECKDB on it; a backup of it from before the damage may be needed',
  ],
  3201: ['engine-refused', 'the server cannot open the backup', serviceAccount],
  3202: ['engine-refused', 'the server cannot write the backup', serviceAccount],
  3203: ['engine-refused', 'the server cannot read the backup', serviceAccount],
  3241: ['repository-damaged', 'the backup is not readable for the server'],
  3242: ['repository-damaged', 'the file is not a backup of SQL Server'],
  3243: ['repository-damaged', 'the backup was written by another version of SQL Server'],
  3257: [
    'storage-full',
    'the server has too little space for the database',
    'free some space where the server keeps its data, or restore to another server',
  ],
  3183: ['repository-damaged', 'a page in the backup is damaged'],
  3189: ['repository-damaged', 'the backup is damaged'],
  3132: ['repository-damaged', 'a file of the backup is missing'],
  3169: ['engine-refused', 'the backup is from a newer version of SQL Server'],
  33111: ['engine-refused', 'the certificate of the backup is not on this server'],
  4208: ['engine-refused', 'the recovery model SIMPLE has no backups of the log'],
  4214: ['log-gap', 'there is no full backup that the log could belong to'],
  4305: ['log-gap', 'a backup of the log before this one is missing'],
  4326: ['log-gap', 'this backup of the log ends before where the database is'],
  3136: ['log-gap', 'the differential backup belongs to another full backup'],
  3117: ['engine-refused', 'nothing can be restored to this database any more'],
  3154: ['conflict', 'the server has another database of this name'],
  3159: ['conflict', 'the end of the log of the existing database has not been backed up'],
  596: ['engine-unreachable', 'the session was ended on the server'],
  6005: ['engine-unreachable', 'the server is shutting down'],
};

function explainAnswer(
  number: number | null,
  text: string,
  { connection, statement }: ErrorContext,
): Explanation | null {
  if (number === null) return null;
  if (number === 18_456) return explainLogin(connection);
  const [kind, said, hint] = meanings[number] ?? ['engine-refused', null, undefined];
  const lead = said ?? `the server refused ${statement ?? 'the connection'}`;
  const isFull = (number === 3202 || number === 3201) && /\b112\(|\b28\(/.test(text);
  if (isFull) {
    return {
      kind: 'storage-full',
      message: `the folder of the server's backups has no space left: ${text} (${number})`,
      hint: 'free some space where the server writes its backups',
    };
  }
  const message = `${lead}: ${text} (${number})`;
  return { kind, message, ...(hint === undefined ? {} : { hint }) };
}

function explainLogin({ user, password }: Connection): Explanation {
  return password === null
    ? {
        kind: 'engine-refused',
        message: `the server does not let user ${user} in without a password`,
        hint: 'put the password into the connection string',
      }
    : {
        kind: 'engine-refused',
        message: `user ${user} or its password was not accepted`,
        hint: 'check the password, and that the server allows logins of its own beside Windows',
      };
}

function explainEncryption(code: string, text: string, connection: Connection): Explanation | null {
  const server = describeServer(connection);
  if (code === 'EENCRYPT') {
    return connection.tls === 'disable'
      ? {
          kind: 'engine-refused',
          message: `the server at ${server} takes no connection without TLS`,
          hint: 'leave encrypt=false out of the connection string',
        }
      : {
          kind: 'engine-refused',
          message: `the server at ${server} does not offer TLS, and no password was sent`,
          hint: 'switch on TLS on the server, or use encrypt=false on a trusted network',
        };
  }
  return explainTls(code, text, server, 'ca');
}

const network: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ECONNREFUSED: ['nothing listens there', 'check host, port and that TCP/IP is enabled for it'],
  ENOTFOUND: ['the host name is not known', 'check the host name and DNS'],
  EAI_AGAIN: ['the host name cannot be looked up now', 'check the DNS of this worker'],
  ETIMEDOUT: ['it does not answer', 'check the host, the network and firewalls'],
  ETIMEOUT: ['it does not answer', 'check the host, the network and firewalls'],
  EHOSTUNREACH: ['there is no way to it', 'check the network and firewalls'],
  ENETUNREACH: ['there is no way to it', 'check the network and firewalls'],
  ECONNRESET: ['it closed the connection', 'check the error log of the server'],
  EPIPE: ['it closed the connection', 'check the error log of the server'],
  EINVALIDSTATE: ['the connection has been lost', 'check the error log of the server'],
};

function explainNetwork(code: string, text: string, connection: Connection): Explanation {
  const server = describeServer(connection);
  const [what, hint] = network[code] ?? [text, 'check the error log of the server'];
  return {
    kind: 'engine-unreachable',
    message: `the server at ${server} cannot be spoken to: ${what}`,
    hint,
  };
}
