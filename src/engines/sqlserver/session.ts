// The narrow port to a server: one connection, one statement at a time, through `tedious`, which
// does TDS and TLS. What it does not do is done here: an own watchdog (its timer stops at the
// first packet of an answer), live messages for the statement they belong to, the first of several
// errors, and whole numbers that a double cannot hold.
import type { Connection as Client, ConnectionConfiguration, Request } from 'tedious';
import { CairnError } from '../../model/errors.ts';
import type { Connection } from '../../model/instance.ts';
import { deadlineSignal, untilAborted } from '../../platform/deadline.ts';
import { abortError } from '../guard.ts';
import type { ErrorContext } from './connection-error.ts';
import { describeServer, toConnectionError } from './connection-error.ts';
import type { SqlParameter, SqlStatement } from './statement.ts';
import { statementText } from './statement.ts';

/** `bigint` comes as text, dates as the server shows them without a zone, read as UTC. */
export type SqlValue = string | number | boolean | Date | Buffer | null;
/**
 * By the name of the column. A `numeric` of more than 15 digits is left out, because the client
 * rounds it: convert it to text in SQL.
 */
export type SqlRow = Readonly<Record<string, SqlValue>>;

/** What the server says while a statement runs. */
export type SqlInfo = { readonly number: number; readonly text: string };

export type RunOptions = {
  readonly signal: AbortSignal;
  /** Called as soon as the server says it, while the statement goes on. */
  readonly onInfo?: (info: SqlInfo) => void;
  /** How long the server may send nothing, no message and no row, before it is given up on. */
  readonly silenceMaxMs?: number;
};

export interface SqlSession extends AsyncDisposable {
  /** Whether the connection is encrypted; what was sent, the login included, then was too. */
  readonly isEncrypted: boolean;
  /**
   * All rows of one statement; a second one has to wait until the first has ended. Aborting sends
   * the server an attention and waits, some seconds at most, until it has stopped.
   * @throws CairnError: the server's answer, engine-unreachable, cancelled or the signal's reason
   */
  run(statement: SqlStatement, options: RunOptions): Promise<readonly SqlRow[]>;
}

export type OpenOptions = {
  readonly signal: AbortSignal;
  readonly connectTimeoutMs?: number;
  /** For the server to stop a statement; a connection on which it has not is closed. */
  readonly cancelTimeoutMs?: number;
};

/** What our connections are called in the server's views. */
const programName = 'cairn';
const connectTimeoutMs = 15_000;
const silenceMaxMs = 90_000;
const cancelTimeoutMs = 10_000;
/** For the socket to close. */
const closeTimeoutMs = 5000;
const rowsMax = 100_000;
const exactDigits = 15;

/** Loaded when it is first needed: the logins of Azure that it brings along take half a second. */
const loadTedious = async () => await import('tedious');
type Tedious = Awaited<ReturnType<typeof loadTedious>>;

/** @throws CairnError: engine-unreachable, engine-refused, cancelled or the signal's reason */
export async function openSession(
  connection: Connection,
  options: OpenOptions,
): Promise<SqlSession> {
  const timeoutMs = options.connectTimeoutMs ?? connectTimeoutMs;
  const tedious = await loadTedious();
  if (options.signal.aborted) throw abortError(options.signal);
  const client = new tedious.Connection(
    clientOptions(connection, { cancelTimeoutMs, ...options, connectTimeoutMs: timeoutMs }),
  );
  // A connection that dies while nobody waits for it must not end the process.
  client.on('error', () => undefined);
  let refusal: Error | null = null;
  client.on('errorMessage', ({ message, number }) => {
    refusal ??= Object.assign(new Error(message), { number });
  });
  const connected = new Promise<void>((done, fail) => {
    client.connect((error) => (error ? fail(error) : done()));
  });
  try {
    await untilAborted(connected, deadlineSignal(2 * timeoutMs, options.signal));
  } catch (error) {
    client.close();
    if (options.signal.aborted) throw abortError(options.signal);
    throw toConnectionError(refusal ?? error, { connection, statement: null, isSecret: false });
  }
  return new TediousSession(tedious, client, connection);
}

class TediousSession implements SqlSession {
  readonly #tedious: Tedious;
  readonly #client: Client;
  readonly #connection: Connection;
  readonly #ended: Promise<void>;
  #onInfo: ((info: SqlInfo) => void) | null = null;
  #running: string | null = null;

