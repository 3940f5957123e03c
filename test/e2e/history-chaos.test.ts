// What can happen to a server, its archiver and the storage while the log is archived: afterwards
// every commit that was acknowledged, and that the shown window covers, is there, and none that
// came later. CAIRN_CHAOS_VERSION chooses the server, 18 by default, CAIRN_CHAOS_MOMENTS how many
// of the moments of trouble are restored to, one by default.
import assert from 'node:assert/strict';
import { appendFile, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { RecoveryTarget } from '../../src/model/recovery-target.ts';
import type { ArchivedServer } from '../fixtures/archived-server.ts';
import { assertPast, momentAfter, startArchivedServer } from '../fixtures/archived-server.ts';
import type { GatedProxy } from '../fixtures/gated-proxy.ts';
import { startGatedProxy } from '../fixtures/gated-proxy.ts';
import { killSender } from '../fixtures/log-following.ts';
import type { PostgresVersion } from '../fixtures/postgres-server.ts';
import type { SmallDisk } from '../fixtures/small-disk.ts';
import { mountSmallDisk, skipWithoutRoot } from '../fixtures/small-disk.ts';
import { atPort } from '../fixtures/table-sums.ts';
import { until } from '../fixtures/until.ts';

const version = (process.env['CAIRN_CHAOS_VERSION'] ?? '18') as PostgresVersion;
const diskMib = 400;
const latest: RecoveryTarget = { kind: 'latest', timeline: null };
const scene = new AsyncDisposableStack();
let archived: ArchivedServer;
let proxy: GatedProxy;
let disk: SmallDisk | null = null;
let streamId: string | null | undefined;
/** In the middle of each trouble. */
const moments: RecoveryTarget[] = [];
/** How many of them are restored to besides the end, which holds what all of them do. */
const momentsChecked = Number(process.env['CAIRN_CHAOS_MOMENTS'] ?? 1);

before(async () => {
  disk = skipWithoutRoot ? null : scene.use(await mountSmallDisk(diskMib));
  const place = disk ? { storageUrl: pathToFileURL(join(disk.path, 'repository')).href } : {};
  archived = scene.use(
    await startArchivedServer({
      ...{ version, writer: { switchEvery: 200 }, ...place },
      async urlOf(server) {
        proxy = scene.use(await startGatedProxy(server.port));
        return atPort(server.url, proxy.port);
      },
    }),
  );
  await archived.backUp('base');
  streamId = (await archived.showArchive())?.stream_id;
});
after(() => scene.disposeAsync());

/** Trouble begins and ends in `work`, in the middle of the writing. */
async function assertSurvived(work: () => Promise<void>): Promise<void> {
  const { writer } = archived;
  await delay(500);
  await work();
  const troubled = writer.commits.at(-1);
  await until('it goes on', () => (writer.commits.at(-1)?.id ?? 0) > (troubled?.id ?? 0) + 50);
  await archived.untilCovered();
  const now = await archived.showArchive();
  assert.equal(now?.stream_id, streamId, 'it is the same stream');
  assert.equal(now?.last_gap, null);
  moments.push(momentAfter(troubled));
}

async function fillUp(disk: string, ballast: string): Promise<void> {
  const { bavail, bsize } = await statfs(disk);
  await appendFile(ballast, Buffer.alloc((bavail + 1) * bsize)).catch((error: unknown) => {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  });
}

suite(`the history of PostgreSQL ${version} through trouble`, () => {
  test('the archiving worker is killed', async () => {
    await assertSurvived(async () => {
      const [pid] = await archived.service.workers();
      process.kill(Number(pid), 'SIGKILL');
      await delay(500);
    });
  });

  test('the server crashes and starts again', async () => {
    await assertSurvived(async () => {
      await archived.server.crash();
      await archived.server.start();
    });
  });

  test('the server ends the connection, again and again', async () => {
    await assertSurvived(async () => {
      for (let count = 0; count < 3; count++) {
        await archived.server.query(killSender);
        await delay(700);
      }
    });
  });

  test('the line goes silent, and is cut at last', async () => {
    await assertSurvived(async () => {
      proxy.close(0);
      await until('nothing passes', () => proxy.isHolding());
      await delay(3_000);
      proxy.cut();
      proxy.open();
    });
  });

  test('the disk of the repository is full for a while', { skip: skipWithoutRoot }, async () => {
    assert.ok(disk);
    const { path } = disk;
    const ballast = join(path, 'ballast');
    await assertSurvived(async () => {
      await until('it is told', async () => {
        // Again: what is removed meanwhile makes room.
        await fillUp(path, ballast);
        return (await archived.showArchive())?.status === 'waiting';
      });
      await unlink(ballast);
    });
  });

  test('in the end nothing is missing that the ledger holds', async () => {
    await archived.writer.stop();
    await archived.untilCovered();
    await assertPast(archived, latest);
  });

  test('and at a moment of trouble exactly what was committed by then', async (t) => {
    const chosen = moments.map((_, index) => (index + Date.now()) % moments.length);
    for (const index of chosen.slice(0, momentsChecked)) {
      t.diagnostic(`trouble number ${index + 1} of ${moments.length}`);
      await assertPast(archived, moments[index] ?? assert.fail());
    }
  });
});
