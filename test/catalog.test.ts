import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClaimRequest } from '../src/catalog/catalog.ts';
import type { DialectTraits } from '../src/catalog/dialect.ts';
import { openCatalogDatabase } from '../src/catalog/dialect.ts';
import { jobRecords } from '../src/catalog/jobs.ts';
import { openCatalog } from '../src/catalog/open-catalog.ts';
import { createPostgresPool } from '../src/catalog/postgres-pool.ts';
import { SqliteDriver } from '../src/catalog/sqlite-driver.ts';
import { isErrorKind } from '../src/model/errors.ts';
import { Secret } from '../src/model/secret.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import type { ClaimReport } from './fixtures/catalog-process.ts';
import { makeInstance, makeUser } from './fixtures/catalog-values.ts';
import type { FreshCatalog } from './fixtures/catalogs.ts';
import {
  freshPostgresOpener,
  insertJob,
  openFreshSqlite,
  someInstanceId,
} from './fixtures/catalogs.ts';
import type { TestServer } from './fixtures/postgres-server.ts';
import { findFreePort, startPostgres } from './fixtures/postgres-server.ts';
import { catalogSuite } from './suites/catalog-suite.ts';
import { identitySuite } from './suites/identity-suite.ts';
import { jobsSuite } from './suites/jobs-suite.ts';
import { locksSuite } from './suites/locks-suite.ts';
import { logCatalogSuite } from './suites/log-catalog-suite.ts';
import { secretsSuite } from './suites/secrets-suite.ts';
import { workerSuite } from './suites/worker-suite.ts';

let started: TestServer | null = null;
before(async () => {
  started = await startPostgres({ version: '18' });
});
after(async () => {
  await started?.[Symbol.asyncDispose]();
});

function server(): TestServer {
  return started ?? assert.fail('the server did not start');
}

const legs = [
  ['sqlite', openFreshSqlite],
  ['postgresql', freshPostgresOpener(server)],
] as const;

const poolOptions = {
  poolSize: 1,
  connectTimeoutMs: 1_000,
  statementTimeoutMs: 1_000,
  log: silentLogger,
} as const;

function claimRequest(owner: string): ClaimRequest {
  const [now, leaseExpiresAt] = [new Date(1_000), new Date(31_000)];
  return { owner, pools: ['default'], conflicts: { backup: ['backup'] }, now, leaseExpiresAt };
}

for (const [leg, openFresh] of legs) {
  catalogSuite(leg, openFresh);
  identitySuite(leg, openFresh);
  jobsSuite(leg, openFresh);
  locksSuite(leg, openFresh);
  logCatalogSuite(leg, openFresh);
  secretsSuite(leg, openFresh);
  workerSuite(leg, openFresh);

  describe(`catalog of several processes: ${leg}`, () => {
    it('is claimed from by three, each job once and none beside a conflicting one', async () => {
      await using fresh = await openFresh();
      const instances = [someInstanceId(), someInstanceId(), someInstanceId()];
      const ids: string[] = [];
      for (let at = 0; at < 60; at++) {
        const kind = at % 2 === 0 ? 'delete' : 'backup';
        const instanceId = instances[at % 3] ?? null;
        ids.push((await insertJob(fresh, { kind, instanceId, createdAt: new Date(at) })).id);
      }
      const children = await beginProcesses('claim', 3, fresh);
      const reports = (await runTogether(children)) as ClaimReport[];
      const claimed = reports.flatMap((report) => report.claimed);
      assert.deepEqual([...claimed].sort(), ids.sort());
      assert.deepEqual(
        reports.flatMap((report) => report.violations),
        [],
      );
    });
  });
}

