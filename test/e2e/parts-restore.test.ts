// One table, and one database, as they were at a moment, into the server that they come from, which
// goes on meanwhile.
import assert from 'node:assert/strict';
import { chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import type { TestService } from '../fixtures/service.ts';
import { startService } from '../fixtures/service.ts';
import { backUp, register, untilEnded } from '../fixtures/service-calls.ts';

const scene = new AsyncDisposableStack();
let server: TestServer;
let service: TestService;
let instanceId: string;
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
  await backUp(service, instanceId, 'the-base');
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
