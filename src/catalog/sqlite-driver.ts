// Kysely's driver for `node:sqlite`. The database is one connection, and its calls are synchronous:
// users of this process take turns, first come first served, and a lock held by another process is
// waited for without blocking the event loop (a short busy handler, then timers, up to a deadline).
//
// Every transaction begins IMMEDIATE. It so holds the only write lock from its first statement,
// reads what it decides on under that lock, and never fails half-way with SQLITE_BUSY.
import { chmod, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { SQLInputValue } from 'node:sqlite';
import { DatabaseSync } from 'node:sqlite';
import type { CompiledQuery, DatabaseConnection, Driver, QueryResult } from 'kysely';
import { assert } from '../model/assert.ts';
import { CairnError } from '../model/errors.ts';
import { systemClock } from '../platform/clock.ts';
import { fromSqliteError, isSqliteBusy } from './catalog-errors.ts';
import { Turnstile } from './turnstile.ts';

export type SqliteOptions = {
  readonly path: string;
  /** How long a statement waits for another process, and a caller for its turn. */
  readonly waitTimeoutMs: number;
};

/** The event loop stands still for this long at most while another process writes. */
const blockingWaitMs = 20;
const waitersMax = 1000;

const pragmas = [
  'pragma journal_mode = wal',
  'pragma synchronous = full',
  'pragma foreign_keys = on',
  'pragma journal_size_limit = 67108864',
] as const;

export class SqliteDriver implements Driver {
  readonly #options: SqliteOptions;
  readonly #turns: Turnstile;
  #connection: SqliteConnection | null = null;

  constructor(options: SqliteOptions) {
    this.#options = options;
    this.#turns = new Turnstile({ waitersMax, timeoutMs: options.waitTimeoutMs });
  }

  async init(): Promise<void> {
    const database = await openDatabase(this.#options.path);
    this.#connection = new SqliteConnection(database, this.#options.waitTimeoutMs);
    for (const pragma of pragmas) await this.#connection.run(pragma, []);
  }

  async acquireConnection(): Promise<SqliteConnection> {
    await this.#turns.enter();
    assert(this.#connection, 'sqlite driver used before init');
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#turns.leave();
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await ours(connection).run('begin immediate', []);
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await ours(connection).run('commit', []);
  }

  /** A failed commit (disk full) may have rolled back already. */
  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (ours(connection).isInTransaction) await ours(connection).run('rollback', []);
  }

  async destroy(): Promise<void> {
    this.#connection?.close();
    this.#connection = null;
  }
}

class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #waitTimeoutMs: number;

  constructor(database: DatabaseSync, waitTimeoutMs: number) {
    this.#database = database;
    this.#waitTimeoutMs = waitTimeoutMs;
  }

  get isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return await this.run<Row>(query.sql, query.parameters);
  }

  /** Kysely demands the method; nothing in the catalog streams. */
  streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new CairnError('bug', 'the catalog does not stream rows');
  }

  /**
   * Waits while another process holds the lock, with growing pauses. @throws storage-unavailable
   */
  async run<Row>(sql: string, parameters: readonly unknown[]): Promise<QueryResult<Row>> {
    const deadlineMs = systemClock.monotonicMs() + this.#waitTimeoutMs;
    for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 100)) {
      try {
        return this.#runOnce<Row>(sql, parameters);
      } catch (error) {
        if (!isSqliteBusy(error) || systemClock.monotonicMs() > deadlineMs) {
          throw fromSqliteError(error);
        }
      }
      await systemClock.sleep(pauseMs);
    }
  }

  #runOnce<Row>(sql: string, parameters: readonly unknown[]): QueryResult<Row> {
    const statement = this.#database.prepare(sql);
    const values = parameters as readonly SQLInputValue[];
    if (statement.columns().length > 0) return { rows: statement.all(...values) as Row[] };
    const { changes } = statement.run(...values);
    return { rows: [], numAffectedRows: BigInt(changes) };
  }

  close(): void {
    this.#database.close();
  }
}

function ours(connection: DatabaseConnection): SqliteConnection {
  assert(connection instanceof SqliteConnection, 'a connection of another driver');
  return connection;
}

/**
 * Creates the file, readable by its owner only; SQLite gives its `-wal` and `-shm` files the same
 * mode.
 */
async function openDatabase(path: string): Promise<DatabaseSync> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await createPrivateFile(path);
    return new DatabaseSync(path, { timeout: blockingWaitMs });
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new CairnError('storage-unavailable', `cannot open catalog ${path}: ${text}`, { cause });
  }
}

async function createPrivateFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.close();
    await chmod(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