describe('claims of an instance in PostgreSQL', () => {
  it('wait for each other, also when an older job turns up in between', async () => {
    await using fresh = await legs[1][1]();
    const other = await fresh.openAnother();
    const instanceId = someInstanceId();
    await insertJob(fresh, { instanceId, createdAt: new Date(2) });
    await fresh.catalog.transaction(async (tx) => {
      assert.notEqual(await tx.jobs.claim(claimRequest('one')), null);
      await insertJob({ ...fresh, catalog: other }, { instanceId, createdAt: new Date(1) });
      assert.equal(await other.jobs.claim(claimRequest('two')), null);
    });
    assert.equal(await other.jobs.claim(claimRequest('two')), null);
  });

  it('look again once they hold the instance', async () => {
    await using fresh = await legs[1][1]();
    const instanceId = someInstanceId();
    const younger = await insertJob(fresh, { instanceId, createdAt: new Date(2) });
    const claimed = Promise.withResolvers<void>();
    const mayCommit = Promise.withResolvers<void>();
    const first = fresh.catalog.transaction(async (tx) => {
      const job = await tx.jobs.claim(claimRequest('one'));
      claimed.resolve();
      await mayCommit.promise;
      return job;
    });
    await claimed.promise;
    await insertJob(fresh, { instanceId, createdAt: new Date(1) });
    // The second has chosen the older job when the first one commits, and gets the instance's lock
    // after it.
    const { db, traits } = openCatalogDatabase({ ...poolOptions, url: fresh.url });
    const tryLock: DialectTraits['tryLock'] = async (tx, name) => {
      mayCommit.resolve();
      assert.equal((await first)?.id, younger.id);
      return await traits.tryLock(tx, name);
    };
    const jobs = jobRecords({ db, traits: { ...traits, tryLock } });
    assert.equal(await jobs.claim(claimRequest('two')), null);
    await db.destroy();
  });
});

describe('migration of the catalog', () => {
  it('is done once when processes start together', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-catalog-'));
    await server().query('create database migrated_together');
    const masterKey = MasterKey.generate();
    const postgres = server().url.replace(/postgres$/, 'migrated_together');
    for (const url of [`sqlite:${join(folder, 'new', 'catalog.db')}`, postgres]) {
      const children = await beginProcesses('open', 4, { url, masterKey });
      assert.deepEqual(await runTogether(children), Array(4).fill({ opened: true }), url);
    }
    await rm(folder, { recursive: true });
  });

  it('refuses a catalog of a newer version', async () => {
    await using fresh = await openFreshSqlite();
    await fresh.catalog.close();
    const driver = new SqliteDriver({
      path: fresh.url.slice('sqlite:'.length),
      waitTimeoutMs: 1000,
    });
    await driver.init();
    const connection = await driver.acquireConnection();
    await connection.run(`insert into catalog_migrations values (99, 'future', 0)`, []);
    await driver.destroy();
    await assert.rejects(
      fresh.openAnother(),
      (e) => isErrorKind(e, 'invalid') && /version 99, this program knows up to 4/.test(e.message),
    );
  });
});

describe('the file of a SQLite catalog', () => {
  it('is for its owner only and shows no secret', async () => {
    await using fresh = await openFreshSqlite();
    const password = new Secret('open-sesame-password');
    const instance = makeInstance({});
    const connection = instance.connection && { ...instance.connection, password };
    await fresh.catalog.instances.insert({ ...instance, connection });
    const user = makeUser('a', 'd');
    await fresh.catalog.identity.insertUser(user);
    const secretKey = new Secret('open-sesame-secret-key');
    const { id: userId, createdAt } = user;
    await fresh.catalog.identity.insertAccessKey({
      accessKey: 'AK',
      secretKey,
      userId,
      createdAt,
    });
    const folder = join(fresh.url.slice('sqlite:'.length), '..');
    const names = await readdir(folder);
    assert.deepEqual(names.sort(), ['catalog.db', 'catalog.db-shm', 'catalog.db-wal']);
    let text = '';
    for (const name of names) {
      assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
      text += await readFile(join(folder, name), 'latin1');
    }
    assert.ok(text.includes(instance.name), 'the files hold what was written');
    assert.ok(!text.includes('open-sesame'));
  });
});

