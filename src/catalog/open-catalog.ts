import { sql } from 'kysely';
import type { Clock } from '../platform/clock.ts';
import { systemClock } from '../platform/clock.ts';
import type { Logger } from '../platform/logger.ts';
import { silentLogger } from '../platform/logger.ts';
import type { MasterKey } from '../platform/master-key.ts';
import { backupRecords } from './backups.ts';
import type { Catalog, CatalogSession } from './catalog.ts';
import { clientTokenRecords } from './client-tokens.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction, openCatalogDatabase } from './dialect.ts';
import { identityRecords } from './identity.ts';
import { instanceRecords } from './instances.ts';
import { intervalRecords } from './intervals.ts';
import { jobRecords } from './jobs.ts';
import { logStreamRecords } from './log-streams.ts';
import { migrate } from './migrate.ts';
import { policyRecords } from './policies.ts';
import { pruneRecords } from './prune.ts';
import { secretRecords } from './secrets.ts';
import { settingRecords } from './settings.ts';
import { tagRecords } from './tags.ts';

export type CatalogOptions = {
  /** `sqlite:/path/to/file` (made when it is missing, mode 0600) or `postgres://…`. */
  readonly url: string;
  /** Wraps the secrets of the catalog. */
  readonly masterKey: MasterKey;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** PostgreSQL only: connections of this process. */
  readonly poolSize?: number;
  readonly connectTimeoutMs?: number;
  /** No statement, and no wait for a lock, takes longer. */
  readonly statementTimeoutMs?: number;
};

/**
 * Opens the catalog and brings its schema up to date.
 * @throws invalid when the address is not understood or a newer program has migrated the catalog,
 *   storage-unavailable when the database cannot be reached
 */
export async function openCatalog(options: CatalogOptions): Promise<Catalog> {
  const database = openCatalogDatabase({
    url: options.url,
    log: options.log ?? silentLogger,
    poolSize: options.poolSize ?? 10,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    statementTimeoutMs: options.statementTimeoutMs ?? 30_000,
  });
  try {
    await migrate(database, options.clock ?? systemClock);
  } catch (error) {
    await database.db.destroy().catch(() => undefined);
    throw error;
  }
  return {
    ...createSession(database, options.masterKey),
    transaction: (work) =>
      inTransaction(database, (tx) => work(createSession(tx, options.masterKey))),
    async ping() {
      await sql`select 1`.execute(database.db);
    },
    close: () => database.db.destroy(),
  };
}

function createSession(database: CatalogDatabase, masterKey: MasterKey): CatalogSession {
  return {
    identity: identityRecords(database, masterKey),
    instances: instanceRecords(database, masterKey),
    backups: backupRecords(database),
    jobs: jobRecords(database),
    secrets: secretRecords(database, masterKey),
    settings: settingRecords(database),
    policies: policyRecords(database),
    prune: pruneRecords(database),
    intervals: intervalRecords(database),
    logStreams: logStreamRecords(database),
    tags: tagRecords(database),
    clientTokens: clientTokenRecords(database),
  };
}
