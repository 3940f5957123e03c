// One table, and one database, as they were at a moment, into the server that they come from, which
// goes on meanwhile.
import assert from 'node:assert/strict';
import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import type { PastTablesWire } from '../../src/api/schema/past-contents.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register, untilEnded } from '../fixtures/service-calls.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
let backupId: string;
let restoreTime: number;
let before1: unknown;

before(async () => {
  server = scene.use(await startPostgres({ version: 'debian-15' }));
  service = scene.use(await startService({ versions: [] }));
  await chmod(service.folder, 0o755);
  await server.query('create database shop');
  await inShop('create table owners (id int primary key)');
  await inShop('insert into owners values (1)');
  await inShop(
    `create table orders (id serial primary key, owner int references owners,
       code text unique, created timestamptz default now())`,
  );
  await inShop(
    "insert into orders (owner, code) select 1, 'c' || g from generate_series(1, 3000) g",
  );
  await inShop(
    `create function refuse() returns trigger language plpgsql as
       'begin raise exception ''no''; end'`,
  );
  await inShop('create trigger no_truncate before truncate on orders execute function refuse()');
  before1 = await sumOf('orders');
  instanceId = await register(service, server.url);
  backupId = (await backUp(service, instanceId, 'the-base')).id;
  const path = `/v3/{p}/instances/${instanceId}/restore-time`;
  const windows = await service.request<{ restore_time: { end_time: number }[] }>('GET', path);
  restoreTime = windows.body.restore_time.at(-1)?.end_time ?? 0;
  await inShop("update orders set code = code || 'x' where id % 2 = 0");
  await inShop('delete from orders where id > 2500');
});
after(() => scene.disposeAsync());

async function inShop(sql: string, database = 'shop'): Promise<Record<string, unknown>[]> {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  const client = new Client({ connectionString: url.href });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

async function sumOf(table: string, database = 'shop'): Promise<unknown> {
  const sql = `select count(*) as n, sum(hashtextextended(t::text, 0)) as sum from ${table} t`;
  return (await inShop(sql, database))[0];
}

async function restore(what: 'tables' | 'databases', databases: object) {
  const path = `/v3/{p}/instances/batch/restore/${what}`;
  const body = { instances: [{ instance_id: instanceId, restore_time: restoreTime, databases }] };
  const answer = await service.request<{ restore_result: { job_id: string }[] }>(
    ...(['POST', path, body] as const),
  );
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return await untilEnded(service, answer.body.restore_result[0]?.job_id ?? '');
}

async function assertNothingHidden(): Promise<void> {
  const folder = join(service.folder, 'servers');
  const names = await readdir(folder).catch(() => []);
  assert.deepEqual(
    names.filter((name) => name.startsWith(instanceId)),
    [],
  );
  const left = await inShop("select nspname from pg_namespace where nspname like 'cairn%'");
  assert.deepEqual(left, []);
}

const tables = (old_name: string, new_name: string) => [
  { database: 'shop', schemas: [{ schema: 'public', tables: [{ old_name, new_name }] }] },
];

test('what there was at the moment can be listed', async () => {
  const list = async (what: string, more: object = {}) => {
    const body = { instance_ids: [instanceId], restore_time: restoreTime, ...more };
    const path = `/v3/{p}/PostgreSQL/instances/history/${what}`;
    const answer = await service.request<{ instances: PastTablesWire['instances'] }>(
      ...(['POST', path, body] as const),
    );
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.instances[0];
  };
  const databases = await list('databases');
  assert.deepEqual(databases?.databases, [
    { name: 'postgres', total_tables: 0 },
    { name: 'shop', total_tables: 2 },
  ]);
  assert.equal(databases?.total_tables, 2);
  const [shop] = (await list('tables', { table_name_like: 'ORD' }))?.databases ?? [];
  const orders = { name: 'public', total_tables: 1, tables: [{ name: 'orders' }] };
  assert.deepEqual(shop, { name: 'shop', total_tables: 1, schemas: [orders] });
  assert.deepEqual((await list('tables', { database_name_like: 'nothing' }))?.databases, []);
  const wrong = await service.request(
    ...(['POST', '/v3/{p}/postgresql/instances/history/tables'] as const),
    { instance_ids: [instanceId], restore_time: 1000 },
  );
  assert.equal(wrong.status, 400, 'a moment that cannot be had');
});

test('the databases inside the backup can be listed', async () => {
  const path = `/v3/{p}/instances/${instanceId}/database/db-table-name?backup_id=${backupId}`;
  const { body } = await service.request<{ databases: Record<string, unknown>[] }>('GET', path);
  const shop = body.databases.find(({ database_name }) => database_name === 'shop');
  assert.equal(shop?.backup_file_name, 'the-base.tar.zst');
  assert.ok(Number(shop?.backup_file_size) > 20_000, JSON.stringify(body));
});

test('a table is as it was, under a new name, and the original goes on', async () => {
  const now = await sumOf('orders');
  const job = await restore('tables', tables('orders', 'orders_before'));
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.deepEqual(await sumOf('orders_before'), before1);
  assert.deepEqual(await sumOf('orders'), now);
  assert.notDeepEqual(now, before1);
  await inShop("insert into orders_before (owner, code) values (7, 'new')");
  const names = await inShop(
    "select relname from pg_class where relname like 'orders_before%' order by 1",
  );
  assert.deepEqual(
    names.map(({ relname }) => relname),
    ['code_key', 'id_seq', 'pkey']
      .map((end) => `orders_before_${end}`)
      .toSpliced(0, 0, 'orders_before'),
  );
  await assertNothingHidden();
});

test('a table whose new name is taken, or that was not there, is refused', async () => {
  const taken = await restore('tables', tables('orders', 'owners'));
  assert.match(taken.error?.message ?? '', /“owners” in schema public already/);
  const unknown = await restore('tables', tables('nothing', 'something'));
  assert.match(unknown.error?.message ?? '', /no such table at that time/);
  await assertNothingHidden();
});

test('a database is as it was, beside the one that goes on', async () => {
  const job = await restore('databases', [{ old_name: 'shop', new_name: 'shop_before' }]);
  assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
  assert.deepEqual(await sumOf('orders', 'shop_before'), before1);
  assert.notDeepEqual(await sumOf('orders'), before1);
  await assertNothingHidden();
});

test('the command line does the same', async () => {
  const moment = ['restore', '--into', instanceId, '--time', String(restoreTime)];
  const table = await service.cli(...moment, '--table', 'shop.public.orders=orders_typed');
  assert.equal(table.exitCode, 0, table.stderr);
  assert.match(table.stdout, /^1 tables with 3000 rows are in /);
  assert.deepEqual(await sumOf('orders_typed'), before1);
  const neither = await service.cli(...moment);
  assert.match(neither.stderr, /needs --database or --table/);
  const flat = await service.cli(...moment, '--table', 'shop.orders=x');
  assert.match(flat.stderr, /names no schema/);
});

test('tables without schemas are MySQL\u2019s', async () => {
  const answer = await service.request(
    ...(['POST', `/v3/{p}/instances/${instanceId}/restore/tables`] as const),
    {
      restoreTime,
      restoreTables: [{ database: 'shop', tables: [{ oldName: 'orders', newName: 'x' }] }],
    },
  );
  assert.equal(answer.status, 400, JSON.stringify(answer.body));
});
