// Logical backups of a real MariaDB: what is dumped comes back under another name, row by row.
import assert from 'node:assert/strict';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { planImportCommands } from '../../src/engines/mysql/logical-client.ts';
import { planLogicalFiles } from '../../src/engines/mysql/logical-contents.ts';
import type { TlsMode } from '../../src/model/instance.ts';
import { Secret } from '../../src/model/secret.ts';
import { runCommand } from '../../src/platform/child-process.ts';
import { findServerIdentity } from '../../src/platform/server-user.ts';
import type { MariadbServer } from '../fixtures/mariadb-server.ts';
import type { MysqlLogicalScene } from '../fixtures/mysql-logical-scene.ts';
import { contentOf, createMysqlLogicalScene } from '../fixtures/mysql-logical-scene.ts';
import { never } from '../fixtures/repositories.ts';

const odd = 'we`ird-näme';
const blobBytes = 18 * 1024 * 1024;

let scene: MysqlLogicalScene;
let authority: string;
let certificates = '';

before(async () => {
  const { certificate, key } = await makeCertificate();
  authority = await readFile(certificate, 'utf8');
  const tls = { 'ssl-cert': certificate, 'ssl-key': key };
  scene = await createMysqlLogicalScene({
    settings: { 'max-allowed-packet': '64M', 'sql-mode': '', ...tls },
  });
  const { session } = scene.server;
  await session(async (query) => {
    await query("create user seller@'%' identified by 'a secret'");
    await query("grant select on shop.* to seller@'%'");
    await query('create database shop character set utf8mb4');
    await query(`create database \`we\`\`ird-näme\` character set latin1`);
    await query('create database empty');
    await query('use shop');
    await query(
      `create table orders (id int primary key auto_increment, total decimal(10, 2),
         twice decimal(10, 2) as (total * 2) stored, more int as (id + 1) virtual)`,
    );
    await query('insert into orders (total) select seq / 3 from seq_1_to_5000');
    await query(
      `create table items (id int primary key, order_id int not null, words text,
         raw varbinary(300),         at datetime, flags bit(4), shape geometry, j json,
         foreign key (order_id) references orders (id))`,
    );
    const awkward = '\'); drop table x; -- \\ " ` \n\r\0 -- Dump completed\nUSE `empty`;\n数据 😀';
    await query('insert into items values (?, ?, ?, ?, ?, 5, point(1, 2), ?)', [
      ...[1, 1, awkward, Buffer.from('00ff0a5c27', 'hex'), '0000-00-00 00:00:00', '{"a": 1}'],
    ]);
    await query('insert into items (id, order_id) values (2, 5000), (3, 1)');
    await query('create table `odd``t\n\'" name` (`a``b` int invisible default 3, b int)');
    await query('insert into `odd``t\n\'" name` (b) values (1), (2)');
    await query('create table parts (id int) partition by hash (id) partitions 3');
    await query('insert into parts select seq from seq_1_to_100');
    await query('create table history (id int primary key, x int) with system versioning');
    await query('insert into history values (1, 1)');
    await query('update history set x = 2');
    await query('create table isam (id int) engine = myisam');
    await query('insert into isam values (1)');
    await query('create table nothing (id int)');
    await query('create sequence numbers start with 42');
    await query('create view seen as select id, total from orders where total > 10');
    await query('create view seen_again as select * from seen');
    await query("create definer = seller@'%' view sold as select id from orders");
    await query(
      `create trigger shop.added after insert on shop.orders for each row begin
         /* ;; */ insert into isam values (new.id); -- DELIMITER ;
       end`,
    );
    await query(
      `create procedure count_all() begin
         select count(*), '--\n-- Current Database: \`x\`' from orders; end`,
    );
    await query('create function one() returns int deterministic return 1');
    await query('create event often on schedule every 1 hour do delete from isam');
    await query(`use \`we\`\`ird-näme\``);
    await query('create table t (b longblob)');
    await query(`insert into t values (repeat('x', ${blobBytes}))`);
  });
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  await rm(certificates, { recursive: true, force: true });
});

async function makeCertificate(): Promise<{ readonly certificate: string; readonly key: string }> {
  certificates = await mkdtemp(join(tmpdir(), 'cairn-tls-'));
  await chmod(certificates, 0o755);
  const [certificate, key] = [join(certificates, 'server.crt'), join(certificates, 'server.key')];
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  args.push('-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost');
  const done = await runCommand('openssl', [...args, '-keyout', key, '-out', certificate], {
    timeoutMs: 30_000,
  });
  assert.equal(done.exitCode, 0, done.stderr);
  const identity = await findServerIdentity(null);
  if (identity) await chown(key, identity.uid, identity.gid);
  return { certificate, key };
}

