// What must not happen to logical backups: one that is not whole and looks as if it were, rows that
// are lost unnoticed, a database that is overwritten or half there (rules 13, 14, 26).
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { LogicalSource } from '../../src/engines/engine.ts';
import { DumpReader } from '../../src/engines/postgresql/logical-archive.ts';
import { CairnError } from '../../src/model/errors.ts';
import { toLogicalSource } from '../../src/operations/logical/logical-source.ts';
import { runSql } from '../fixtures/engine-scene.ts';
import type { LogicalScene } from '../fixtures/logical-scene.ts';
import { createLogicalScene } from '../fixtures/logical-scene.ts';
import type { TestServer } from '../fixtures/postgres-server.ts';
import { startPostgres } from '../fixtures/postgres-server.ts';
import { never, testInstanceId } from '../fixtures/repositories.ts';

let scene: LogicalScene;
let other: TestServer;

before(async () => {
  scene = await createLogicalScene();
  other = await startPostgres({ version: 'debian-15' });
  await scene.server.query('create role seller login password \'secret\'; create role "Odd ""r;"');
  await scene.server.query('grant "Odd ""r;" to seller');
  await scene.server.query('create database shop owner seller');
  await runSql(scene.at('shop'), async (query) => {
    await query(`create table still as select g as id, md5(g::text) as x
      from generate_series(1, 100000) g`);
    await query('create table busy as select g as id from generate_series(1, 10) g');
    await query('alter table busy owner to "Odd ""r;"');
  });
});
after(async () => {
  await other[Symbol.asyncDispose]();
  await scene[Symbol.asyncDispose]();
});

const shopTo = (newName: string) => ({ databases: [{ oldName: 'shop', newName }] });

async function databasesOf(server: TestServer): Promise<readonly unknown[]> {
  const rows = await server.query('select datname from pg_database order by 1');
  return rows.map(({ datname }) => datname);
}

async function countBackups(): Promise<number> {
  const found = [];
  for await (const one of scene.repository.readBackups(testInstanceId, never)) found.push(one);
  return found.length;
}

/** The process ids of our own children that run a program; at once, while its output waits. */
function findChildren(program: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const path = `/proc/${name}/stat`;
    if (!/^\d+$/.test(name) || !existsSync(path)) return [];
    const [, command, parent] = /^\d+ \((.*)\) \S (\d+)/.exec(readFileSync(path, 'utf8')) ?? [];
    return command === program && Number(parent) === process.pid ? [Number(name)] : [];
  });
}

test('a dump that is killed midway leaves no backup', async () => {
  const before = await countBackups();
  let killed = 0;
  const run = scene.backUp(['shop'], {
    onProgress: (doneBytes) => {
      if (doneBytes === 0 || killed > 0) return;
      for (const id of findChildren('pg_dump')) {
        process.kill(id, 'SIGKILL');
        killed++;
      }
    },
  });
  await assert.rejects(run, /pg_dump was killed before it had finished/);
  assert.equal(killed, 1);
  assert.equal(await countBackups(), before);
});

test('a cancel ends the program, and nothing is left', async () => {
  const before = await countBackups();
  const abort = new AbortController();
  const reason = new CairnError('cancelled', 'cancelled on request');
  const run = scene.backUp(['shop'], {
    signal: abort.signal,
    onProgress: (doneBytes) => doneBytes > 0 && abort.abort(reason),
  });
  await assert.rejects(run, /cancelled on request/);
  assert.deepEqual(findChildren('pg_dump'), []);
  assert.equal(await countBackups(), before);
});

test('a name that is no database, or one that cannot be dumped, is refused', async () => {
  for (const name of ['nowhere', 'template0', 'shop ']) {
    await assert.rejects(scene.backUp([name]), { kind: 'invalid', reason: 'database-unknown' });
  }
});

test('a name that is taken is refused before anything is touched', async () => {
  const reader = await scene.backUp(['shop']);
  const before = await databasesOf(scene.server);
  const refusal = { kind: 'conflict', reason: 'database-name-taken' };
  await assert.rejects(scene.restore(reader, shopTo('shop')), refusal);
  await assert.rejects(
    scene.restore(reader, {
      databases: [
        { oldName: 'shop', newName: 'fresh' },
        { oldName: 'shop', newName: 'postgres' },
      ],
    }),
    refusal,
  );
  assert.deepEqual(await databasesOf(scene.server), before);
});

test('rows that are missing after a restore are noticed, and nothing is kept', async () => {
  const reader = await scene.backUp(['shop']);
  const before = await databasesOf(scene.server);
  const source = withContents(toLogicalSource(reader), (text) =>
    text.replace('"rows": 100000', '"rows": 100001'),
  );
  await assert.rejects(
    scene.restore(reader, { ...shopTo('short'), source }),
    /table "public"."still": 100000 were restored, and there were 100001/,
  );
  assert.deepEqual(await databasesOf(scene.server), before);
});

