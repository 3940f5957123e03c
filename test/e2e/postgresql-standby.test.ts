// An instance of a primary and a standby: backups come from the standby, the log from whichever is
// the primary, over the sudden death of one and the promotion of the other.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { BaseBackupResult, Finding } from '../../src/engines/engine.ts';
import { deadlineSignal, untilAborted } from '../../src/platform/deadline.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { EngineScene } from '../fixtures/engine-scene.ts';
import { backUp, createEngineScene, neverAborted, runSql } from '../fixtures/engine-scene.ts';
import { createFolderSink, createNullSink } from '../fixtures/file-source.ts';
import {
  assertSameBytes,
  follow,
  keeperName,
  storedLsn,
  untilStored,
} from '../fixtures/log-following.ts';
import { createMemoryLog, timelineOf } from '../fixtures/memory-log.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { killHard, startPair, writeOn } from '../fixtures/standby-pair.ts';
import { until } from '../fixtures/until.ts';

let scene: EngineScene;
let copies = 0;
before(async () => {
  scene = await createEngineScene(['18']);
});
after(() => scene[Symbol.asyncDispose]());

async function queryRestored(
  sink: ReturnType<typeof createFolderSink>,
  result: BaseBackupResult,
  sql: string,
) {
  const started = await scene.driver.startRestored({
    source: sink.toSource(result),
    homeDir: join(scene.folder, `restored-${copies++}`),
    ...{ recovery: null, port: 0, signal: neverAborted, log: silentLogger },
    login: { connection: scene.driver.parseUrl('postgres://postgres@x'), rolePassword: 'create' },
    onProgress: () => undefined,
  });
  try {
    return (await runSql(started.connection, (query) => query(sql)))[0];
  } finally {
    await scene.driver.stopManaged(started.managed, neverAborted);
  }
}

suite('a backup', () => {
  test('comes from the standby while the primary is busy, and is a whole server', async () => {
    await using pair = await startPair(scene);
    const writer = writeOn(pair.primary, 1);
    await until('there are rows', () => writer.commits.length > 50);
    const known = writer.commits.length;
    await until('they are on the standby', async () => {
      const [row] = await pair.standby.query('select count(*)::int as count from ledger');
      return Number(row?.['count']) >= known;
    });
    const sink = createFolderSink(join(scene.folder, `backup-${copies++}`));
    const result = await backUp(scene.driver, scene.driver.parseUrl(pair.url), { sink });
    assert.equal(await writer.stop(), null);
    assert.equal(result.notes['host'], `127.0.0.1:${pair.standby.port}`);
    assert.equal(result.notes['fromStandby'], true);
    const found = await queryRestored(
      sink,
      result,
      `select count(*)::int as count, max(id)::int as last, pg_is_in_recovery() as is_standby,
        bool_and(body = repeat(md5(id::text), 300)) as is_whole from ledger`,
    );
    assert.ok(Number(found?.['last']) >= known, `${found?.['last']} of ${known}`);
    assert.equal(found?.['count'], found?.['last'], 'a prefix of what was written');
    assert.deepEqual([found?.['is_whole'], found?.['is_standby']], [true, false]);
  });

  test('comes from the primary when the standby is not fit, and says why', async () => {
    await using pair = await startPair(scene);
    const connection = scene.driver.parseUrl(pair.url);
    const take = () => backUp(scene.driver, connection, { sink: createNullSink() });
    await pair.standby.query("alter system set primary_conninfo = ''");
    await pair.standby.query('select pg_reload_conf()');
    await until('it does not stream', async () => {
      return (await pair.standby.query('select 1 from pg_stat_wal_receiver')).length === 0;
    });
    const lonely = await take();
    assert.equal(lonely.notes['host'], `127.0.0.1:${pair.primary.port}`);
    assert.match(String(lonely.notes['hostReasons']), /does not receive log/);
    await pair.standby.stop();
    const dead = await take();
    assert.equal(dead.notes['fromStandby'], false);
    assert.match(String(dead.notes['hostReasons']), /nothing listens/);
  });

  test('the next one of the standby is an increment, and whole', async () => {
    await using pair = await startPair(scene, { summarize_wal: 'on', autovacuum: 'off' });
    const { primary, standby } = pair;
    const catchUp = async (): Promise<void> => {
      await primary.query('checkpoint');
      const [end] = await primary.query('select pg_current_wal_flush_lsn()::text as lsn');
      await until('the standby has all', async () => {
        const sql = 'select pg_last_wal_replay_lsn() >= $1::pg_lsn as has_all';
        return (await standby.query(sql, [end?.['lsn']]))[0]?.['has_all'];
      });
      await standby.query('checkpoint');
    };
    await primary.query(
      'insert into ledger select g, repeat(md5(g::text), 300) from generate_series(1, 3000) g',
    );
    await catchUp();
    const first = createFolderSink(join(scene.folder, `backup-${copies++}`));
    const full = await backUp(scene.driver, scene.driver.parseUrl(pair.url), { sink: first });
    await primary.query("update ledger set body = 'changed' where id <= 20");
    await catchUp();
    const sink = createFolderSink(join(scene.folder, `backup-${copies++}`), { previous: first });
    const previous = first.toPrevious(full);
    const result = await backUp(scene.driver, scene.driver.parseUrl(pair.url), { sink, previous });
    assert.equal(result.notes['source'], 'increment', String(result.notes['sourceReasons']));
    assert.equal(result.notes['fromStandby'], true);
    const rows = await queryRestored(
      sink,
      result,
      `select count(*)::int as count, count(*) filter (where body = 'changed')::int as changed
        from ledger`,
    );
    assert.deepEqual(rows, { count: 3000, changed: 20 });
  });
});

