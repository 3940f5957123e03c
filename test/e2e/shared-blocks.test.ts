// A restore beside a server that runs, on a file system that shares blocks: little is read and
// little written, and neither of the two servers sees anything of the other.
import assert from 'node:assert/strict';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client } from 'pg';
import type { StartedServer } from '../../src/engines/engine.ts';
import type { ProjectId } from '../../src/model/ids.ts';
import { MiB } from '../../src/model/units.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { MasterKey } from '../../src/platform/master-key.ts';
import { CountingStorage } from '../fixtures/counting-storage.ts';
import { backUp, createEngineScene } from '../fixtures/engine-scene.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import {
  never,
  openTestRepository,
  testBackupId,
  testFacts,
  testInstanceId,
} from '../fixtures/repositories.ts';
import { skipWithoutRoot } from '../fixtures/small-disk.ts';
import { atPort, tableSums } from '../fixtures/table-sums.ts';
import { mountXfs } from '../fixtures/xfs-disk.ts';

test('a restore beside the old server writes what differs', { skip: skipWithoutRoot }, async () => {
  await using scope = new AsyncDisposableStack();
  const scene = scope.use(await createEngineScene([]));
  const disk = scope.use(await mountXfs(600));
  const server = scope.use(await startPostgres({ version: 'debian-15' }));
  await server.query(
    `create table bulk as select g as id, sha256(g::text::bytea) || sha256(g::text::bytea) as x
     from generate_series(1, 400000) g`,
  );
  await server.query('create table few as select g as id from generate_series(1, 1000) g');
  const sums = await tableSums(server.url);
  const storage = new CountingStorage();
  const opened = await openTestRepository(storage, MasterKey.generate());
  const { repository } = scope.adopt(opened, (one) => one.repository[Symbol.asyncDispose]());
  const backupId = testBackupId(1);
  await using writer = await repository.openWriter({
    ...{ instanceId: testInstanceId, backupId, previousBackupId: null },
    ...{ now: new Date(0), signal: never, log: silentLogger },
  });
  const connection = scene.driver.parseUrl(server.url);
  const base = await backUp(scene.driver, connection, { sink: writer });
  const facts = testFacts({ projectId: 'project' as ProjectId });
  const { totals } = await writer.commit({ ...facts, base });

  const usedMib = async (): Promise<number> => {
    const { blocks, bfree, bsize } = await statfs(disk.path);
    return ((blocks - bfree) * bsize) / MiB;
  };
  const prepare = async (name: string, seed?: StartedServer['managed']) => {
    const source = await repository.openReader(testInstanceId, backupId, never);
    storage.packBytes = 0;
    const usedBefore = await usedMib();
    const { managed } = await scene.driver.prepareRestored({
      ...{ source, homeDir: join(disk.path, name), recovery: null, ...(seed && { seed }) },
      ...{ onProgress: () => undefined, signal: never, log: silentLogger },
    });
    return { managed, readBytes: storage.packBytes, grownMib: (await usedMib()) - usedBefore };
  };
  const start = async (managed: StartedServer['managed']): Promise<string> => {
    scope.defer(() => scene.driver.stopManaged(managed, never));
    const { connection: reached } = await scene.driver.startManaged(managed, {
      ...{ connection, port: 0, rolePassword: 'ensure', signal: never, log: silentLogger },
    });
    return atPort(server.url, reached.port);
  };

  const first = await prepare('first');
  assert.ok(first.grownMib > 60, `${first.grownMib} MiB`);
  const firstUrl = await start(first.managed);
  await runIn(firstUrl, "update bulk set x = '' where id <= 50; delete from few; checkpoint");
  const changed = await tableSums(firstUrl);
  assert.notDeepEqual(changed, sums);

  const second = await prepare('second', first.managed);
  assert.ok(second.readBytes < first.readBytes / 3, `${second.readBytes} of ${first.readBytes}`);
  // Most of what is left is log, which no other server has.
  const walMib = 16 * 2;
  assert.ok(second.grownMib < walMib + 12, `${second.grownMib} of ${totals.logicalBytes / MiB}`);
  const secondUrl = await start(second.managed);
  assert.deepEqual(await tableSums(secondUrl), sums);
  assert.deepEqual(await tableSums(firstUrl), changed, 'the old server is as it was');
});

async function runIn(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(sql);
  await client.end();
}
