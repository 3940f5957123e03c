// An S3 store that goes away in the middle of a backup and does not come back in time: the job says
// so, what was complete stays so, and the next backup is as any other.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BackupId } from '../../src/model/ids.ts';
import type { Job } from '../../src/model/job.ts';
import { requestBackup } from '../../src/operations/backup/request-backup.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { Repository } from '../../src/repository/repository.ts';
import type { Patience } from '../../src/storage/s3-retry.ts';
import { makeInstance } from '../fixtures/catalog-values.ts';
import type { FreshCatalog } from '../fixtures/catalogs.ts';
import { openFreshSqlite, testProjectId } from '../fixtures/catalogs.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { createEngineScene } from '../fixtures/engine-scene.ts';
import type { Fate, FaultyProxy } from '../fixtures/faulty-proxy.ts';
import { startFaultyProxy } from '../fixtures/faulty-proxy.ts';
import { runNextJob } from '../fixtures/job-run.ts';
import type { ObjectStore } from '../fixtures/object-store.ts';
import { startObjectStore } from '../fixtures/object-store.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { never, openTestRepository, testInstanceId } from '../fixtures/repositories.ts';
import { openS3, useCredentials } from '../fixtures/s3-storages.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';

const patience: Patience = { attemptMs: 5_000, operationMs: 2_000, pauseMinMs: 1, pauseMaxMs: 50 };
const all = new AsyncDisposableStack();
let store: ObjectStore;
let proxy: FaultyProxy;
let scene: EngineScene;
let server: TestServer;
let fresh: FreshCatalog;
let repository: Repository;

before(async () => {
  store = all.use(await startObjectStore('ceph'));
  await store.makeBucket('backups');
  useCredentials(store.environment);
  proxy = all.use(await startFaultyProxy({ target: store.endpoint }));
  scene = all.use(await createEngineScene(['17']));
  server = all.use(await startPostgres({ version: '17' }));
  fresh = all.use(await openFreshSqlite());
  const storage = await openS3(`s3://backups/lost?endpoint=${proxy.endpoint}`, { patience });
  const more = { objectSizes: { packBytes: 1_000_000 } };
  repository = (await openTestRepository(storage, MasterKey.generate(), more)).repository;
  all.use(repository);
  const connection = scene.driver.parseUrl(server.url);
  const instance = { id: testInstanceId, name: 'shop', connection };
  await fresh.catalog.instances.insert(makeInstance(instance));
});
after(() => all.disposeAsync());

async function backUp(name: string): Promise<{ job: Job; id: BackupId }> {
  const { catalog } = fresh;
  const parts = {
    ...{ catalog, repository, engines: { postgresql: scene.driver }, secondStorage: null },
    ...{ clock: systemClock, random: systemRandom, log: silentLogger },
    ...{ serversDir: scene.folder, pruneGraceMs: 0, instanceQuota: null },
    ...{ logArchive: { isOn: false, intervalMs: null }, defaultPolicy: { kind: 'off' } as const },
  };
  const { backup } = await requestBackup(parts, {
    ...{ projectId: testProjectId, instanceId: testInstanceId, name, description: '' },
    ...{ databases: [], individually: false, type: 'manual' },
  });
  const job = (await runNextJob(parts)) ?? assert.fail('no job');
  return { job, id: backup.id };
}

async function restoredSums(backupId: BackupId): Promise<Record<string, string>> {
  const started = await scene.driver.startRestored({
    source: await repository.openReader(testInstanceId, backupId, never),
    homeDir: join(scene.folder, `restored-${systemRandom.hex(4)}`),
    login: { connection: scene.driver.parseUrl(server.url), rolePassword: 'ensure' },
    ...{ recovery: null, port: 0, onProgress: () => undefined, signal: never, log: silentLogger },
  });
  try {
    return await tableSums(atPort(server.url, started.connection.port));
  } finally {
    await scene.driver.stopManaged(started.managed, never);
  }
}

test('a store that is gone for good fails the backup, and harms no other', async () => {
  await server.query('create table t as select g, md5(g::text) from generate_series(1, 50000) g');
  const first = await backUp('first');
  assert.equal(first.job.status, 'succeeded', JSON.stringify(first.job.error));
  const firstSums = await tableSums(server.url);
  await server.query(
    'create table more as select g, md5((-g)::text) from generate_series(1, 300000) g',
  );
  let packs = 0;
  proxy.decide = async ({ method, path }): Promise<Fate> => {
    if (method === 'PUT' && path.includes('/packs/') && ++packs === 3) await store.killGateway();
    return 'pass';
  };
  const lost = await backUp('lost');
  assert.ok(packs >= 3, 'the store went away too late');
  assert.equal(lost.job.status, 'failed');
  assert.equal(lost.job.error?.kind, 'storage-unavailable', JSON.stringify(lost.job.error));
  const { state } = await fresh.catalog.backups.get(testProjectId, lost.id);
  assert.equal(state.status, 'failed');
  await store.startGateway();
  proxy.decide = () => 'pass';
  assert.equal(await repository.hasBackup(testInstanceId, lost.id, never), false);
  assert.deepEqual(await restoredSums(first.id), firstSums);
  const next = await backUp('next');
  assert.equal(next.job.status, 'succeeded', JSON.stringify(next.job.error));
  assert.deepEqual(await restoredSums(next.id), await tableSums(server.url));
});
