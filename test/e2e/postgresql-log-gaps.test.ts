// What happens to a followed log when its server is replaced, set back, or has thrown log away: it
// goes on where that is possible, and says that there is a gap where it is not.
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client } from 'pg';
import { formatLsn } from '../../src/model/log-position.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { deadlineSignal, untilAborted } from '../../src/platform/deadline.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted } from '../fixtures/engine-scene.ts';
import { createFolderSink } from '../fixtures/file-source.ts';
import {
  assertSameBytes,
  flushed,
  follow,
  keeperName,
  storedLsn,
  untilStored,
  writeRows,
} from '../fixtures/log-following.ts';
import type { MemoryLog } from '../fixtures/memory-log.ts';
import { createMemoryLog, timelineOf } from '../fixtures/memory-log.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { giveToServer, startPostgres, startStandby } from '../fixtures/postgres-server.ts';
import { until } from '../fixtures/until.ts';

let scene: EngineScene;
before(async () => {
  scene = await createEngineScene(['18']);
});
after(() => scene[Symbol.asyncDispose]());

const startServer = (settings: Record<string, string> = {}): Promise<TestServer> =>
  startPostgres({ version: '18', walSegmentMib: 1, settings });

let copies = 0;
async function addStandby(primary: TestServer): Promise<TestServer> {
  const sink = createFolderSink(join(scene.folder, `backup-${copies++}`));
  const result = await backUp(scene.driver, scene.driver.parseUrl(primary.url), { sink });
  return await startStandby(primary, async (dataDir) => {
    await scene.driver.restoreFolder({
      source: sink.toSource(result),
      targetDir: dataDir,
      recovery: null,
      tablespaceDirs: {},
      onProgress: () => undefined,
      signal: neverAborted,
      log: silentLogger,
    });
  });
}

async function untilReplayed(standby: TestServer, lsn: number): Promise<void> {
  await until('the standby has all', async () => {
    const [row] = await standby.query(
      "select pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint::text as lsn",
    );
    return Number(row?.lsn) >= lsn;
  });
}

const switchOften = async (server: TestServer, count: number): Promise<void> => {
  for (let done = 0; done < count; done++) {
    await writeRows(server, 200);
    await server.query('select pg_switch_wal()');
  }
  await server.query('checkpoint');
};

suite('a failover', () => {
  test('the rest of the old timeline comes first, then the new one', async () => {
    const log = createMemoryLog();
    await using primary = await startServer({ wal_keep_size: '1GB' });
    await writeRows(primary, 1000);
    await using standby = await addStandby(primary);
    await assertRefused(log, standby);
    const following = follow(log, primary);
    await untilStored(log, primary);
    await following.stop();
    await writeRows(primary, 9000);
    await untilReplayed(standby, await flushed(primary));
    await primary.crash();
    await standby.query('select pg_promote()');
    const after = follow(log, standby);
    await writeRows(standby, 3000);
    await untilStored(log, standby);
    await until('a moment is proven', () => log.marks.at(-1)?.at);
    await after.stop();
    const names = [...log.files.keys()];
    assert.ok(names.includes('00000002.history'), names.join());
    const files = names.filter((name) => name.startsWith('00000002'));
    assert.equal(files[0], '00000002.history');
    assert.ok(files.length > 1);
    assert.ok(names.filter((name) => name.startsWith('00000001')).length > 1);
    await assertSameBytes(log, standby);
  });

  test('log that only the lost primary had stays, and the new timeline begins before', async () => {
    const log = createMemoryLog();
    await using primary = await startServer({ wal_keep_size: '1GB' });
    await writeRows(primary, 1000);
    await using standby = await addStandby(primary);
    await untilReplayed(standby, await flushed(primary));
    await standby.stop();
    const following = follow(log, primary);
    await writeRows(primary, 5000);
    await untilStored(log, primary);
    const lost = storedLsn(log);
    await following.stop();
    await primary.crash();
    await standby.start();
    await standby.query('select pg_promote()');
    const after = follow(log, standby);
    await until('the new timeline comes', () => {
      return log.storedPosition && timelineOf(log.storedPosition) === 2;
    });
    await untilStored(log, standby);
    assert.ok(storedLsn(log) < lost);
    await after.stop();
    const again = follow(log, standby);
    await writeRows(standby, 500);
    await untilStored(log, standby);
    await again.stop();
    const names = [...log.files.keys()].filter((name) => name.startsWith('00000002'));
    await assertSameBytes(log, standby, names);
    await primary.start();
    const error = await follow(log, primary).failure('log-gap');
    assert.match(error.message, /timeline 2, which is not in the history/);
  });

  test('commits do not wait for the archive, though any standby may be synchronous', async () => {
    const log = createMemoryLog();
    await using primary = await startServer();
    const following = follow(log, primary);
    await untilStored(log, primary);
    log.withhold();
    await using standby = await addStandby(primary);
    await primary.query("alter system set synchronous_standby_names = '*'");
    await primary.query('select pg_reload_conf()');
    await until('the standby is synchronous', async () => {
      const [row] = await primary.query(
        "select count(*)::int as n from pg_stat_replication where sync_state = 'sync'",
      );
      return row?.n === 1;
    });
    const deadline = deadlineSignal(5000);
    for (let commits = 0; commits < 20; commits++) {
      await untilAborted(writeRows(primary, 10), deadline);
      await systemClock.sleep(20);
    }
    await following.stop();
    assert.ok(standby.port > 0);
  });

  async function assertRefused(log: MemoryLog, standby: TestServer) {
    const error = await follow(log, standby).failure('engine-refused');
    assert.match(error.hint ?? '', /name the primary/);
  }
});