  constructor(tedious: Tedious, client: Client, connection: Connection) {
    this.#tedious = tedious;
    this.#client = client;
    this.#connection = connection;
    this.#ended = new Promise((done) => client.once('end', done));
    client.on('infoMessage', ({ number, message }) => this.#onInfo?.({ number, text: message }));
  }

  get isEncrypted(): boolean {
    return this.#connection.tls !== 'disable';
  }

  async run(statement: SqlStatement, options: RunOptions): Promise<readonly SqlRow[]> {
    if (this.#running !== null) {
      throw new CairnError('bug', `${statement.name} was sent while ${this.#running} runs`);
    }
    if (options.signal.aborted) throw abortError(options.signal);
    this.#running = statement.name;
    try {
      return await this.#send(statement, options);
    } catch (error) {
      if (options.signal.aborted) throw abortError(options.signal);
      throw toConnectionError(error, this.#context(statement));
    } finally {
      this.#running = null;
      this.#onInfo = null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    // Nothing is lost with a socket that takes longer: the system closes it.
    await untilAborted(this.#ended, deadlineSignal(closeTimeoutMs)).catch(() => undefined);
  }

  async #send(statement: SqlStatement, options: RunOptions): Promise<readonly SqlRow[]> {
    const rows: SqlRow[] = [];
    const failures: CairnError[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const request = new this.#tedious.Request(statementText(statement), (error) =>
      error ? reject(error) : resolve(),
    );
    for (const parameter of statement.parameters)
      addParameter(request, parameter, this.#tedious.TYPES);
    const giveUp = (reason: CairnError | null): void => {
      if (reason !== null) failures.push(reason);
      request.cancel();
    };
    const silence = options.silenceMaxMs ?? silenceMaxMs;
    const watchdog = setTimeout(() => giveUp(this.#silent(statement, silence)), silence);
    const cancel = (): void => giveUp(null);
    options.signal.addEventListener('abort', cancel, { once: true });
    this.#onInfo = (info) => {
      watchdog.refresh();
      options.onInfo?.(info);
    };
    request.on('row', (columns: readonly ReceivedColumn[]) => {
      watchdog.refresh();
      if (rows.length >= rowsMax) giveUp(tooManyRows(statement));
      else rows.push(toRow(columns));
    });
    try {
      this.#client.execSql(request);
      await promise;
      if (failures[0] !== undefined) throw failures[0];
      return rows;
    } catch (error) {
      throw failures[0] ?? error;
    } finally {
      clearTimeout(watchdog);
      options.signal.removeEventListener('abort', cancel);
    }
  }

  #silent({ name }: SqlStatement, silenceMs: number): CairnError {
    const server = describeServer(this.#connection);
    const text = `the server at ${server} has sent nothing for ${silenceMs} ms during ${name}`;
    return new CairnError('engine-unreachable', text, {
      hint: 'look on the server what the session waits for; it may still be running there',
    });
  }

  #context({ name, text }: SqlStatement): ErrorContext {
    return { connection: this.#connection, statement: name, isSecret: typeof text !== 'string' };
  }
}

type ReceivedColumn = {
  readonly metadata: {
    readonly colName: string;
    readonly type: { readonly name: string };
    readonly precision?: number;
  };
  readonly value: SqlValue;
};

function toRow(columns: readonly ReceivedColumn[]): SqlRow {
  const exact = columns.filter(
    ({ metadata: { type, precision = 0 } }) =>
      !/^(Numeric|Decimal)/.test(type.name) || precision <= exactDigits,
  );
  return Object.fromEntries(exact.map(({ metadata, value }) => [metadata.colName, value]));
}

function addParameter(request: Request, parameter: SqlParameter, types: Tedious['TYPES']): void {
  const { name, value } = parameter;
  switch (parameter.type) {
    case 'sysname':
      return request.addParameter(name, types.NVarChar, value, { length: 128 });
    case 'nvarchar':
      return request.addParameter(name, types.NVarChar, value, { length: parameter.lengthMax });
    case 'varchar':
      return request.addParameter(name, types.VarChar, value, { length: parameter.lengthMax });
    case 'int':
      return request.addParameter(name, types.Int, value);
    case 'datetime2':
      return request.addParameter(name, types.DateTime2, value, { scale: 7 });
  }
}

function tooManyRows({ name }: SqlStatement): CairnError {
  return new CairnError('engine-refused', `${name} was answered with more than ${rowsMax} rows`);
}

function clientOptions(
  connection: Connection,
  timeouts: { readonly connectTimeoutMs: number; readonly cancelTimeoutMs: number },
): ConnectionConfiguration {
  const { host, port, user, password, database, tls, tlsCaPem } = connection;
  return {
    server: host,
    authentication: {
      type: 'default',
      options: { userName: user, password: password?.reveal() ?? '' },
    },
    options: {
      port,
      database,
      appName: programName,
      // Every other mode verifies or encrypts: there is no way back to clear text.
      encrypt: tls !== 'disable',
      trustServerCertificate: tls === 'require' || tls === 'disable',
      cryptoCredentialsDetails: {
        minVersion: 'TLSv1.2',
        ...(tlsCaPem === null ? {} : { ca: tlsCaPem }),
      },
      connectTimeout: timeouts.connectTimeoutMs,
      requestTimeout: 0,
      cancelTimeout: timeouts.cancelTimeoutMs,
      // Trying again is for whoever asked: each attempt may lock the login a little more.
      maxRetriesOnTransientErrors: 0,
      useUTC: true,
    },
  };
}

/** Whether the server answered with this error, as the first one. */
export function isServerError(error: unknown, number: number): boolean {
  return error instanceof CairnError && error.details['number'] === number;
}
