// What went wrong when speaking to a server, in words that the reader can act on. Errors of the
// network mean `engine-unreachable`, answers of the server `engine-refused`, by SQLSTATE
// (PostgreSQL documentation, appendix "PostgreSQL Error Codes"): texts may be in any language.
import type { ErrorKind } from '../../model/errors.ts';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import type { Explanation, SpokenTo } from '../network-error.ts';
import { explainNetwork, explainTls, withoutTls } from '../network-error.ts';

/** Never contains the password, in none of its parts. */
export function toConnectionError(error: unknown, connection: Connection): CairnError {
  if (error instanceof CairnError) return error;
  const text = redact(error instanceof Error ? error.message : String(error), connection);
  const code = errorCode(error);
  const server = describeServer(connection);
  const { kind, message, hint } =
    explainAnswer(code, text, connection) ??
    (text.includes('does not support SSL') ? withoutTls(server) : explainTls(code, text, server)) ??
    explainNetwork(code, text, { server, host: connection.host, ...network });
  const cause = new Error(text);
  return new CairnError(kind, message, {
    ...(hint === undefined ? {} : { hint }),
    details: { code, host: connection.host, port: connection.port, user: connection.user },
    cause,
  });
}

/** SQLSTATE or the system's error name; empty when there is none. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

export function describeServer(connection: Connection): string {
  const { host, port } = connection;
  if (host.startsWith('/')) return `${host}/.s.PGSQL.${port}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function redact(text: string, connection: Connection): string {
  const password = connection.password?.reveal() ?? '';
  return password.length < 4 ? text : text.replaceAll(password, '***');
}

function explainAnswer(code: string, text: string, connection: Connection): Explanation | null {
  const { user, database, password } = connection;
  if (code === '28P01' || text.startsWith('SASL')) {
    return password === null
      ? {
          kind: 'engine-refused',
          message: `the server asks for the password of user ${user}, and none is configured`,
          hint: 'put the password into the connection string',
        }
      : {
          kind: 'engine-refused',
          message: `the password of user ${user} was not accepted`,
          hint: `check the password, or set it with: alter role ${user} password '...'`,
        };
  }
  if (code === '28000' && /role .* does not exist/.test(text)) {
    return {
      kind: 'engine-refused',
      message: `the server does not know user ${user}: ${text}`,
      hint: 'check the user name in the connection string',
    };
  }
  const line = `host all ${user} <address of this worker>/32 scram-sha-256`;
  const explanations: Record<string, [ErrorKind, string, string?]> = {
    '28000': [
      'engine-refused',
      `the server does not let user ${user} in: ${text}`,
      `add to pg_hba.conf, then reload: ${line} (for backups the same with database replication)`,
    ],
    '3D000': [
      'engine-refused',
      `database ${database} does not exist`,
      'name an existing database in the connection string, for example postgres',
    ],
    '42501': [
      'engine-refused',
      `user ${user} lacks a right: ${text}`,
      `alter role ${user} replication`,
    ],
    '53300': [
      'engine-refused',
      `the server has no connection left: ${text}`,
      'raise max_connections, or max_wal_senders for backups, and restart the server',
    ],
    '57P03': ['engine-unreachable', `the server is not ready: ${text}`, 'try again in a while'],
  };
  const found = explanations[code];
  if (found) return { kind: found[0], message: found[1], hint: found[2] };
  if (code.startsWith('57P')) return { kind: 'engine-unreachable', message: text };
  return /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code)
    ? { kind: 'engine-refused', message: `the server answered: ${text} (${code})` }
    : null;
}

const network: Pick<SpokenTo, 'hints' | 'product'> = {
  hints: {
    listen: 'check host, port, listen_addresses and that the server runs',
    socket: 'check the folder, the port and that the server runs',
    access: 'check unix_socket_permissions',
  },
  product: 'PostgreSQL',
};
