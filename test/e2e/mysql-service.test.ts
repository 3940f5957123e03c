// An instance of MariaDB as somebody uses it: registered, backed up, its log archived, restored to
// a new server, to a moment, right before a transaction, and table by table.
import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { after, before, suite, test } from 'node:test';
import { withQueries } from '../../src/engines/mysql/connection.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  backUp,
  listBackups,
  register,
  showInstance,
  untilFullBackup,
  untilLogCovered,
} from '../fixtures/service-calls.ts';
import { until } from '../fixtures/until.ts';

const scene = new AsyncDisposableStack();
const sumSql =
  'select count(*) as n, sum(crc32(concat_ws(0x7c, id, code))) as sum from shop.orders';
let server: MariadbServer;
let service: TestService;
let instanceId: string;

before(async () => {
  server = scene.use(await startMariadb());
  const environment = { CAIRN_LOG_INTERVAL_MS: '3000' };
  service = scene.use(await startService({ versions: [], environment }));
  await chmod(service.folder, 0o755);
  await server.query('create database shop');
  await server.query('create table shop.orders (id int primary key, code varchar(40))');
  await server.query(
    "insert into shop.orders select seq, concat('c', seq) from shop.seq_1_to_5000",
  );
  instanceId = await register(service, server.url, 'maria');
});
after(() => scene.disposeAsync());

/** The rows of a restored server, asked as root, whose password came with them. */
async function sumOn(name: string): Promise<unknown> {
  const { host, port } = (await showInstance(service, name)).instance;
  const connection = { ...server.connection, host: host ?? '', port: port ?? 0 };
  const signal = AbortSignal.timeout(30_000);
  return (await withQueries(connection, { signal }, (query) => query(sumSql)))[0];
}

async function restore(name: string, ...target: string[]): Promise<unknown> {
  const args = ['restore', '--instance', 'maria', ...target, '--new-instance', name];
  const restored = await service.cli(...args);
  assert.equal(restored.exitCode, 0, restored.stderr);
  return await sumOn(name);
}

suite('an instance of MariaDB', () => {
  let backupId: string;
  let full: unknown;
  let moment: string;
  let wrongGtid: string;
  let beforeWrong: unknown;

  test('is shown as what it is, with what backups need', async () => {
    const shown = await service.cli('instance', 'show', 'maria');
    assert.match(shown.stdout, /mysql 10\.11\.\d+-MariaDB/);
    const checked = await service.cli('instance', 'check', 'maria', '--json');
    const text = checked.stdout;
    assert.match(text, /full backups are physical, by \/usr\/bin\/mariadb-backup/);
    assert.match(text, /sync_binlog is 0.*SET GLOBAL sync_binlog = 1/s);
  });

  test('is backed up, and restored to a new server', async () => {
    full = (await server.query(sumSql))[0];
    backupId = (await backUp(service, instanceId, 'first')).id;
    const args = ['restore', '--backup', backupId, '--new-instance', 'copy'];
    const restored = await service.cli(...args);
    assert.equal(restored.exitCode, 0, restored.stderr);
    assert.deepEqual(await sumOn('copy'), full);
  });

  test('has its log archived once there is a policy', async () => {
    const hour = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
    await service.cli('policy', 'set', 'maria', '--keep-days', '3', '--at', hour);
    await until('it is followed', async () => {
      return (await showInstance(service, 'maria')).log_archive?.status === 'following';
    });
    await untilFullBackup(service, instanceId);
    await server.query("update shop.orders set code = 'changed' where id % 3 = 0");
    await untilLogCovered(service, 'maria');
    moment = new Date().toISOString();
    beforeWrong = (await server.query(sumSql))[0];
    await new Promise((done) => setTimeout(done, 1100));
    wrongGtid = await server.session(async (query) => {
      await query('delete from shop.orders where id > 100');
      const [row] = await query('select @@last_gtid as gtid');
      return String(row?.['gtid']);
    });
    await server.query("insert into shop.orders values (100001, 'afterwards')");
    await untilLogCovered(service, 'maria');
    await until('intervals are shown', async () => {
      const query = `instance_id=${instanceId}&backup_type=incremental`;
      return (await listBackups(service, query)).total_count > 0;
    });
  });

  test('is restored to a moment', async () => {
    assert.deepEqual(await restore('at-moment', '--time', moment), beforeWrong);
  });

  test('is restored to right before a transaction, or without it', async () => {
    const before = await restore('before-it', '--gtid', wrongGtid, '--exclusive');
    assert.deepEqual(before, beforeWrong);
    const without = await restore('without', '--latest', '--skip-transaction', wrongGtid);
    const counts = [before, without].map((sum) => (sum as { n: number }).n);
    assert.deepEqual(counts, [5000, 5001]);
  });

  test('has single tables restored beside what it has', async () => {
    const args = ['--into', 'maria', '--time', moment, '--table', 'shop.orders=orders_before'];
    const restored = await service.cli('restore', ...args);
    assert.equal(restored.exitCode, 0, restored.stderr);
    const [sum] = await server.query(sumSql.replace('shop.orders', 'shop.orders_before'));
    assert.deepEqual(sum, beforeWrong);
    const [now] = await server.query('select count(*) as n from shop.orders');
    assert.equal(now?.['n'], 101);
  });

  test('shows what it had', async () => {
    const body = { instance_ids: [instanceId], restore_time: Date.parse(moment) };
    const path = '/v3/{p}/mysql/instances/history/tables';
    const answer = await service.request<{ instances: { databases: object[] }[] }>(
      ...(['POST', path, body] as const),
    );
    assert.deepEqual(answer.body.instances[0]?.databases, [
      { name: 'shop', total_tables: 1, tables: [{ name: 'orders' }] },
    ]);
  });
});
