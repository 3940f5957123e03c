// Following the binary log of real servers: every byte must come, once and in order, whatever
// happens to the connection or the server, and nothing may be stored that is not the server's log.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Secret } from '../../src/model/secret.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import type { Following } from '../fixtures/memory-binlogs.ts';
import {
  assertSameBytes,
  follow,
  MemoryBinlogs,
  readableBytes,
} from '../fixtures/memory-binlogs.ts';
import { hasMysql56, startMysql56 } from '../fixtures/mysql56-server.ts';
import { startStallingProxy } from '../fixtures/stalling-proxy.ts';
import { until } from '../fixtures/until.ts';

type Queried = Pick<MariadbServer, 'query' | 'session'>;

/** Until all that the server has now is stored. */
async function untilStored(
  log: MemoryBinlogs,
  server: Queried,
  following: Following,
): Promise<void> {
  const [row] = await server.query('show master status');
  await following.until(`${row?.['File']}:${row?.['Position']} is stored`, () => {
    const { last } = log;
    if (!last) return false;
    const { name } = last.meta;
    const isThere = name === row?.['File'] && last.lengthBytes >= Number(row?.['Position']);
    return isThere || name > String(row?.['File']);
  });
}

async function writeRows(server: Queried, count: number): Promise<void> {
  await server.session(async (query) => {
    await query(
      'create table if not exists test.ledger (id bigint auto_increment primary key, body text)',
    );
    for (let index = 0; index < count; index++) {
      await query("insert into test.ledger (body) values (repeat('x', ?))", [index % 500]);
    }
  });
}

/** Small transactions from several connections until it is told to stop. */
function startLoad(server: Queried): AsyncDisposable & { stop(): Promise<void> } {
  let isStopping = false;
  const client = async (): Promise<void> => {
    while (!isStopping) await writeRows(server, 20);
  };
  const work = Promise.allSettled(Array.from({ length: 3 }, client));
  const stop = async (): Promise<void> => {
    isStopping = true;
    await work;
  };
  return { stop, [Symbol.asyncDispose]: stop };
}

const findDumps = (server: Queried) =>
  server.query("select id from information_schema.processlist where command like 'Binlog Dump%'");

async function killDumps(server: Queried): Promise<void> {
  const dumps = await findDumps(server);
  for (const { id } of dumps) await server.query(`kill ${Number(id)}`);
}

/** Of the last transaction of the only domain. */
function sequenceOf(gtidSet: string | null): bigint {
  return BigInt(gtidSet?.split('-').at(-1) || 0);
}