async function inspect(url: string): Promise<readonly Finding[]> {
  return (await scene.driver.inspect(scene.driver.parseUrl(url), neverAborted)).findings;
}

const slotsOf = (server: TestServer) =>
  server.query("select (restart_lsn - '0/0')::text as kept from pg_replication_slots");

suite('the log', () => {
  test('goes on from the promoted standby within seconds of the death of the primary', async () => {
    await using pair = await startPair(scene);
    const log = createMemoryLog();
    const both = { ...pair.primary, url: pair.url };
    const before = follow(log, both);
    const writer = writeOn(pair.primary, 1);
    await until('commits are stored', () => writer.commits.length > 100 && storedLsn(log) > 0);
    await killHard(pair.primary);
    await writer.stop();
    await before.failure('engine-unreachable');
    const diedMs = performance.now();
    const after = follow(log, both);
    await pair.standby.query('select pg_promote()');
    const [last] = await pair.standby.query('select max(id)::int as id from ledger');
    const next = writeOn(pair.standby, Number(last?.['id']) + 1);
    await until('the new timeline is stored', () => {
      return log.storedPosition && timelineOf(log.storedPosition) === 2;
    });
    assert.ok(performance.now() - diedMs < 15_000, 'within seconds');
    await until('moments are proven', () => {
      const at = log.marks.at(-1)?.at;
      return at && next.commits.some(({ atMs }) => atMs < at.getTime());
    });
    const coveredMs = log.marks.at(-1)?.at?.getTime() ?? 0;
    const coveredLsn = storedLsn(log);
    assert.equal(await next.stop(), null);
    const covered = next.commits.filter(({ atMs }) => atMs < coveredMs);
    assert.ok(covered.length > 0);
    for (const { id, lsn } of covered) assert.ok(lsn <= coveredLsn, `commit ${id} is missing`);
    await untilStored(log, pair.standby);
    await after.stop();
    await assertSameBytes(log, pair.standby);
    assert.ok([...log.files.keys()].includes('00000002.history'));
    assert.equal(log.facts?.startPosition && timelineOf(log.facts.startPosition), 1);
  });

  test('stays with its primary when a second one appears, and warns', async () => {
    await using pair = await startPair(scene);
    const log = createMemoryLog();
    const both = { ...pair.primary, url: pair.url };
    const first = follow(log, both);
    await untilStored(log, pair.primary);
    await first.stop();
    await pair.standby.query('select pg_promote()');
    const second = follow(log, both);
    await pair.primary.query("insert into ledger values (1, 'here')");
    await untilStored(log, pair.primary);
    const lag = await until('a warning', () => second.lags.find(({ warning }) => warning));
    assert.match(lag.warning?.message ?? '', /are primaries both; the log is taken from .*:\d+$/);
    await second.stop();
    assert.equal(log.storedPosition && timelineOf(log.storedPosition), 1);
    const fresh = await follow(createMemoryLog(), both).failure('engine-refused');
    assert.match(fresh.message, /are primaries both/);
    const connection = scene.driver.parseUrl(pair.url);
    const refused = backUp(scene.driver, connection, { sink: createNullSink() });
    await assert.rejects(refused, { kind: 'engine-refused', message: /are primaries both/ });
    const findings = await inspect(pair.url);
    assert.ok(
      findings.some(({ check, severity }) => `${check} ${severity}` === 'primary blocking'),
    );
  });

  test('no promotion makes a gap, however long the archive stood still', async () => {
    await using pair = await startPair(scene, { wal_keep_size: '0', max_wal_size: '8MB' });
    const log = createMemoryLog();
    const both = { ...pair.primary, url: pair.url };
    const before = follow(log, both);
    await untilStored(log, pair.primary);
    await until('the standby keeps log', async () => (await slotsOf(pair.standby)).length > 0);
    await before.stop();
    await pair.primary.query(
      'insert into ledger select g, repeat(md5(g::text), 60) from generate_series(1, 15000) g',
    );
    for (const server of [pair.primary, pair.standby]) {
      await until('all is there', async () => {
        const [row] = await server.query('select count(*)::int as count from ledger');
        return row?.['count'] === 15_000;
      });
      await server.query('checkpoint');
    }
    await killHard(pair.primary);
    await pair.standby.query('select pg_promote()');
    await pair.standby.query("insert into ledger values (0, 'behind it')");
    const after = follow(log, both);
    await untilStored(log, pair.standby);
    await after.stop();
    assert.equal(log.storedPosition && timelineOf(log.storedPosition), 2);
  });

  test('what standbys keep moves with what is stored, and goes with the release', async () => {
    await using pair = await startPair(scene);
    const log = createMemoryLog();
    const following = follow(log, { ...pair.primary, url: pair.url });
    await until('the standby keeps log', async () => (await slotsOf(pair.standby)).length > 0);
    const keptFrom = async () => Number((await slotsOf(pair.standby))[0]?.['kept']);
    const first = await keptFrom();
    await pair.primary.query("insert into ledger values (1, repeat('x', 100000))");
    await untilStored(log, pair.primary);
    await until('it keeps less', async () => (await keptFrom()) > first, 30_000);
    assert.ok((await keptFrom()) <= storedLsn(log), 'and nothing less than what is not stored');
    await following.stop();
    const connection = scene.driver.parseUrl(pair.url);
    await scene.driver.releaseLog(connection, keeperName, neverAborted);
    for (const server of [pair.primary, pair.standby]) {
      assert.deepEqual(await slotsOf(server), []);
    }
  });
});

suite('an inspection', () => {
  test('says what each server is, and refuses a stranger among them', async () => {
    await using pair = await startPair(scene);
    await using stranger = await startPostgres({ version: '18' });
    await stranger.query(`alter role postgres password '${pair.primary.password}'`);
    const hosts = await untilAborted(
      scene.driver.lookAtHosts(scene.driver.parseUrl(pair.url), neverAborted),
      deadlineSignal(10_000),
    );
    const [first, second] = hosts;
    assert.equal(first?.role, 'primary');
    assert.ok(second?.role === 'standby' && second.isStreaming && second.lagMs === 0);
    const messages = (await inspect(pair.url)).map(({ message }) => message).join('\n');
    assert.match(messages, /is the primary, on timeline 1/);
    assert.match(messages, /is a standby, 0 s behind/);
    const mixed = pair.url.replace(String(pair.standby.port), String(stranger.port));
    const found = (await inspect(mixed)).filter(({ severity }) => severity === 'blocking');
    assert.ok(
      found.some(({ check }) => check === 'system-identifier'),
      JSON.stringify(found),
    );
  });
});
