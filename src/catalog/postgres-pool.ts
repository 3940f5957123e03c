// The `pg` pool as Kysely wants it, with three things added: every wait has a limit, every error is
// one of ours, and a connection whose state is unknown (lost, or given up on) never goes back into
// the pool.
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type { PoolClient } from 'pg';
import { Pool, types } from 'pg';
import { CairnError } from '../model/errors.ts';
import type { Logger } from '../platform/logger.ts';
import { fromPostgresError, isConnectionLost } from './catalog-errors.ts';

export type PostgresOptions = {
  readonly url: string;
  readonly poolSize: number;
  /** For a new connection, and for a free one of the pool. */
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly log: Logger;
};

/**
 * PostgreSQL's int8 arrives as text: our times and sizes all fit a double's 53 bits, and it is
 * checked.
 */
const int8TypeId = 20;

export function createPostgresPool(options: PostgresOptions): PostgresPool {
  const pool = new Pool({
    connectionString: options.url,
    application_name: 'cairn',
    max: options.poolSize,
    connectionTimeoutMillis: options.connectTimeoutMs,
    idleTimeoutMillis: 30_000,
    statement_timeout: options.statementTimeoutMs,
    idle_in_transaction_session_timeout: options.statementTimeoutMs * 2,
    // The server's own limit answers first, unless the server is gone.
    query_timeout: options.statementTimeoutMs + 5_000,
    keepAlive: true,
    types: {
      getTypeParser: (typeId: number, format?: 'text' | 'binary') =>
        typeId === int8TypeId ? parseInt8 : types.getTypeParser(typeId, format),
    },
  });
  pool.on('error', (error) => options.log.warn({ err: error }, 'idle catalog connection lost'));
  return {
    connect: async () => {
      try {
        return guardClient(await pool.connect());
      } catch (error) {
        throw fromPostgresError(error);
      }
    },
    end: () => pool.end(),
    options: pool.options,
  };
}

function guardClient(client: PoolClient): PostgresPoolClient {
  let lost: Error | null = null;
  const onError = (error: Error): void => {
    lost = error;
  };
  // A connection that dies between two queries emits this; without a listener the process would
  // end.
  client.on('error', onError);
  const query = async (
    sql: string,
    parameters: unknown[],
  ): Promise<PostgresQueryResult<unknown>> => {
    try {
      const { command, rowCount, rows } = await client.query(sql, parameters);
      return {
        command: command as PostgresQueryResult<unknown>['command'],
        rowCount: rowCount ?? 0,
        rows,
      };
    } catch (error) {
      const known = fromPostgresError(error);
      if (isConnectionLost(error)) lost = known;
      throw known;
    }
  };
  return {
    query: query as PostgresPoolClient['query'],
    release: () => {
      client.off('error', onError);
      client.release(lost ?? undefined);
    },
  };
}

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new CairnError('bug', `catalog integer ${text} is larger than 2^53`);
  }
  return value;
}
