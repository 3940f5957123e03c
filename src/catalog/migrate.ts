// Brings the catalog's schema up to what this program knows, in one transaction under one lock:
// when several processes start at once the first migrates, the others wait and find nothing to do.
// Versions only go up.
import { CairnError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { CatalogDatabase } from './dialect.ts';
import { inTransaction } from './dialect.ts';
import { createInitialTables } from './migrations/0001-initial.ts';
import { createRdsApiTables } from './migrations/0002-rds-api.ts';
import { createMaintenanceTables } from './migrations/0003-maintenance.ts';
import { createLogArchive } from './migrations/0004-log-archive.ts';
import type { Migration } from './migrations/migration.ts';

/**
 * In order and for ever: what a release has carried out is never edited, only followed by the next.
 */
const migrations: readonly Migration[] = [
  { name: '0001-initial', up: createInitialTables },
  { name: '0002-rds-api', up: createRdsApiTables },
  { name: '0003-maintenance', up: createMaintenanceTables },
  { name: '0004-log-archive', up: createLogArchive },
];

/** @throws invalid when a newer program has migrated the catalog already */
export async function migrate(database: CatalogDatabase, clock: Clock): Promise<void> {
  await inTransaction(database, async ({ db, traits }) => {
    await traits.lock(db, 'migrate');
    await db.schema
      .createTable('catalog_migrations')
      .ifNotExists()
      .addColumn('version', 'integer', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('applied_at', 'bigint', (column) => column.notNull())
      .execute();
    const version = await readVersion({ db, traits });
    refuseNewer(version);
    for (const [index, migration] of migrations.slice(version).entries()) {
      await migration.up(db);
      const row = { version: version + index + 1, name: migration.name };
      await db
        .insertInto('catalog_migrations')
        .values({ ...row, applied_at: clock.now().getTime() })
        .execute();
    }
  });
}

async function readVersion({ db }: CatalogDatabase): Promise<number> {
  const row = await db
    .selectFrom('catalog_migrations')
    .select('version')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.version ?? 0;
}

function refuseNewer(version: number): void {
  if (version <= migrations.length) return;
  throw new CairnError(
    'invalid',
    `the catalog has schema version ${version}, this program knows up to ${migrations.length}`,
    { hint: 'a newer version of cairn has used this catalog: run that version, or a later one' },
  );
}