suite('a server that was set back', () => {
  test('is a gap, also when it has written on', async () => {
    await using server = await startServer();
    const log = createMemoryLog();
    await writeRows(server, 100);
    await server.stop();
    const snapshot = join(server.dataDir, '../snapshot');
    const restore = async (from: string, to: string): Promise<void> => {
      await rm(to, { recursive: true, force: true });
      await cp(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
      await giveToServer(to);
    };
    await restore(server.dataDir, snapshot);
    await server.start();
    const following = follow(log, server);
    await writeRows(server, 1000);
    await untilStored(log, server);
    await following.stop();
    await server.stop();
    await restore(snapshot, server.dataDir);
    await server.start();
    const before = await follow(log, server).failure('log-gap');
    assert.match(before.message, /but the server's log ends at/);
    while ((await flushed(server)) < storedLsn(log) + 10_000) await writeRows(server, 300);
    const later = await follow(log, server).failure('log-gap');
    assert.match(later.message, /is not what is stored/);
  });

  test('another server is a gap', async () => {
    await using one = await startServer();
    await using other = await startServer();
    const log = createMemoryLog();
    const following = follow(log, one);
    await untilStored(log, one);
    await following.stop();
    const error = await follow(log, other).failure('log-gap');
    assert.match(error.message, /the connection leads to system \d+, the log is of \d+/);
  });
});

suite('the slot', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({
      ...{ max_slot_wal_keep_size: '8MB', min_wal_size: '2MB', max_wal_size: '3MB' },
    });
    await writeRows(server, 10);
  });
  after(() => server[Symbol.asyncDispose]());

  const follower = async () => {
    const log = createMemoryLog();
    const following = follow(log, server);
    await untilStored(log, server);
    await following.stop();
    return log;
  };

  test('given up by the server: a gap, and the next stream begins', async () => {
    const log = await follower();
    await switchOften(server, 16);
    const [slot] = await server.query('select wal_status from pg_replication_slots');
    assert.equal(slot?.wal_status, 'lost');
    const error = await follow(log, server).failure('log-gap');
    assert.match(error.message, /has removed log behind .*: the server has given up replication/);
    assert.match(error.hint ?? '', /max_slot_wal_keep_size/);
    await follower();
  });

  test('dropped: goes on while the log is there, a gap when it is not', async () => {
    const log = await follower();
    await server.query('select pg_drop_replication_slot($1)', [keeperName]);
    await writeRows(server, 50);
    const following = follow(log, server);
    await untilStored(log, server);
    await following.stop();
    await assertSameBytes(log, server);
    await server.query('select pg_drop_replication_slot($1)', [keeperName]);
    await switchOften(server, 16);
    const error = await follow(log, server).failure('log-gap');
    assert.match(error.message, /replication slot cairn_test is gone/);
  });

  test('a danger is told before it is one', async () => {
    const log = await follower();
    log.withhold();
    const following = follow(log, server);
    await until('it follows', () => following.lags.length > 0);
    await switchOften(server, 7);
    const lag = await until('a warning', () => following.lags.find((found) => found.warning));
    assert.match(lag.warning?.hint ?? '', /max_slot_wal_keep_size/);
    assert.ok(lag.behindBytes > 1_000_000, String(lag.behindBytes));
    await following.stop();
  });

  /** Takes the slot as another program, or a dead connection of ours, does; never answers. */
  const hold = async (log: MemoryLog, holderName: string): Promise<Client> => {
    const settings = { connectionString: server.url, application_name: holderName };
    const client = new Client({ ...settings, ...{ replication: 'true' } });
    client.on('error', () => undefined);
    await client.connect();
    const from = formatLsn(BigInt(storedLsn(log)));
    client.query(`START_REPLICATION SLOT ${keeperName} PHYSICAL ${from}`).catch(() => undefined);
    await until('the slot is held', async () => {
      const [row] = await server.query('select active from pg_replication_slots');
      return row?.active;
    });
    return client;
  };

  test('held by another program is a conflict, by a dead connection of ours is taken', async () => {
    await scene.driver.releaseLog(scene.driver.parseUrl(server.url), keeperName, neverAborted);
    const log = await follower();
    const stranger = await hold(log, 'pg_receivewal');
    const error = await follow(log, server, { slotWaitMs: 300 }).failure('conflict');
    assert.match(error.message, /cairn_test is held by process \d+/);
    await stranger.end();
    const dead = await hold(log, 'cairn');
    const following = follow(log, server, { slotWaitMs: 300 });
    await writeRows(server, 10);
    await untilStored(log, server);
    await following.stop();
    await dead.end();
  });

  test('released: the server forgets, and nothing happens twice', async () => {
    await follower();
    const { driver } = scene;
    const connection = driver.parseUrl(server.url);
    await driver.releaseLog(connection, keeperName, neverAborted);
    assert.deepEqual(await server.query('select 1 from pg_replication_slots'), []);
    await driver.releaseLog(connection, keeperName, neverAborted);
  });
});
