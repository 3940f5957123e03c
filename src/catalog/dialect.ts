// The one place where SQLite and PostgreSQL differ. Both speak the same schema and the same
// queries; what remains is how they are opened, how their errors read (`catalog-errors.ts`) and how
// writers are kept apart: SQLite's immediate transactions let one writer in at a time, PostgreSQL
// needs row and advisory locks.
import type { Dialect } from 'kysely';
import {
  Kysely,
  PostgresDialect,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely';
import { CairnError } from '../model/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { createPostgresPool } from './postgres-pool.ts';
import type { CatalogSchema } from './schema.ts';
import { SqliteDriver } from './sqlite-driver.ts';

/** What differs between the databases, for the queries that must know. */
export type DialectTraits = {
  /**
   * Whether rows that a transaction decides on must be locked (`for update`) to stay as they were
   * read.
   */
  readonly hasRowLocks: boolean;
  /** Whether the planner knows how many rows a value stands for; else it only knows the indexes. */
  readonly hasStatistics: boolean;
  /**
   * Waits for a lock that ends with the transaction; everybody who names the same lock takes turns.
   */
  lock(tx: Kysely<CatalogSchema>, name: string): Promise<void>;
  /** The same without waiting; false when somebody else holds it. */
  tryLock(tx: Kysely<CatalogSchema>, name: string): Promise<boolean>;
};

/** A database or a transaction in it, with the traits of its dialect. */
export type CatalogDatabase = {
  readonly db: Kysely<CatalogSchema>;
  readonly traits: DialectTraits;
};

export type DialectOptions = {
  /** `sqlite:/path/to/file` or `postgres://…`. */
  readonly url: string;
  readonly log: Logger;
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
};

/**
 * Nothing is connected before the first query. @throws invalid when the address is of neither kind
 */
export function openCatalogDatabase(options: DialectOptions): CatalogDatabase {
  const path = parseSqlitePath(options.url);
  if (path !== null) {
    const dialect = sqliteDialect(path, options.statementTimeoutMs);
    return { db: new Kysely<CatalogSchema>({ dialect }), traits: sqliteTraits };
  }
  if (/^postgres(ql)?:\/\//.test(options.url)) {
    const dialect = new PostgresDialect({ pool: createPostgresPool(options) });
    return { db: new Kysely<CatalogSchema>({ dialect }), traits: postgresTraits };
  }
  throw new CairnError('invalid', 'the address of the catalog database is not understood', {
    hint: 'use sqlite:/path/to/file or postgres://user:password@host:port/database',
  });
}

/** Runs the work in a transaction: the one that is open, else a new one. */
export async function inTransaction<T>(
  database: CatalogDatabase,
  work: (database: CatalogDatabase) => Promise<T>,
): Promise<T> {
  if (database.db.isTransaction) return await work(database);
  const { traits } = database;
  return await database.db.transaction().execute((db) => work({ db, traits }));
}

function parseSqlitePath(url: string): string | null {
  const match = /^sqlite:(?:\/\/)?(.+)$/.exec(url);
  return match?.[1] ?? null;
}

function sqliteDialect(path: string, waitTimeoutMs: number): Dialect {
  return {
    createDriver: () => new SqliteDriver({ path, waitTimeoutMs }),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  };
}

const sqliteTraits: DialectTraits = {
  hasRowLocks: false,
  hasStatistics: false,
  lock: () => Promise.resolve(),
  tryLock: () => Promise.resolve(true),
};

const postgresTraits: DialectTraits = {
  hasRowLocks: true,
  hasStatistics: true,
  async lock(tx, name) {
    await sql`select pg_advisory_xact_lock(hashtextextended(${`cairn ${name}`}, 0))`.execute(tx);
  },
  async tryLock(tx, name) {
    const result = await sql<{ held: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended(${`cairn ${name}`}, 0)) as held
    `.execute(tx);
    return result.rows[0]?.held === true;
  },
};
