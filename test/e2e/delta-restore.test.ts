// A restore over the data folder of a stopped server, with a tablespace: it ends as the backup has
// it, little is read, and what was cut short cannot be started.

import assert from 'node:assert/strict';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { ProjectId } from '../../src/model/ids.ts';
import { restoreToFolder } from '../../src/operations/restore/restore-to-folder.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { CountingStorage } from '../fixtures/counting-storage.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene } from '../fixtures/engine-scene.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { giveToServer, startPostgres } from '../fixtures/postgres-server.ts';
import {
  never,
  openTestRepository,
  testBackupId,
  testFacts,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { tableSums } from '../fixtures/table-sums.ts';

const backupId = testBackupId(1);

suite('a delta restore', () => {
  let scene: EngineScene;
  let server: TestServer;
  let storage: CountingStorage;
  let repository: Repository;
  let storedBytes: number;
  let sums: unknown;

  before(async () => {
    scene = await createEngineScene([]);
    server = await startPostgres({ version: 'debian-15', settings: { autovacuum: 'off' } });
    const far = join(scene.folder, 'far');
    await mkdir(far, { mode: 0o700 });
    await giveToServer(far);
    await server.query(`create tablespace far location '${far}'`);
    await server.query(
      `create table near as select g as id, md5(g::text) as x from generate_series(1, 60000) g`,
    );
    await server.query('create table away tablespace far as select * from near');
    await server.query(
      'create table still as select g as id, sha256(g::text::bytea) as x ' +
        'from generate_series(1, 400000) g',
    );
    await server.query('vacuum (freeze, analyze)');
    sums = await tableSums(server.url);
    storage = new CountingStorage();
    repository = (await openTestRepository(storage, MasterKey.generate())).repository;
    await using writer = await repository.openWriter({
      ...{ instanceId: testInstanceId, backupId, previousBackupId: null },
      ...{ now: new Date(0), signal: never, log: silentLogger },
    });
    const connection = scene.driver.parseUrl(server.url);
    const base = await backUp(scene.driver, connection, { sink: writer });
    const facts = testFacts({ projectId: 'project' as ProjectId });
    storedBytes = (await writer.commit({ ...facts, base })).totals.storedBytes;
  });
  after(async () => {
    await repository[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
  });

  async function restore(
    targetDir: string,
    signal: AbortSignal = never,
    onProgress: () => void = () => undefined,
  ): Promise<void> {
    const parts = { repository, engines: { postgresql: scene.driver } };
    await restoreToFolder(parts, {
      ...{ point: { kind: 'backup', backupId }, targetDir, write: 'differences' },
      ...{ tablespaceDirs: {}, onProgress, signal, log: silentLogger },
    });
  }

  test('leaves a folder alone on which a server runs', async () => {
    await assert.rejects(restore(server.dataDir), { kind: 'conflict', message: /a server runs/ });
    assert.deepEqual(await tableSums(server.url), sums);
  });

  test('leaves a folder alone that is no data folder', async () => {
    const folder = join(scene.folder, 'letters');
    await mkdir(folder);
    await writeFile(join(folder, 'precious'), 'letter');
    await assert.rejects(restore(folder), { kind: 'invalid', message: /no data folder/ });
    assert.equal(await readFile(join(folder, 'precious'), 'utf8'), 'letter');
  });

  test('cut short, cannot be started; done again, is whole', async () => {
    await server.query('update near set x = reverse(x) where id % 50 = 0');
    await server.query('insert into away select g, g::text from generate_series(1, 20000) g');
    await server.query('create table newer as select * from near');
    await server.query('checkpoint');
    await server.stop();
    const { dataDir } = server;
    const outside = join(scene.folder, 'outside');
    await writeFile(outside, 'precious');
    await rm(join(dataDir, 'pg_hba.conf'));
    await symlink(outside, join(dataDir, 'pg_hba.conf'));
    await mkdir(join(dataDir, 'base/777/deep'), { recursive: true });
    await writeFile(join(dataDir, 'base/777/deep/stray'), 'stray');

    const stopping = new AbortController();
    await assert.rejects(restore(dataDir, stopping.signal, () => stopping.abort()));
    await assert.rejects(stat(join(dataDir, 'global/pg_control')), { code: 'ENOENT' });

    storage.packBytes = 0;
    await restore(dataDir);
    assert.ok(storage.packBytes > 0 && storage.packBytes < storedBytes / 2, 'it reads too much');
    await assert.rejects(stat(join(dataDir, 'base/777')), { code: 'ENOENT' });
    assert.equal(await readFile(outside, 'utf8'), 'precious');
    const program = '/usr/lib/postgresql/15/bin/pg_verifybackup';
    const judged = await runCommand(program, [dataDir], { timeoutMs: 60_000 });
    assert.equal(judged.exitCode, 0, `${judged.stdout}${judged.stderr}`);
    await giveToServer(dataDir);
    await server.start();
    assert.deepEqual(await tableSums(server.url), sums);
  });
});
