// Opens connections through `pg`, which does the network, TLS and the login. `prefer` means what
// libpq means by it: TLS first, plain when the server has none (PostgreSQL documentation, chapter
// "libpq", "SSL Support").
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { Client } from 'pg';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal } from '../../platform/deadline.ts';
import { throwIfAborted } from '../guard.ts';
import type { TlsWay } from '../tls-ways.ts';
import { planTlsWays } from '../tls-ways.ts';
import { errorCode, toConnectionError } from './connection-error.ts';
import { createReceiveSocket } from './receive-socket.ts';

export type OpenOptions = {
  readonly signal: AbortSignal;
  /** Speak the streaming replication protocol: no SQL, but `BASE_BACKUP`. */
  readonly replication?: boolean;
  /** The socket will be taken over after the login: no statement is cut short. */
  readonly takenOver?: boolean;
  readonly connectTimeoutMs?: number;
};

type Row = Readonly<Record<string, unknown>>;
export type Query = (sql: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/** What our connections are called in the server's views. */
export const applicationName = 'cairn';

const connectTimeoutMs = 15_000;
const keepAliveDelayMs = 30_000;
const statementTimeoutMs = 60_000;
/** Longer than the statement may take on the server: reached only when the network is dead. */
const answerTimeoutMs = 90_000;

/** @throws engine-unreachable, engine-refused, cancelled */
export async function openClient(connection: Connection, options: OpenOptions): Promise<Client> {
  const ways = planTlsWays(connection).map(toClientTls);
  for (const [index, ssl] of ways.entries()) {
    try {
      return await openOnce(connection, ssl, options);
    } catch (error) {
      throwIfAborted(options.signal);
      if (index === ways.length - 1 || !mayTryPlain(error)) {
        throw toConnectionError(error, connection);
      }
    }
  }
  throw new CairnError('bug', 'no way to connect was tried');
}

/** Opens a connection for SQL, does the work and closes it. The signal cuts the connection. */
export async function withQueries<T>(
  connection: Connection,
  options: OpenOptions,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await openClient(connection, options);
  const abort = (): void => void socketOf(client).destroy();
  options.signal.addEventListener('abort', abort, { once: true });
  try {
    return await work(async (sql, values) => {
      try {
        return (await client.query(sql, values ? [...values] : undefined)).rows as Row[];
      } catch (error) {
        throwIfAborted(options.signal);
        throw error;
      }
    });
  } catch (error) {
    throw toConnectionError(error, connection);
  } finally {
    options.signal.removeEventListener('abort', abort);
    closeClient(client);
  }
}

/** Says goodbye and does not wait for an answer. */
export function closeClient(client: Client): void {
  client.end().catch(() => undefined);
  const socket = socketOf(client);
  setImmediate(() => socket.destroySoon?.());
}

/** The stream that the login was done on: the TLS socket where TLS is used. */
export function socketOf(client: Client): Duplex & { destroySoon?: () => void } {
  return (client as unknown as { connection: { stream: Duplex } }).connection.stream;
}

async function openOnce(
  connection: Connection,
  ssl: false | ConnectionOptions,
  options: OpenOptions,
): Promise<Client> {
  throwIfAborted(options.signal);
  const client = new Client(clientConfig(connection, ssl, options));
  // A connection that dies while nobody waits for it must not end the process.
  client.on('error', () => undefined);
  const timeoutMs = options.connectTimeoutMs ?? connectTimeoutMs;
  const deadline = deadlineSignal(timeoutMs, options.signal);
  const abort = (): void => {
    const text = `no answer within ${timeoutMs} ms`;
    socketOf(client).destroy(Object.assign(new Error(text), { code: 'ETIMEDOUT' }));
  };
  deadline.addEventListener('abort', abort, { once: true });
  try {
    await client.connect();
    return client;
  } catch (error) {
    socketOf(client).destroy();
    throw error;
  } finally {
    deadline.removeEventListener('abort', abort);
  }
}

function clientConfig(
  connection: Connection,
  ssl: false | ConnectionOptions,
  { replication = false, takenOver = replication }: OpenOptions,
): ClientConfig {
  const { password } = connection;
  const common = {
    host: connection.host,
    port: connection.port,
    database: connection.database,
    user: connection.user,
    // A function: with a plain empty value `pg` would look for one in the environment and in
    // ~/.pgpass.
    password: () => password?.reveal() ?? '',
    ssl,
    application_name: applicationName,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveDelayMs,
  };
  // TLS has buffers of its own.
  const stream = ssl === false ? { stream: createReceiveSocket } : {};
  const protocol = replication ? { replication: 'true' } : {};
  return takenOver
    ? { ...common, ...stream, ...protocol }
    : { ...common, statement_timeout: statementTimeoutMs, query_timeout: answerTimeoutMs };
}

function toClientTls(way: TlsWay | null): false | ConnectionOptions {
  if (way === null) return false;
  if (way.verify === 'nothing') return { rejectUnauthorized: false };
  const ca = way.ca === null ? {} : { ca: way.ca };
  return way.verify === 'authority' ? { ...ca, checkServerIdentity: () => undefined } : ca;
}

/**
 * No TLS on the server, a broken handshake, or a pg_hba.conf that lets only plain connections in.
 */
function mayTryPlain(error: unknown): boolean {
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : '';
  return text.includes('SSL connection') || code === '28000' || /^ERR_(SSL|TLS)/.test(code);
}
