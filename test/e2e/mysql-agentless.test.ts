// A server whose files cannot be had: its rows are dumped over the connection, its log is followed,
// and both together lead to any second.
import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { withQueries } from '../../src/engines/mysql/connection.ts';
import { Secret } from '../../src/model/secret.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import { startMariadb } from '../fixtures/mariadb-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import {
  listBackups,
  register,
  showInstance,
  untilFullBackup,
  untilLogCovered,
} from '../fixtures/service-calls.ts';

const scene = new AsyncDisposableStack();
const sumSql =
  'select count(*) as n, sum(crc32(concat_ws(0x7c, id, code))) as sum from shop.orders';
let server: MariadbServer;
let service: TestService;
let instanceId: string;

before(async () => {
  server = scene.use(await startMariadb());
  service = scene.use(await startService({ versions: [] }));
  await chmod(service.folder, 0o755);
  await server.query('create database shop');
  await server.query('create table shop.orders (id int primary key, code varchar(40))');
  await server.query(
    "insert into shop.orders select seq, concat('c', seq) from shop.seq_1_to_2000",
  );
  await server.query("create user far@'%' identified by 'secret-word'");
  await server.query(
    "grant select, show view, trigger, event, replication slave, binlog monitor on *.* to far@'%'",
  );
  const url = `mysql://far:secret-word@127.0.0.1:${server.port}/?sslmode=disable`;
  instanceId = await register(service, url, 'far-away');
});
after(() => scene.disposeAsync());

test('a server whose files cannot be had is restored to any second', async () => {
  const checked = await service.cli('instance', 'check', 'far-away', '--json');
  assert.match(checked.stdout, /full backups are logical/);
  const hour = new Date().getUTCHours() < 12 ? '20:15-21:15' : '08:15-09:15';
  await service.cli('policy', 'set', 'far-away', '--keep-days', '3', '--at', hour);
  await untilFullBackup(service, instanceId);
  const [full] = (await listBackups(service, `instance_id=${instanceId}&backup_type=auto`)).backups;
  assert.ok(full);
  await server.query("update shop.orders set code = 'changed' where id % 3 = 0");
  const sum = (await server.query(sumSql))[0];
  const nowMs = Date.now();
  await untilLogCovered(service, 'far-away');
  const moment = new Date(nowMs).toISOString();
  await server.query('delete from shop.orders');
  const args = ['--instance', 'far-away', '--time', moment, '--new-instance', 'copy'];
  const restored = await service.cli('restore', ...args);
  assert.equal(restored.exitCode, 0, restored.stderr);
  const { host, port } = (await showInstance(service, 'copy')).instance;
  const connection = { ...server.connection, host: host ?? '', port: port ?? 0, user: 'far' };
  const shown = await withQueries(
    { ...connection, password: new Secret('secret-word') },
    { signal: AbortSignal.timeout(30_000) },
    (query) => query(sumSql),
  );
  assert.deepEqual(shown[0], sum);
});
