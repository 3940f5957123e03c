import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { freshPostgresOpener, openFreshSqlite } from './fixtures/catalogs.ts';
import type { TestServer } from './fixtures/postgres-server.ts';
import { startPostgres } from './fixtures/postgres-server.ts';
import { pruneSuite } from './suites/prune-suite.ts';

let started: TestServer | null = null;
before(async () => {
  started = await startPostgres({ version: '18' });
});
after(async () => {
  await started?.[Symbol.asyncDispose]();
});

pruneSuite('sqlite', openFreshSqlite);
pruneSuite(
  'postgresql',
  freshPostgresOpener(() => started ?? assert.fail('the server did not start')),
);
