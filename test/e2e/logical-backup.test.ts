// Logical backups on a real server: what is dumped comes back under another name, row by row.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runSql } from '../fixtures/engine-scene.ts';
import type { LogicalScene } from '../fixtures/logical-scene.ts';
import { createLogicalScene } from '../fixtures/logical-scene.ts';
import { tableSums } from '../fixtures/table-sums.ts';

const oddNames = ['../x', 'it\'s "odd" = a\\b', 'Ünïcode 数据', 'a=b host=nowhere'];

let scene: LogicalScene;

before(async () => {
  scene = await createLogicalScene();
  for (const name of ['shop', 'empty', ...oddNames]) await createDatabase(name);
  await runSql(scene.at('shop'), async (query) => {
    await query('create role seller');
    await query('create extension pg_trgm');
    await query('create schema "Odd. ""schema"');
    await query(
      `create table lines as select g as id, 'one' || chr(10) || chr(13) || '\\.' || g as x
       from generate_series(1, 20000) g`,
    );
    await query('create table nothing (id int)');
    await query('create table no_columns ()');
    await query('insert into no_columns default values');
    await query('create table "Odd. ""schema"."a/b" as select 1 as id');
    await query('create view seen as select * from lines');
    await query('create table parent (id int) partition by range (id)');
    await query('create table child partition of parent for values from (0) to (100)');
    await query('insert into parent select generate_series(0, 99)');
    await query('create materialized view summary as select count(*) from lines');
    await query('alter table lines owner to seller');
    await query(`select lo_from_bytea(0, decode(repeat('ab', 100000), 'hex'))`);
  });
  for (const name of oddNames) {
    await runSql(scene.at(name), async (query) => {
      await query('create table t as select 1 as id, $1::text as name', [name]);
    });
  }
});
after(async () => await scene[Symbol.asyncDispose]());

async function createDatabase(name: string): Promise<void> {
  await scene.server.query(`create database "${name.replaceAll('"', '""')}"`);
}

function urlOf(database: string): string {
  const url = new URL(scene.server.url);
  url.pathname = `/${encodeURIComponent(database)}`;
  return url.href;
}

test('databases come back under new names with every row, large object and owner', async () => {
  const reader = await scene.backUp(['shop', 'empty']);
  const restored = await scene.restore(reader, {
    databases: [
      { oldName: 'shop', newName: 'shop2' },
      { oldName: 'empty', newName: 'empty2' },
    ],
  });
  assert.deepEqual(restored, [
    { oldName: 'shop', newName: 'shop2', tableCount: 5, rowCount: 20_102 },
    { oldName: 'empty', newName: 'empty2', tableCount: 0, rowCount: 0 },
  ]);
  assert.deepEqual(await tableSums(urlOf('shop2')), await tableSums(urlOf('shop')));
  await runSql(scene.at('shop2'), async (query) => {
    const [row] = await query(
      `select (select tableowner from pg_tables where tablename = 'lines') as owner,
         (select length(lo_get(oid)) from pg_largeobject_metadata) as large,
         (select count from summary) as summed, (select count(*) from seen) as seen,
         (select count(*) from pg_extension where extname = 'pg_trgm') as extensions,
         (select id from "Odd. ""schema"."a/b") as odd`,
    );
    assert.deepEqual(
      { ...row },
      { owner: 'seller', large: 100_000, summed: '20000', seen: '20000', extensions: '1', odd: 1 },
    );
  });
});

test('odd names of databases are kept apart and come back', async () => {
  const reader = await scene.backUp(oddNames);
  await scene.restore(reader, {
    databases: oddNames.map((oldName) => ({ oldName, newName: `${oldName}'2` })),
  });
  for (const name of oddNames) {
    const rows = await runSql(scene.at(`${name}'2`), (query) => query('select name from t'));
    assert.deepEqual(rows, [{ name }]);
  }
  const files = scene.driver.logicalFiles(reader) ?? assert.fail();
  assert.deepEqual(
    files.map(({ databaseName }) => databaseName),
    [...oddNames, null, null],
  );
});
