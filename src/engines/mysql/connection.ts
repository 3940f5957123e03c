// Opens connections through `mysql2`, which does the network, TLS and the login. `prefer` means
// TLS first, plain when the server has none. Numbers that do not fit a double come as text, dates
// always do.
import type { Duplex } from 'node:stream';
import type { Connection as Client, ConnectionOptions, SslOptions } from 'mysql2';
import { createConnection } from 'mysql2';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { throwIfAborted } from '../guard.ts';
import type { TlsWay } from '../tls-ways.ts';
import { planTlsWays } from '../tls-ways.ts';
import { errorCode, toConnectionError } from './connection-error.ts';

export type OpenOptions = {
  readonly signal: AbortSignal;
  readonly connectTimeoutMs?: number;
  /** How long one statement may take. */
  readonly statementTimeoutMs?: number;
};

type Row = Readonly<Record<string, unknown>>;
/** Answers the rows of one statement; none for one that has no result. */
export type Query = (sql: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/** What our connections are called in the server's views. */
export const programName = 'cairn';

const connectTimeoutMs = 15_000;
const statementTimeoutMs = 90_000;

/** @throws engine-unreachable, engine-refused, cancelled */
export async function openConnection(
  connection: Connection,
  options: OpenOptions,
): Promise<Client> {
  const ways = planTlsWays(connection).map(toClientTls);
  for (const [index, ssl] of ways.entries()) {
    try {
      return await openOnce(connection, ssl, options);
    } catch (error) {
      throwIfAborted(options.signal);
      const mayTryNext = index < ways.length - 1 && isWithoutTls(error);
      if (!mayTryNext) throw toConnectionError(error, connection);
    }
  }
  throw new CairnError('bug', 'no way to connect was tried');
}

/** Opens a connection, does the work and closes it. The signal cuts the connection. */
export async function withQueries<T>(
  connection: Connection,
  options: OpenOptions,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await openConnection(connection, options);
  const abort = (): void => cutConnection(client);
  options.signal.addEventListener('abort', abort, { once: true });
  try {
    return await work((sql, values) => runQuery(client, sql, values, options));
  } catch (error) {
    throwIfAborted(options.signal);
    throw toConnectionError(error, connection);
  } finally {
    options.signal.removeEventListener('abort', abort);
    client.end(() => undefined);
    setImmediate(() => socketOf(client).destroySoon?.());
  }
}

/** At once: the client's own `destroy` goes on waiting for what the server sends. */
export function cutConnection(client: Client): void {
  client.destroy();
  socketOf(client).destroy();
}

/** The stream that the login was done on: the TLS socket where TLS is used. */
export function socketOf(client: Client): Duplex & { destroySoon?: () => void } {
  return (client as unknown as { stream: Duplex }).stream;
}

/** One statement on a connection of one's own. @throws the client's errors */
export async function runQuery(
  client: Client,
  sql: string,
  values: readonly unknown[] | undefined,
  options: OpenOptions,
): Promise<readonly Row[]> {
  const timeoutMs = options.statementTimeoutMs ?? statementTimeoutMs;
  const deadline = deadlineSignal(timeoutMs, options.signal);
  return await new Promise((done, fail) => {
    const late = (): void => {
      cutConnection(client);
      fail(Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }));
    };
    deadline.addEventListener('abort', late, { once: true });
    client.query({ sql, values: values ? [...values] : [] }, (error, rows) => {
      deadline.removeEventListener('abort', late);
      if (error) fail(error);
      else done(Array.isArray(rows) ? (rows as Row[]) : []);
    });
  });
}

async function openOnce(
  connection: Connection,
  ssl: SslOptions | null,
  options: OpenOptions,
): Promise<Client> {
  throwIfAborted(options.signal);
  const timeoutMs = options.connectTimeoutMs ?? connectTimeoutMs;
  const deadline = deadlineSignal(timeoutMs, options.signal);
  const client = createConnection(clientOptions(connection, ssl));
  // A connection that dies while nobody waits for it must not end the process.
  client.on('error', () => undefined);
  try {
    await new Promise<void>((done, fail) => {
      deadline.addEventListener(
        'abort',
        () => {
          const text = `no answer within ${timeoutMs} ms`;
          fail(Object.assign(new Error(text), { code: 'ETIMEDOUT' }));
        },
        { once: true },
      );
      client.connect((error) => (error ? fail(error) : done()));
    });
    return client;
  } catch (error) {
    cutConnection(client);
    throw error;
  }
}

function clientOptions(connection: Connection, ssl: SslOptions | null): ConnectionOptions {
  const { host, port, user, password, database } = connection;
  return {
    ...(host.startsWith('/') ? { socketPath: host } : { host, port }),
    user,
    password: password?.reveal() ?? '',
    ...(database === '' ? {} : { database }),
    ...(ssl === null ? {} : { ssl }),
    // Our own deadlines say what was waited for.
    connectTimeout: 0,
    supportBigNumbers: true,
    dateStrings: true,
    charset: 'utf8mb4_general_ci',
    enableKeepAlive: true,
    keepAliveInitialDelay: 30_000,
    connectAttributes: { program_name: programName },
    // A server must not read our files.
    flags: ['-LOCAL_FILES'],
  };
}

function toClientTls(way: TlsWay | null): SslOptions | null {
  if (way === null) return null;
  if (way.verify === 'nothing') return { rejectUnauthorized: false };
  const ca = way.ca === null ? {} : { ca: way.ca };
  const verifyIdentity = way.verify === 'authority-and-host';
  return { ...ca, rejectUnauthorized: true, verifyIdentity };
}

function isWithoutTls(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'HANDSHAKE_NO_SSL_SUPPORT' || /^ERR_(SSL|TLS)/.test(code);
}