describe('a catalog that cannot be reached', () => {
  it('says so, without the password', async () => {
    const url = `postgres://cairn:top-secret@127.0.0.1:${await findFreePort()}/cairn`;
    for (const bad of [
      url,
      server().url.replace(/:[^:@]+@/, ':top-secret@'),
      `sqlite:${import.meta.filename}/no.db`,
    ]) {
      await assert.rejects(
        openCatalog({ url: bad, masterKey: MasterKey.generate() }),
        (e) => isErrorKind(e, 'storage-unavailable') && !String(e).includes('top-secret'),
      );
    }
    const strange = openCatalog({ url: 'mysql://u:top-secret@h', masterKey: MasterKey.generate() });
    await assert.rejects(strange, (e) => isErrorKind(e, 'invalid') && !/secret/.test(e.message));
  });

  it('is used again once the server is back', async () => {
    await using fresh = await legs[1][1]();
    const { catalog } = fresh;
    const open = catalog.transaction(async (tx) => {
      await tx.settings.ensure('half', 'written');
      await server().crash();
      await delay(20);
      await tx.settings.ensure('second', 'half');
    });
    await assert.rejects(open, (e) => isErrorKind(e, 'storage-unavailable'));
    await assert.rejects(catalog.ping(), (e) => isErrorKind(e, 'storage-unavailable'));
    await server().start();
    await catalog.ping();
    assert.equal(await catalog.settings.find('half'), null);
  });

  it('gives up on a statement that takes too long', async () => {
    const pool = createPostgresPool({ ...poolOptions, url: server().url });
    const client = await pool.connect();
    const isUnavailable = (e: unknown): boolean => isErrorKind(e, 'storage-unavailable');
    await assert.rejects(client.query('select pg_sleep(20)', []), isUnavailable);
    await assert.rejects(pool.connect(), isUnavailable, 'waited for a connection for ever');
    client.release();
    await pool.end();
  });

  it('waits for another writer of the file without standing still, and not for ever', async () => {
    await using fresh = await openFreshSqlite();
    const path = fresh.url.slice('sqlite:'.length);
    const driver = new SqliteDriver({ path, waitTimeoutMs: 300 });
    await driver.init();
    const connection = await driver.acquireConnection();
    await fresh.catalog.transaction(async (tx) => {
      await tx.settings.ensure('holds', 'the lock');
      let beats = 0;
      const heart = setInterval(() => beats++, 10);
      await assert.rejects(driver.beginTransaction(connection), (e) =>
        isErrorKind(e, 'storage-unavailable'),
      );
      clearInterval(heart);
      assert.ok(beats >= 3, `the event loop stood still: ${beats} beats`);
    });
    await driver.beginTransaction(connection);
    await driver.rollbackTransaction(connection);
    await driver.destroy();
  });
});

async function beginProcesses(
  mode: 'open' | 'claim',
  count: number,
  { url, masterKey }: Pick<FreshCatalog, 'url' | 'masterKey'>,
): Promise<ChildProcess[]> {
  const program = join(import.meta.dirname, 'fixtures/catalog-process.ts');
  const children = Array.from({ length: count }, () =>
    spawn(process.execPath, [program, mode, url, masterKey.reveal()], {
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  for (const child of children) {
    if (child.stdout) await once(child.stdout.setEncoding('utf8'), 'data');
  }
  return children;
}

/** Lets all begin at the same moment; answers what each printed. */
async function runTogether(children: readonly ChildProcess[]): Promise<unknown[]> {
  const outputs = children.map(async (child) => {
    let text = '';
    child.stdout?.on('data', (part: string) => {
      text += part;
    });
    const [exitCode] = await once(child, 'close');
    assert.equal(exitCode, 0);
    return JSON.parse(text) as unknown;
  });
  for (const child of children) child.stdin?.write('begin\n');
  return await Promise.all(outputs);
}