test('a dump that is not as it was made is not restored', async () => {
  const reader = await scene.backUp(['shop']);
  const before = await databasesOf(scene.server);
  const source = withContents(toLogicalSource(reader), (text) =>
    text.replace(/"dump_sha256": "../, '"dump_sha256": "zz'),
  );
  await assert.rejects(scene.restore(reader, { ...shopTo('damaged'), source }), {
    kind: 'repository-damaged',
  });
  assert.deepEqual(await databasesOf(scene.server), before);
});

test('what a restore that died has left is removed by the next attempt', async () => {
  const reader = await scene.backUp(['shop']);
  await scene.server.query('create database cairn_restore_again_0');
  await scene.restore(reader, { ...shopTo('again'), tag: 'again' });
  const names = await databasesOf(scene.server);
  assert.ok(names.includes('again'));
  assert.ok(!names.includes('cairn_restore_again_0'));
});

test('an attempt that died after it had given the names finds its work done', async () => {
  const reader = await scene.backUp(['shop']);
  const options = { ...shopTo('finished'), tag: 'job-1' };
  const restored = await scene.restore(reader, options);
  await runSql(scene.at('finished'), (query) => query('delete from still'));
  assert.deepEqual(await scene.restore(reader, options), restored);
  const rows = await runSql(scene.at('finished'), (query) => query('select from still'));
  assert.equal(rows.length, 0, 'a database that is in use was made anew');
  await assert.rejects(scene.restore(reader, { ...options, tag: 'job-2' }), { kind: 'conflict' });
});

test('an archive is read alike however it is cut, and one that ends early is noticed', async () => {
  await scene.server.query('create database tiny');
  await runSql(scene.at('tiny'), async (query) => {
    await query('create table busy as select g as id from generate_series(1, 10) g');
    await query('create table still as select g as id from generate_series(1, 2000) g');
  });
  const reader = await scene.backUp(['tiny']);
  const files = reader.files().filter(({ path }) => path.startsWith('databases/'));
  const parts: Uint8Array[] = [];
  for await (const bytes of toLogicalSource(reader).stream(files, never)) {
    parts.push(Uint8Array.from(bytes));
  }
  const dump = Buffer.concat(parts);
  const whole = readDump(dump, () => dump.length);
  assert.deepEqual(whole.data, [
    { kind: 'table', schema: 'public', name: 'busy', rows: 10 },
    { kind: 'table', schema: 'public', name: 'still', rows: 2000 },
  ]);
  assert.ok(whole.bytes.equals(dump));
  for (const most of [1, 3, 7, 4096]) {
    const again = readDump(dump, () => 1 + Math.floor(Math.random() * most));
    assert.deepEqual(again.begins, whole.begins);
    assert.deepEqual(again.data, whole.data);
    assert.ok(again.bytes.equals(dump));
  }
  for (let count = 0; count < 50; count++) {
    const short = dump.subarray(0, Math.floor(Math.random() * dump.length));
    assert.throws(() => readDump(short, () => 65_536), { kind: 'engine-refused' });
  }
});

test('missing roles are named, or made with their passwords; roles that exist stay', async () => {
  const reader = await scene.backUp(['shop']);
  await assert.rejects(scene.restore(reader, shopTo('shop'), other), {
    kind: 'invalid',
    reason: 'role-unknown',
    message: /no role Odd "r;, seller|no role Odd "r;/,
  });
  await other.query("alter role postgres connection limit 7; create role seller password 'own'");
  const [own] = await other.query("select rolpassword from pg_authid where rolname = 'seller'");
  await scene.restore(reader, { ...shopTo('shop'), missingRoles: 'create' }, other);
  const [kept] = await other.query(
    `select (select rolpassword from pg_authid where rolname = 'seller') as rolpassword,
       (select rolconnlimit from pg_authid where rolname = 'postgres') as superuser_limit,
       (select count(*)::int from pg_authid where rolname = 'Odd "r;') as made`,
  );
  assert.deepEqual({ ...kept }, { ...own, superuser_limit: 7, made: 1 });
});

test('a table that has not changed is stored once', async () => {
  await scene.backUp(['shop']);
  await runSql(scene.at('shop'), (query) => query('insert into busy values (11)'));
  const { stored } = await scene.backUp(['shop']);
  assert.ok(stored.totals.logicalBytes > 3_000_000);
  assert.ok(stored.totals.newBytes < 60_000, `${stored.totals.newBytes} new bytes`);
});

function readDump(dump: Buffer, nextLength: () => number) {
  const reader = new DumpReader();
  const begins: number[] = [];
  const parts: Uint8Array[] = [];
  let at = 0;
  for (let from = 0; from < dump.length; ) {
    const length = nextLength();
    for (const segment of reader.push(dump.subarray(from, from + length))) {
      if (segment.begins) begins.push(at);
      parts.push(Uint8Array.from(segment.bytes));
      at += segment.bytes.byteLength;
    }
    from += length;
  }
  return { data: reader.end(), begins, bytes: Buffer.concat(parts) };
}

/** A source whose contents say something else. */
function withContents(source: LogicalSource, edit: (text: string) => string): LogicalSource {
  return {
    ...source,
    async *stream(files, signal) {
      const isContents = files.some(({ path }) => path === 'contents.json');
      if (!isContents) return yield* source.stream(files, signal);
      const parts: Uint8Array[] = [];
      for await (const part of source.stream(files, signal)) parts.push(Uint8Array.from(part));
      yield Buffer.from(edit(Buffer.concat(parts).toString()));
    },
  };
}
