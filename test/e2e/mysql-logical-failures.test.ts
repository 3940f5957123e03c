// What goes wrong with logical backups of MariaDB must leave nothing behind, and never count as
// one.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readAccounts } from '../../src/engines/mysql/logical-accounts.ts';
import { copyDatabases, copyTables } from '../../src/engines/mysql/logical-copy.ts';
import { findMissingDatabases } from '../../src/engines/mysql/logical-survey.ts';
import { CairnError } from '../../src/model/errors.ts';
import { Secret } from '../../src/model/secret.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import type { MysqlLogicalScene } from '../fixtures/mysql-logical-scene.ts';
import {
  contentOf,
  createMysqlLogicalScene,
  logicalParts,
} from '../fixtures/mysql-logical-scene.ts';
import { never } from '../fixtures/repositories.ts';
import { until } from '../fixtures/until.ts';

const tag = 'test';
const shop2 = [{ oldName: 'shop', newName: 'shop2' }];
const copyOptions = { tag, onProgress: () => undefined, signal: never, log: silentLogger };

let scene: MysqlLogicalScene;

before(async () => {
  scene = await createMysqlLogicalScene();
  await scene.server.session(async (query) => {
    await query("create user seller@'%' identified by 'a secret'");
    await query('create role sellers');
    await query("grant sellers to seller@'%'");
    await query("grant select on shop.* to seller@'%'");
    await query('create database shop');
    await query('use shop');
    await query('create table orders (id int primary key, total int)');
    await query('insert into orders select seq, seq * 7 from seq_1_to_60000');
    await query(
      `create table items (id int primary key, order_id int, foreign key (order_id)
         references orders (id))`,
    );
    await query('insert into items values (1, 1), (2, 2)');
    await query('create view seen as select * from orders');
    await query('create trigger added after insert on items for each row set @added = 1');
  });
});
after(async () => await scene[Symbol.asyncDispose]());

beforeEach(async () => {
  for (const name of await databases()) {
    if (name !== 'shop') await scene.server.query(`drop database \`${name}\``);
  }
});

async function databases(): Promise<readonly string[]> {
  const rows = await scene.server.query(
    `select schema_name as name from information_schema.schemata where schema_name not in
       ('information_schema', 'performance_schema', 'mysql', 'sys') order by 1`,
  );
  return rows.map((row) => String(row['name']));
}

const isKind =
  (kind: CairnError['kind'], text: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof CairnError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, text);
    return true;
  };

test('a dump whose connection is killed is no backup', async () => {
  await scene.server.query('create database bulk');
  await scene.server.query(
    "create table bulk.lines as select seq, repeat('x', 500) as x from shop.seq_1_to_60000",
  );
  const kill = async (): Promise<void> => {
    const rows = await scene.server.query(
      "select id from information_schema.processlist where db = 'bulk'",
    );
    assert.equal(rows.length, 1);
    await scene.server.query(`kill ${String(rows[0]?.['id'])}`);
  };
  let bytes = 0;
  let isKilled = false;
  // What is not taken waits in the server: there is more than all buffers in between can hold.
  const onWrite = ({ byteLength }: Uint8Array): undefined | Promise<void> => {
    bytes += byteLength;
    if (isKilled || bytes < 1_000_000) return undefined;
    isKilled = true;
    return kill();
  };
  await assert.rejects(
    scene.backUp(['bulk'], { onWrite }),
    isKind('engine-unreachable', /mariadb-dump failed .*Lost connection/),
  );
  assert.ok(isKilled);
});

test('a cancelled dump ends its program and answers why', async () => {
  const cancel = new AbortController();
  const reason = new CairnError('cancelled', 'enough');
  const onWrite = (): undefined => void cancel.abort(reason);
  const backup = scene.backUp(['shop'], { onWrite, signal: cancel.signal });
  await assert.rejects(backup, reason);
  // The server sees the end of a connection when it writes to it next.
  await until('the server is asked no more', async () => {
    const rows = await scene.server.query(
      "select id from information_schema.processlist where info like 'SELECT /*%'",
    );
    return rows.length === 0;
  });
});

