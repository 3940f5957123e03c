import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { freshPostgresOpener, openFreshSqlite } from './fixtures/catalogs.ts';
import type { TestServer } from './fixtures/postgres-server.ts';
import { startPostgres } from './fixtures/postgres-server.ts';
import { policySuite } from './suites/policy-suite.ts';
import { retentionSuite } from './suites/retention-suite.ts';
import { scheduleSuite } from './suites/schedule-suite.ts';

let started: TestServer | null = null;
before(async () => {
  started = await startPostgres({ version: '18' });
});
after(async () => {
  await started?.[Symbol.asyncDispose]();
});

const openFreshPostgres = freshPostgresOpener(
  () => started ?? assert.fail('the server did not start'),
);
for (const suite of [policySuite, scheduleSuite, retentionSuite]) {
  suite('sqlite', openFreshSqlite);
  suite('postgresql', openFreshPostgres);
}