suite('MariaDB', () => {
  let server: MariadbServer;
  before(async () => {
    server = await startMariadb({ settings: { 'max-binlog-size': '65536' } });
    await server.query('create database if not exists test');
    await writeRows(server, 1);
  });
  after(() => server[Symbol.asyncDispose]());

  test('files are stored as they are on the server, from the one that it writes on', async () => {
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await writeRows(server, 1000);
    await untilStored(log, server, following);
    await following.until('a moment is proven', () => log.marks.at(-1)?.at);
    await following.stop();
    await assertSameBytes(log, server.dataDir);
    assert.ok(log.files.size > 2, String(log.files.size));
  });

  test('the connection is cut again and again, and what is stored ends anywhere', async () => {
    const log = new MemoryBinlogs();
    await using load = startLoad(server);
    for (let cut = 0; cut < 10; cut++) {
      const from = log.storedBytes;
      const following = follow(log, server);
      await following.until('something new is stored', () => log.storedBytes > from + 20_000);
      if (cut % 2 === 0) {
        await killDumps(server);
        await following.failure('engine-unreachable');
      } else {
        await following.stop();
      }
      const { meta, lengthBytes } = log.last ?? assert.fail();
      if (cut % 3 > 0) log.forget(meta.name, Math.max(1, lengthBytes - cut * 37));
    }
    await load.stop();
    // Sometimes little is known of the stored end.
    const following = follow(log, server, { resume: log.resumePoint(50) });
    await untilStored(log, server, following);
    await following.stop();
    await assertSameBytes(log, server.dataDir);
  });

  test('a row of 35 MB comes whole, and what is stored of it is not stored again', async () => {
    await server.query('set global max_allowed_packet = 128 * 1024 * 1024');
    await server.query('create table test.large (body longblob)');
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await server.query("insert into test.large values (repeat('x', 35 * 1024 * 1024))");
    await untilStored(log, server, following);
    await following.stop();
    await assertSameBytes(log, server.dataDir);
    const large = [...log.files].find(([, { lengthBytes }]) => lengthBytes > 2 ** 25);
    log.forget(large?.[0] ?? '', 20 * 2 ** 20);
    const again = follow(log, server);
    await untilStored(log, server, again);
    await again.stop();
    await assertSameBytes(log, server.dataDir);
  });

  test('a sink that waits stops the server, and is not a silent server', async () => {
    const log = new MemoryBinlogs();
    let isHeld = false;
    log.onWrite = () => {
      if (isHeld) return undefined;
      isHeld = true;
      return systemClock.sleep(1500);
    };
    const following = follow(log, server, { silenceTimeoutMs: 800 });
    await writeRows(server, 500);
    await untilStored(log, server, following);
    await systemClock.sleep(1200);
    await following.stop();
    await assertSameBytes(log, server.dataDir);
  });

  test('no mark claims a moment before which something was committed behind it', async () => {
    const log = new MemoryBinlogs();
    const commits: { readonly sequence: bigint; readonly doneMs: number }[] = [];
    let writes = 0;
    log.onWrite = () => (++writes % 20 === 0 ? systemClock.sleep(30) : undefined);
    const following = follow(log, server);
    await server.session(async (query) => {
      const endMs = Date.now() + 2500;
      while (Date.now() < endMs) {
        await query("insert into test.ledger (body) values ('x')");
        const [row] = await query('select @@last_gtid as gtid');
        commits.push({ sequence: sequenceOf(String(row?.['gtid'])), doneMs: Date.now() });
        await systemClock.sleep(2);
      }
    });
    await following.until('a late moment is proven', () => {
      const at = log.marks.at(-1)?.at;
      return at && at.getTime() > (commits.at(-1)?.doneMs ?? 0);
    });
    await following.stop();
    const told = log.marks.flatMap(({ at, position }) =>
      at && position.engine === 'mysql' ? [{ at, sequence: sequenceOf(position.gtidSet) }] : [],
    );
    assert.ok(told.length > 10, String(told.length));
    for (const { at, sequence } of told) {
      const missed = commits.find((one) => one.doneMs < at.getTime() && one.sequence > sequence);
      assert.equal(missed, undefined, `${at.toISOString()} at ${sequence}`);
    }
  });

  test('a server that was killed goes on in the next file', async () => {
    const log = new MemoryBinlogs();
    await using load = startLoad(server);
    const following = follow(log, server);
    await following.until('something is stored', () => log.storedBytes > 50_000);
    await server.crash();
    await following.failure('engine-unreachable');
    await load.stop();
    await server.start();
    await writeRows(server, 10);
    const again = follow(log, server);
    await untilStored(log, server, again);
    await again.stop();
    await assertSameBytes(log, server.dataDir);
  });

  test('a second archive of the same name takes the place of the first', async () => {
    const [one, other] = [new MemoryBinlogs(), new MemoryBinlogs()];
    const first = follow(one, server);
    await untilStored(one, server, first);
    const second = follow(other, server);
    await untilStored(other, server, second);
    const error = await first.failure('engine-unreachable');
    assert.match(error.message, /another reader has taken our place|has ended its log/);
    await second.stop();
  });

  test('a network that goes silent is noticed', async () => {
    const trouble = { afterBytes: 20_000, kind: 'stall' } as const;
    await using proxy = await startStallingProxy(server.port, trouble);
    const log = new MemoryBinlogs();
    const connection = { ...server.connection, port: proxy.port };
    const following = follow(log, { connection }, { silenceTimeoutMs: 800 });
    await writeRows(server, 200);
    const error = await following.failure('engine-unreachable');
    assert.match(error.message, /has not sent anything for 800 ms/);
  });

  test('another server is a gap', async () => {
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await untilStored(log, server, following);
    await following.stop();
    const resume = log.resumePoint() ?? assert.fail();
    const facts = { ...resume.facts, systemIdentifier: 'another' };
    const error = await follow(log, server, { resume: { ...resume, facts } }).failure('log-gap');
    assert.match(error.message, /leads to server .*, the log is of another/);
  });

  test('rights that are missing are named', async () => {
    const account = { ...server.connection, user: 'reader', password: new Secret('reader-secret') };
    const asReader = { connection: account };
    await server.query("create user reader identified by 'reader-secret'");
    const none = await follow(new MemoryBinlogs(), asReader).failure('engine-refused');
    assert.match(none.hint ?? '', /GRANT BINLOG MONITOR, REPLICATION SLAVE/);
    await server.query('grant binlog monitor on *.* to reader');
    const half = await follow(new MemoryBinlogs(), asReader).failure('engine-refused');
    assert.match(half.hint ?? '', /GRANT REPLICATION SLAVE/);
    await server.query('grant replication slave on *.* to reader');
    const log = new MemoryBinlogs();
    const following = follow(log, asReader);
    await untilStored(log, server, following);
    await following.until('a moment is proven', () => log.marks.at(-1)?.at);
    await following.stop();
  });

  test('danger is told while there is time', async () => {
    const log = new MemoryBinlogs();
    await server.query('set global binlog_expire_logs_seconds = 3600');
    const following = follow(log, server);
    const lag = await following.until('the lag is told', () => following.lags.at(0));
    assert.match(lag.warning?.message ?? '', /after 1 hours, stored or not/);
    await following.stop();
    await server.query('set global binlog_expire_logs_seconds = 0');
  });

  test('purged before it was stored: a gap', async () => {
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await untilStored(log, server, following);
    await following.stop();
    // A file that is being sent is not purged.
    await until('the server has noticed', async () => (await findDumps(server)).length === 0);
    await server.query('flush binary logs');
    await server.query('flush binary logs');
    const [row] = await server.query('show master status');
    await server.query('purge binary logs to ?', [row?.['File']]);
    const error = await follow(log, server).failure('log-gap');
    assert.match(error.message, /has removed the log behind bin\.\d+:\d+: its oldest file is bin/);
  });

  test('a server that has lost the end of its log: a gap', async () => {
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await writeRows(server, 20);
    await untilStored(log, server, following);
    await following.stop();
    await server.crash();
    const { meta, lengthBytes } = log.last ?? assert.fail();
    await truncate(join(server.dataDir, meta.name), lengthBytes - 200);
    await server.start();
    const error = await follow(log, server).failure('log-gap');
    assert.match(error.message, /is stored up to bin\.\d+:\d+, but the server's bin\.\d+ ends at/);
    assert.match(error.hint ?? '', /sync_binlog/);
  });

  test('reset: a gap, also when the new log has grown past the stored end', async () => {
    await server.query('reset master');
    const log = new MemoryBinlogs();
    const following = follow(log, server);
    await writeRows(server, 30);
    await untilStored(log, server, following);
    await following.stop();
    await server.query('reset master');
    const short = await follow(log, server).failure('log-gap');
    assert.match(short.message, /but the server's bin\.000001 ends at/);
    await writeRows(server, 60);
    const long = await follow(log, server).failure('log-gap');
    assert.match(long.message, /not what is stored/);
    await follow(log, server, { resume: log.resumePoint(50) }).failure('log-gap');
  });

  test('reset while it is followed: a gap', async () => {
    const log = new MemoryBinlogs();
    await server.query('flush binary logs');
    const following = follow(log, server);
    await untilStored(log, server, following);
    await server.query('reset master');
    await writeRows(server, 5);
    // The dump or the second connection sees it first; that one leaves the comparing to the next.
    const first = await following.failure('log-gap', 'engine-unreachable');
    if (first.kind === 'log-gap') {
      assert.match(first.message, /bin\./);
      return;
    }
    assert.match(first.hint ?? '', /RESET MASTER/);
    await follow(log, server).failure('log-gap');
  });
});

test('a server that encrypts its log sends it readable, with all places the same', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-keys-'));
  await using scene = new AsyncDisposableStack();
  scene.defer(() => rm(folder, { recursive: true }));
  await chmod(folder, 0o755);
  const keyFile = join(folder, 'keys');
  await writeFile(keyFile, `1;${'a7addd9adea9978fda19f21e6be98788'.repeat(2)}\n`, { mode: 0o644 });
  const plugin = { 'plugin-load-add': 'file_key_management' };
  const settings = { ...plugin, 'file-key-management-filename': keyFile, 'encrypt-binlog': '1' };
  const server = scene.use(await startMariadb({ settings }));
  await server.query('create database test');
  const log = new MemoryBinlogs();
  for (let cut = 0; cut < 2; cut++) {
    const following = follow(log, server);
    await writeRows(server, 20);
    await server.query('flush binary logs');
    await writeRows(server, 20);
    await untilStored(log, server, following);
    await following.stop();
  }
  for (const name of log.files.keys()) {
    const own = await readFile(join(server.dataDir, name));
    assert.ok(!own.includes('ledger'), 'the server encrypts');
    assert.ok(log.bytesOf(name).includes('ledger'));
    assert.equal(await readableBytes(log.bytesOf(name), name), own.length);
  }
  assert.equal(log.files.size, 3);
});

suite('MySQL 5.6', { skip: !hasMysql56 && 'it is installed on Linux, x86-64, only' }, () => {
  for (const settings of [
    { 'gtid-mode': 'on', 'enforce-gtid-consistency': 'on', 'log-slave-updates': 'on' },
    { 'binlog-checksum': 'none' },
  ]) {
    test(`files are stored as they are: ${Object.keys(settings)[0]}`, async () => {
      await using server = await startMysql56({ ...settings, 'max-binlog-size': '65536' });
      await server.query('create database test');
      const log = new MemoryBinlogs();
      for (let cut = 0; cut < 3; cut++) {
        const following = follow(log, server, { silenceTimeoutMs: 2000 });
        await writeRows(server, 300);
        await untilStored(log, server, following);
        await following.until('a moment is proven', () => log.marks.at(-1)?.at);
        const [row] = await server.query('show master status');
        await following.until('all transactions are told', () => {
          const position = log.marks.at(-1)?.position;
          if (position?.engine !== 'mysql') return false;
          // An attempt that goes on within a file knows no more than what lies before the file.
          return cut > 0 || (position.gtidSet ?? '') === row?.['Executed_Gtid_Set'];
        });
        await following.stop();
      }
      await assertSameBytes(log, server.dataDir);
      assert.ok(log.files.size > 2, String(log.files.size));
    });
  }
});