test('what cannot be dumped is known before', async () => {
  const { connection } = scene.server;
  const names = ['shop', 'mysql', 'Shop', 'information_schema', 'x'];
  const missing = await findMissingDatabases(connection, names, never);
  assert.deepEqual(missing, ['mysql', 'Shop', 'information_schema', 'x']);
  await assert.rejects(scene.backUp(['shop', 'x']), isKind('invalid', /“x”/));
});

test('a wrong password is said, and is in no text', async () => {
  const connection = { ...scene.server.connection, password: new Secret('not-the-password') };
  await assert.rejects(scene.backUp(['shop'], { connection }), (error: unknown) => {
    assert.ok(error instanceof CairnError);
    assert.doesNotMatch(JSON.stringify(error) + error.message, /not-the-password/);
    return error.kind === 'engine-refused';
  });
});

test('a login with the rights that a dump needs, and no other, is enough', async () => {
  await scene.server.session(async (query) => {
    await query("create user reader@'%' identified by 'a secret'");
    await query("grant select, show view, trigger, event on *.* to reader@'%'");
  });
  const connection = {
    ...scene.server.connection,
    ...{ user: 'reader', password: new Secret('a secret') },
  };
  const { result, sink } = await scene.backUp(['shop'], { connection });
  assert.equal(result.stopPosition.engine === 'mysql' && result.stopPosition.file, 'bin.000001');
  const users = String(await sink.readWhole('users.sql'));
  assert.match(users, /CREATE USER `seller`@`%` IDENTIFIED BY PASSWORD '\*/);
  await scene.server.query("drop user reader@'%'");
});

test('a taken name is refused, and nothing is left of the others', async () => {
  const { source } = await scene.backUp(['shop']);
  await scene.server.query('create database taken');
  const both = [...shop2, { oldName: 'shop', newName: 'taken' }];
  await assert.rejects(
    scene.restore(source, { databases: both }),
    isKind('conflict', /“taken” already/),
  );
  assert.deepEqual(await databases(), ['shop', 'taken']);
});

test('a restore that loses rows, or whose files are not as they were, leaves nothing', async () => {
  const { source } = await scene.backUp(['shop']);
  const changed = (change: (text: string) => string): typeof source => ({
    ...source,
    async *stream(files, signal) {
      for await (const bytes of source.stream(files, signal)) {
        yield Buffer.from(change(Buffer.from(bytes).toString('latin1')), 'latin1');
      }
    },
  });
  const damaged = changed((text) => text.replace('(7,49),\n', ''));
  await assert.rejects(
    scene.restore(damaged, { databases: shop2 }),
    isKind('repository-damaged', /tables\/orders/),
  );
  const lying = changed((text) => text.replace('"rows": 60000', '"rows": 60001'));
  await assert.rejects(
    scene.restore(lying, { databases: shop2 }),
    isKind('engine-refused', /60000 rows were restored, and there were 60001/),
  );
  assert.deepEqual(await databases(), ['shop']);
});

test('views that cannot be made take back the databases that were named already', async () => {
  const { source } = await scene.backUp(['shop']);
  const unreadable = {
    ...source,
    async *stream(files: Parameters<typeof source.stream>[0], signal: AbortSignal) {
      if (files.some(({ path }) => path.endsWith('/views'))) {
        throw new CairnError('repository-damaged', 'no views');
      }
      yield* source.stream(files, signal);
    },
  };
  await assert.rejects(
    scene.restore(unreadable, { databases: shop2 }),
    isKind('repository-damaged', /no views/),
  );
  assert.deepEqual(await databases(), ['shop']);
});

test('what an attempt that died has left goes, and what one has finished stays', async () => {
  const { source } = await scene.backUp(['shop']);
  await scene.server.session(async (query) => {
    await query(`create database cairn_restore_${tag}_0`);
    await query('create database shop2');
    await query(`create table shop2.cairn_restore_${tag} (restoring int)`);
    await query('create table shop2.half (id int)');
  });
  await scene.restore(source, { databases: shop2 });
  assert.deepEqual(await databases(), ['shop', 'shop2']);
  await scene.server.query('delete from shop2.items');
  await scene.restore(source, { databases: shop2 });
  const [row] = await scene.server.query('select count(*) as n from shop2.items');
  assert.equal(row?.['n'], 0, 'the user’s by now');
  await assert.rejects(
    scene.restore(source, { databases: shop2, tag: 'another' }),
    isKind('conflict', /“shop2” already/),
  );
});

test('accounts that views run as are missed, or made with their roles', async () => {
  await scene.server.query("create definer = seller@'%' view shop.sold as select 1 as one");
  const { source } = await scene.backUp(['shop']);
  await scene.server.query('drop view shop.sold');
  const was = await scene.server.session((query) => readAccounts(query, 'mariadb'));
  await scene.server.session(async (query) => {
    await query("drop user seller@'%'");
    await query('drop role sellers');
  });
  await assert.rejects(
    scene.restore(source, { databases: shop2 }),
    isKind('invalid', /no account `seller`@`%`/),
  );
  await scene.restore(source, { databases: shop2, missingRoles: 'create' });
  const is = await scene.server.session((query) => readAccounts(query, 'mariadb'));
  assert.deepEqual(is, was);
  assert.deepEqual(await databases(), ['shop', 'shop2']);
});

test('a server that takes no such large rows is known before anything is touched', async () => {
  await scene.server.query("create table shop.large as select repeat('x', 9000000) as x");
  const { source } = await scene.backUp(['shop']);
  await scene.server.query('drop table shop.large');
  await scene.server.query('set global max_allowed_packet = 8388608');
  try {
    await assert.rejects(
      scene.restore(source, { databases: shop2 }),
      isKind('engine-refused', /has a row that takes 9\d+ bytes/),
    );
  } finally {
    await scene.server.query('set global max_allowed_packet = 16777216');
  }
  assert.deepEqual(await databases(), ['shop']);
});

test('databases and tables are copied from a server under new names', async () => {
  const { connection, session } = scene.server;
  const copied = await copyDatabases(
    connection,
    { ...copyOptions, from: connection, databases: shop2 },
    logicalParts,
  );
  assert.deepEqual(copied, [
    { oldName: 'shop', newName: 'shop2', tableCount: 2, rowCount: 60_002 },
  ]);
  const original = await contentOf(scene.server, 'shop');
  assert.deepEqual(await contentOf(scene.server, 'shop2'), original);
  const [seen] = await session((query) => query('select count(*) as n from shop2.seen'));
  assert.equal(seen?.['n'], 60_000);
  const tables = ['orders', 'items'].map((oldName) => ({
    ...{ schema: '', oldName, newName: `${oldName}\`old` },
  }));
  const options = { ...copyOptions, from: connection, databases: [{ database: 'shop2', tables }] };
  const restored = await copyTables(connection, options, logicalParts);
  assert.deepEqual(
    restored.map(({ database, newName, rowCount }) => ({ database, newName, rowCount })),
    [
      { database: 'shop2', newName: 'orders`old', rowCount: 60_000 },
      { database: 'shop2', newName: 'items`old', rowCount: 2 },
    ],
  );
  const now = await contentOf(scene.server, 'shop2');
  assert.equal(now['orders`old'], original['orders']);
  const keys = await scene.server.query(
    `select table_name as name from information_schema.table_constraints
     where table_schema = 'shop2' and constraint_type = 'FOREIGN KEY'`,
  );
  assert.deepEqual(keys, [{ name: 'items' }], 'the copy has none, the original keeps its own');
  await assert.rejects(
    copyTables(connection, options, logicalParts),
    isKind('conflict', /“orders`old” in database shop2/),
  );
  const none = { schema: '', oldName: 'seen', newName: 'x' };
  await assert.rejects(
    copyTables(
      connection,
      { ...options, databases: [{ database: 'shop2', tables: [none] }] },
      logicalParts,
    ),
    isKind('invalid', /it is no table/),
  );
  assert.deepEqual(await databases(), ['shop', 'shop2']);
});
