// A catalog of the version before, with people in it, opened by this program.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql } from 'kysely';
import { openCatalogDatabase } from '../src/catalog/dialect.ts';
import { createInitialTables } from '../src/catalog/migrations/0001-initial.ts';
import { openCatalog } from '../src/catalog/open-catalog.ts';
import type { UserId } from '../src/model/ids.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { makeInstance } from './fixtures/catalog-values.ts';
import { openFreshSqlite } from './fixtures/catalogs.ts';

test('whoever could log in before roles came owns every project', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-upgrade-'));
  const url = `sqlite:${join(folder, 'catalog.db')}`;
  const limits = { poolSize: 1, connectTimeoutMs: 1000, statementTimeoutMs: 1000 };
  const { db } = openCatalogDatabase({ url, log: silentLogger, ...limits });
  await createInitialTables(db);
  const history = sql`create table catalog_migrations (version integer, name text, applied_at int)`;
  await history.execute(db);
  await sql`insert into catalog_migrations values (1, '0001-initial', 0)`.execute(db);
  await sql`
    insert into users (id, name, domain_id, domain_name, password_hash)
    values ('u1', 'admin', 'd1', 'cairn', 'scrypt')
  `.execute(db);
  await db.destroy();
  const catalog = await openCatalog({ url, masterKey: MasterKey.generate() });
  const userId = 'u1' as UserId;
  const grants = [{ userId, projectId: null, role: 'owner' }];
  assert.deepEqual(await catalog.identity.listGrants(userId), grants);
  assert.equal((await catalog.identity.findUser(userId))?.createdAt.getTime(), 0);
  await catalog.close();
  await rm(folder, { recursive: true });
});

test('a server registered before there were standbys has none', async () => {
  await using fresh = await openFreshSqlite();
  const instance = makeInstance({});
  await fresh.catalog.instances.insert(instance);
  const limits = { poolSize: 1, connectTimeoutMs: 1000, statementTimeoutMs: 1000 };
  const { db } = openCatalogDatabase({ url: fresh.url, log: silentLogger, ...limits });
  await sql`update instances set connection = json_remove(connection, '$.standbys')`.execute(db);
  await db.destroy();
  const { connection } = await fresh.catalog.instances.get(instance.projectId, instance.id);
  assert.deepEqual(connection, { ...instance.connection, standbys: [] });
});
