// What went wrong when speaking to a server, in words that the reader can act on. Errors of the
// network mean `engine-unreachable`, answers of the server `engine-refused`, by the server's error
// number (MariaDB documentation, "MariaDB Error Codes"): texts may be in any language.
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
    explainAnswer(errorNumber(error), text, connection) ??
    (code === 'HANDSHAKE_NO_SSL_SUPPORT' ? withoutTls(server) : explainTls(code, text, server)) ??
    explainNetwork(code, text, { server, host: connection.host, ...network });
  return new CairnError(kind, message, {
    ...(hint === undefined ? {} : { hint }),
    details: { code, host: connection.host, port: connection.port, user: connection.user },
    cause: new Error(text),
  });
}

/** The name of the server's error, or of the system's; empty when there is none. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}

/** The server's error number; null when it was not the server that answered. */
export function errorNumber(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('errno' in error)) return null;
  return typeof error.errno === 'number' && error.errno > 0 ? error.errno : null;
}

export function describeServer({ host, port }: Connection): string {
  if (host.startsWith('/')) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function redact(text: string, connection: Connection): string {
  const password = connection.password?.reveal() ?? '';
  return password.length < 4 ? text : text.replaceAll(password, '***');
}

function explainAnswer(
  number: number | null,
  text: string,
  { user, database, password }: Connection,
): Explanation | null {
  if (number === null) return null;
  const refused = (message: string, hint?: string): Explanation => ({
    kind: 'engine-refused',
    message,
    ...(hint === undefined ? {} : { hint }),
  });
  switch (number) {
    case 1045:
    case 1698:
      return password === null
        ? refused(
            `the server does not let user ${user} in without a password`,
            'put the password into the connection string',
          )
        : refused(
            `user ${user} or its password was not accepted: ${text}`,
            'check the password, and that the account allows this host',
          );
    case 1044:
    case 1142:
    case 1227:
      return refused(
        `user ${user} lacks a right: ${text}`,
        'GRANT it to the account, or use one that has it; instance check names those for backups',
      );
    case 1049:
      return refused(`database ${database} does not exist`, 'leave the database out of the URL');
    case 1040:
    case 1203:
      return refused(`the server has no connection left: ${text}`, 'raise max_connections');
    case 1129:
    case 1130:
      return refused(
        `the server does not accept this host: ${text}`,
        'check the account\u2019s host',
      );
    case 1053:
    case 1927:
      return { kind: 'engine-unreachable', message: `the server ended the connection: ${text}` };
    default:
      return refused(`the server answered: ${text} (${number})`);
  }
}

const network: Pick<SpokenTo, 'hints' | 'product'> = {
  hints: {
    listen: 'check host, port, bind-address and that the server runs',
    socket: 'check the path and that the server runs',
    access: 'check the rights on its folder',
  },
  product: 'MySQL or MariaDB',
};
