// The job of a backup, on a real server that knows what has changed and a repository in memory:
// what is kept is not read, and a previous backup that cannot be used costs the way of keeping,
// never the backup (rule 32).

import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Catalog } from '../../src/catalog/catalog.ts';
import type { JobContext } from '../../src/jobs/job-kind.ts';
import type { Job, JobPayload } from '../../src/model/job.ts';
import type { BackupReport } from '../../src/operations/backup/backup-report.ts';
import { runBackup } from '../../src/operations/backup/run-backup.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { systemRandom } from '../../src/platform/random.ts';
import type { Repository, RepositoryReader } from '../../src/repository/repository.ts';
import { CountingStorage } from '../fixtures/counting-storage.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { createEngineScene } from '../fixtures/engine-scene.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import {
  never,
  openTestRepository,
  testBackupId,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { tableSums } from '../fixtures/table-sums.ts';

let scene: EngineScene;
let server: TestServer;
let storage: CountingStorage;
let repository: Repository;
let count = 0;
let report: JobPayload | null = null;

before(async () => {
  scene = await createEngineScene(['17']);
  server = await startPostgres({
    version: '17',
    settings: { summarize_wal: 'on', autovacuum: 'off' },
  });
  await server.query(
    'create table t as select g as id, md5(g::text) as x from generate_series(1, 99999) g',
  );
  await server.query('vacuum analyze');
  storage = new CountingStorage();
  repository = (await openTestRepository(storage, MasterKey.generate())).repository;
});
after(async () => {
  await repository[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await scene[Symbol.asyncDispose]();
});

/** Takes the next backup on top of the last one, through the recipe of the job. */
async function takeNext(): Promise<RepositoryReader> {
  const previous = count === 0 ? null : { id: testBackupId(count) };
  const id = testBackupId(++count);
  const connection = scene.driver.parseUrl(server.url);
  const catalog = {
    instances: {
      get: async () => ({ id: testInstanceId, name: 'pg', engine: 'postgresql', connection }),
    },
    backups: {
      get: async () => ({
        ...{ id, instanceId: testInstanceId, name: `number-${count}`, databases: [] },
        ...{ type: 'manual', description: '', startedAt: new Date(0), projectId: 'project' },
        state: { status: 'building' },
      }),
      findLatestCompleted: async () => previous,
      setState: async () => undefined,
    },
    jobs: {
      setResult: async (_id: unknown, result: JobPayload) => {
        report = result;
      },
    },
  } as unknown as Catalog;
  const context: JobContext = {
    ...{ signal: never, log: silentLogger, progress: () => undefined },
    assertLease: async () => undefined,
    isFinal: async () => true,
    commit: (work) => work(catalog),
  };
  await runBackup({ payload: { backupId: id } } as unknown as Job, context, {
    ...{ catalog, engines: { postgresql: scene.driver }, repository, serversDir: scene.folder },
    ...{ clock: systemClock, random: systemRandom, pruneGraceMs: 0, secondStorage: null },
    logArchive: { isOn: false, intervalMs: null },
  });
  return await repository.openReader(testInstanceId, id, never);
}

async function assertRestores(reader: RepositoryReader): Promise<void> {
  const started = await scene.driver.startRestored({
    source: reader,
    homeDir: join(scene.folder, `restored-${systemRandom.hex(4)}`),
    login: { connection: scene.driver.parseUrl(server.url), rolePassword: 'ensure' },
    ...{ recovery: null, port: 0, onProgress: () => undefined, signal: never, log: silentLogger },
  });
  const url = new URL(server.url);
  url.port = String(started.connection.port);
  try {
    assert.deepEqual(await tableSums(url.href), await tableSums(server.url));
  } finally {
    await scene.driver.stopManaged(started.managed, never);
  }
}

/** Of every file map that a backup has made. */
function damageMaps(number: number): void {
  const folder = `/${testBackupId(number)}/maps/`;
  for (const [name, bytes] of storage.objects) if (name.includes(folder)) bytes.fill(0, 40, 90);
}

test('the second backup is sent and reads little, and restores', async (context) => {
  const first = await takeNext();
  assert.notEqual(first.notes.source, 'increment');
  await server.query("update t set x = 'changed' where id % 1000 = 0");
  storage.readBytes = 0;
  const second = await takeNext();
  assert.equal(second.notes.source, 'increment');
  const { logicalBytes, newBytes } = second.stored.totals;
  const { readBytes, ...rest } = report as unknown as BackupReport;
  assert.deepEqual(rest, {
    ...{ kind: 'backup', source: 'increment', reasons: [] },
    keptBytes: logicalBytes - readBytes,
  });
  assert.ok(readBytes < logicalBytes / 2, `${readBytes} bytes were sent`);
  context.diagnostic(
    `${newBytes} of ${logicalBytes} bytes are new, ${storage.readBytes} were read`,
  );
  // The last of the log is read back.
  assert.ok(storage.readBytes < 3_000_000, `${storage.readBytes} bytes were read`);
  assert.ok(newBytes < logicalBytes / 4, `${newBytes} of ${logicalBytes} bytes`);
  await assertRestores(second);
});

test('damaged file maps that the previous backup needs cost one whole backup', async () => {
  // Its own manifest can still be read: the damage shows when a page is kept.
  damageMaps(1);
  await server.query("update t set x = 'again' where id % 700 = 0");
  const whole = await takeNext();
  assert.notEqual(whole.notes.source, 'increment');
  await assertRestores(whole);
  const next = await takeNext();
  assert.equal(next.notes.source, 'increment');
  await assertRestores(next);
});

test('so do summaries of the log that are gone; the notes say so', async () => {
  await server.query('alter system set summarize_wal = off');
  await server.query('select pg_reload_conf()');
  // The log that they could be made of anew goes, too.
  for (let i = 0; i < 3; i++) {
    await server.query('create table if not exists more as select 1');
    await server.query('select pg_switch_wal()');
    await server.query('checkpoint');
  }
  const folder = join(server.dataDir, 'pg_wal/summaries');
  for (const name of await readdir(folder)) await rm(join(folder, name));
  await server.query('alter system set summarize_wal = on');
  await server.query('select pg_reload_conf()');
  const { notes } = await takeNext();
  assert.notEqual(notes.source, 'increment');
  assert.match(String(notes.sourceReasons), /summar/);
});
