// Following the log of real servers: every byte must come, once and in order, whatever happens to
// the connection, and nothing may be confirmed that is not stored.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { formatLsn, parseLsn } from '../../src/model/log-position.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { systemClock } from '../../src/platform/clock.ts';
import {
  assertSameBytes,
  flushed,
  follow,
  killSender,
  restartLsn,
  storedLsn,
  untilStored,
  writeRows,
} from '../fixtures/log-following.ts';
import type { MemoryLog } from '../fixtures/memory-log.ts';
import { createMemoryLog, lsnOf } from '../fixtures/memory-log.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { until } from '../fixtures/until.ts';

/** Small transactions from several connections until it is told to stop. */
function startLoad(server: TestServer, clients: number): () => Promise<void> {
  let isStopping = false;
  const client = async (): Promise<void> => {
    while (!isStopping) await writeRows(server, 50);
  };
  const work = Promise.all(Array.from({ length: clients }, client));
  work.catch(() => undefined);
  return async () => {
    isStopping = true;
    await work;
  };
}

for (const { version, walSegmentMib } of [
  { version: '15', walSegmentMib: 16 },
  { version: '18', walSegmentMib: 1 },
] as const) {
  suite(`PostgreSQL ${version}, segments of ${walSegmentMib} MiB`, () => {
    let server: TestServer;
    before(async () => {
      server = await startPostgres({
        version,
        walSegmentMib,
        settings: {
          wal_keep_size: '2GB',
          fsync: 'on',
          commit_delay: '50000',
          commit_siblings: '0',
        },
      });
    });
    after(() => server[Symbol.asyncDispose]());

    test('every byte comes once, though the connection is cut again and again', async () => {
      const log = createMemoryLog();
      await writeRows(server, 10);
      const stopLoad = startLoad(server, 4);
      for (let cut = 0; cut < 4; cut++) {
        const following = follow(log, server);
        const from = storedLsn(log);
        await until('something new is stored', () => storedLsn(log) > from + 3000);
        await server.query('select pg_switch_wal()');
        await until('something new is stored', () => storedLsn(log) > from + 9000);
        await server.query(killSender);
        await following.failure('engine-unreachable');
      }
      const following = follow(log, server);
      await stopLoad();
      await server.query('select pg_switch_wal()');
      await untilStored(log, server);
      await until('a moment is proven', () => log.marks.at(-1)?.at);
      await following.stop();
      assert.ok((await assertSameBytes(log, server)) >= 4);
      assert.ok(following.lags.length > 0);
    });

    test('nothing is confirmed before it is stored, and a shutdown does not wait', async () => {
      const log = createMemoryLog();
      const following = follow(log, server);
      await untilStored(log, server);
      const stored = storedLsn(log);
      log.withhold();
      await writeRows(server, 5000);
      await systemClock.sleep(500);
      assert.ok((await restartLsn(server)) <= stored);
      await server.query('checkpoint');
      assert.ok((await restartLsn(server)) <= stored);
      const beganMs = systemClock.monotonicMs();
      await server.stop();
      assert.ok(systemClock.monotonicMs() - beganMs < 5000);
      await following.failure('engine-unreachable');
      await server.start();
      assert.ok((await restartLsn(server)) <= stored);
      log.release();
      const again = follow(log, server);
      await untilStored(log, server);
      const end = await flushed(server);
      await until('the slot moves', async () => (await restartLsn(server)) >= end);
      await again.stop();
      await assertSameBytes(log, server);
    });
  });
}

test('no mark claims a time before which a later commit was made', async () => {
  // Commits take their time 100 ms before they are on disk.
  await using server = await startPostgres({
    version: '15',
    settings: { fsync: 'on', commit_delay: '100000', commit_siblings: '0', wal_keep_size: '2GB' },
  });
  const log = createMemoryLog();
  await writeRows(server, 10);
  const following = follow(log, server);
  const stopLoad = startLoad(server, 6);
  await systemClock.sleep(3000);
  await stopLoad();
  await untilStored(log, server);
  await following.stop();
  const commits = await readCommits(log);
  const marks = log.marks.flatMap(({ position, at }) => (at ? [{ lsn: lsnOf(position), at }] : []));
  const [first, last] = [commits[0]?.at ?? 0, commits.at(-1)?.at ?? 0];
  const during = marks.filter(({ at }) => at.getTime() > first && at.getTime() < last);
  assert.ok(commits.length > 50 && during.length > 5, `${commits.length} ${during.length}`);
  for (const { lsn, at } of marks) {
    const missing = commits.find((commit) => commit.at < at.getTime() && commit.lsn >= lsn);
    assert.equal(missing, undefined);
  }
});

/** `pg_waldump` tells the time and the place of every commit in what was archived. */
async function readCommits(log: MemoryLog): Promise<{ lsn: number; at: number }[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-waldump-'));
  try {
    for (const [name, { meta }] of log.files) {
      const whole = Buffer.alloc(meta.sizeBytes ?? 0);
      log.bytesOf(name).copy(whole);
      await writeFile(join(folder, name), whole);
    }
    const start = formatLsn(BigInt(log.facts ? lsnOf(log.facts.startPosition) : 0));
    const dump = await runCommand(
      '/usr/lib/postgresql/15/bin/pg_waldump',
      ['-p', folder, '-s', start, '-r', 'Transaction'],
      { timeoutMs: 60_000, identity: null },
    );
    return [...dump.stdout.matchAll(/lsn: (\S+), prev .*COMMIT (\S+ \S+) UTC/g)].map((found) => ({
      lsn: Number(parseLsn(found[1] ?? '')),
      at: Date.parse(`${found[2]}Z`),
    }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