test('the programs speak TLS as the connection says', async () => {
  await scene.server.session(async (query) => {
    await query("create user strict@'%' identified by 'a secret' require ssl");
    await query("grant select, show view, trigger, event on *.* to strict@'%'");
  });
  const to = { ...scene.server.connection, user: 'strict', password: new Secret('a secret') };
  const backUp = (tls: TlsMode, host: string, tlsCaPem: string | null): Promise<unknown> =>
    scene.backUp(['empty'], { connection: { ...to, tls, host, tlsCaPem } });
  await backUp('prefer', '127.0.0.1', null);
  await backUp('require', '127.0.0.1', null);
  await backUp('verify-full', 'localhost', authority);
  await assert.rejects(backUp('disable', '127.0.0.1', null), /Access denied/);
  await assert.rejects(backUp('verify-full', '127.0.0.1', authority), /failed/);
  await scene.server.query("drop user strict@'%'");
});

test('databases come back under new names with every row and all that speaks of them', async () => {
  const { source, result } = await scene.backUp(['shop', odd, 'empty']);
  const restored = await scene.restore(source, {
    databases: [
      { oldName: 'shop', newName: 'shop`2' },
      { oldName: odd, newName: 'odd2' },
      { oldName: 'empty', newName: 'empty2' },
    ],
  });
  assert.deepEqual(restored, [
    { oldName: 'shop', newName: 'shop`2', tableCount: 7, rowCount: 5108 },
    { oldName: odd, newName: 'odd2', tableCount: 1, rowCount: 1 },
    { oldName: 'empty', newName: 'empty2', tableCount: 0, rowCount: 0 },
  ]);
  assert.deepEqual(await contentOf(scene.server, 'shop`2'), await contentOf(scene.server, 'shop'));
  assert.deepEqual(await contentOf(scene.server, 'odd2'), await contentOf(scene.server, odd));
  assert.equal(result.serverVersion, scene.server.serverVersion);
  await scene.server.session(async (query) => {
    await query('use `shop``2`');
    const [row] = await query(
      `select (select count(*) from seen_again) as seen,
         (select definer from information_schema.views
            where table_schema = 'shop\`2' and table_name = 'sold') as sold,
         one() as one, nextval(numbers) as number,
         (select count(*) from history for system_time all) as history,
         (select status from information_schema.events where event_schema = 'shop\`2') as event,
         (select count(*) from information_schema.referential_constraints
            where constraint_schema = 'shop\`2' and unique_constraint_schema = 'shop\`2') as linked,
         (select default_character_set_name from information_schema.schemata
            where schema_name = 'odd2') as charset`,
    );
    assert.deepEqual(
      { ...row },
      {
        ...{ seen: 4970, sold: 'seller@%', one: 1, number: 42, history: 2, event: 'DISABLED' },
        ...{ linked: 1, charset: 'latin1' },
      },
    );
    await query('insert into orders (total) values (1)');
    const [after] = await query('select count(*) as n from isam');
    assert.equal(after?.['n'], 2);
    await query('call count_all()');
    const left = await query(
      "select schema_name from information_schema.schemata where schema_name like 'cairn%'",
    );
    assert.deepEqual(left, []);
    await query('drop database `shop``2`');
    await query('drop database odd2');
    await query('drop database empty2');
  });
});

test('a table that has not changed is the same file as in the backup before', async () => {
  const first = await scene.backUp(['shop', 'empty']);
  await scene.server.query('insert into shop.items (id, order_id) values (4, 1)');
  const second = await scene.backUp(['shop', 'empty']);
  const changed: string[] = [];
  for (const { path } of second.sink.files) {
    const [was, is] = [await first.sink.readWhole(path), await second.sink.readWhole(path)];
    if (!was || !is?.equals(was)) changed.push(path);
  }
  assert.deepEqual(changed, ['databases/shop/tables/items', 'contents.json']);
});

test('what is downloaded loads by hand, as the commands say', async () => {
  const { source } = await scene.backUp(['shop', odd]);
  const files = planLogicalFiles(source) ?? assert.fail();
  assert.deepEqual(
    files.map(({ databaseName, fileName }) => [databaseName, fileName]),
    [
      ['shop', 'shop.sql'],
      [odd, `${odd}.sql`],
      [null, 'users.sql'],
      [null, 'contents.json'],
    ],
  );
  const [shop] = files;
  const path = join(scene.folder, 'shop.sql');
  const parts: Buffer[] = [];
  for await (const bytes of source.stream(shop?.parts ?? [], never)) parts.push(Buffer.from(bytes));
  await writeFile(path, Buffer.concat(parts));
  await writeFile(join(scene.folder, '.my.cnf'), loginOf(scene.server));
  const was = await contentOf(scene.server, 'shop');
  await scene.server.query('drop database shop');
  for (const command of planImportCommands(shop ?? assert.fail(), path)) {
    const env = { PATH: process.env['PATH'] ?? '', HOME: scene.folder };
    const { exitCode, stderr } = await runCommand('sh', ['-c', command], {
      env,
      timeoutMs: 60_000,
    });
    assert.equal(exitCode, 0, stderr);
  }
  assert.deepEqual(await contentOf(scene.server, 'shop'), was);
});

function loginOf({ port, password }: MariadbServer): string {
  return `[client]\nhost=127.0.0.1\nport=${port}\nuser=root\npassword=${password}\n`;
}
