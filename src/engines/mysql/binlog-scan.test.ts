import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';
import { formatGtid, formatGtidSet } from '../../model/gtid-set.ts';
import { binlogMagic, eventTypes, viewOf } from './binlog-event.ts';
import type { LogFact } from './binlog-scan.ts';
import { scanLog } from './binlog-scan.ts';
import { shortenStatement } from './binlog-statement.ts';
import { OutsideWatch } from './outside-snapshot.ts';
import { createStatement } from './replay-feed.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';

function event(type: number, body: Uint8Array, atSeconds = 1000): Uint8Array {
  const sizeBytes = 19 + body.length + 4;
  const bytes = new Uint8Array(sizeBytes);
  const view = viewOf(bytes);
  view.setUint32(0, atSeconds, true);
  view.setUint8(4, type);
  view.setUint32(5, 1, true);
  view.setUint32(9, sizeBytes, true);
  bytes.set(body, 19);
  view.setUint32(sizeBytes - 4, crc32(bytes.subarray(0, sizeBytes - 4)), true);
  return bytes;
}

function format(): Uint8Array {
  const body = new Uint8Array(57 + 40 + 1);
  viewOf(body).setUint16(0, 4, true);
  body.set(Buffer.from('8.0.36'), 2);
  body[56] = 19;
  body[body.length - 1] = 1;
  return event(eventTypes.formatDescription, body);
}

/** MySQL 8: with the microseconds of the commit. */
function gtidEvent(sequence: number, micros: bigint): Uint8Array {
  const body = new Uint8Array(49);
  body.set(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 1);
  viewOf(body).setBigUint64(17, BigInt(sequence), true);
  viewOf(body).setBigUint64(41, micros << 8n, true);
  body[25] = 2;
  return event(eventTypes.gtid, body);
}

const statement = (text: string): Uint8Array => createStatement(text, 'crc32');
const rows = (): Uint8Array => event(30, new Uint8Array(40));
const xid = (atSeconds?: number): Uint8Array => event(eventTypes.xid, new Uint8Array(8), atSeconds);
/** No transaction came before. */
const noGtids = (): Uint8Array => event(eventTypes.previousGtids, new Uint8Array(8));

const start = [format(), noGtids()];
const inserted = [statement('BEGIN'), statement('insert into t values (1)'), rows()];

async function scan(
  events: readonly Uint8Array[],
  sizes: {
    readonly untilBytes?: number;
    readonly storedBytes?: number;
    readonly watch?: OutsideWatch;
  } = {},
): Promise<readonly LogFact[]> {
  const bytes = Buffer.concat([binlogMagic, ...events]);
  const untilBytes = sizes.untilBytes ?? bytes.length;
  const position = { engine: 'mysql', file: 'bin.000001', gtidSet: null } as const;
  const log = {
    endPosition: { ...position, offsetBytes: untilBytes },
    async *streamFile() {
      const stored = bytes.subarray(0, sizes.storedBytes);
      // As storage hands them out: in pieces of any size.
      for (let at = 0; at < stored.length; at += 37) yield stored.subarray(at, at + 37);
    },
  };
  const startPosition = { ...position, offsetBytes: 0 };
  const file = { name: 'bin.000001', startPosition, sizeBytes: bytes.length, isComplete: false };
  const signal = AbortSignal.timeout(5000);
  return await Array.fromAsync(scanLog(log, [file], signal, sizes.watch ?? null));
}

const transactionsOf = (facts: readonly LogFact[]) =>
  facts.filter((fact) => fact.kind === 'transaction');

suite('a log of MySQL is scanned', () => {
  test('to its transactions, with their ids, times and statements', async () => {
    const facts = await scan([
      ...start,
      ...[gtidEvent(7, 1_700_000_000_123_456n), ...inserted, xid()],
      ...[gtidEvent(8, 1_700_000_001_000_000n), statement('create table u (id int)')],
      event(eventTypes.rotate, Buffer.concat([Buffer.alloc(8), Buffer.from('bin.000002')])),
    ]);
    assert.deepEqual(
      facts.map(({ kind }) => kind),
      ['file', 'transaction', 'transaction', 'end'],
    );
    const [head] = facts;
    assert.ok(head?.kind === 'file' && head.setBefore);
    assert.equal(formatGtidSet(head.setBefore), '');
    const [first, second] = transactionsOf(facts);
    assert.ok(first?.gtid && second?.gtid);
    assert.deepEqual([formatGtid(first.gtid), formatGtid(second.gtid)], [`${uuid}:7`, `${uuid}:8`]);
    assert.deepEqual(first.committed, { kind: 'exact', micros: 1_700_000_000_123_456n });
    assert.equal(first.statement, 'insert into t values (1)');
    assert.equal(second.statement, 'create table u (id int)');
    assert.deepEqual([first.isWhole, second.isWhole], [true, true]);
    assert.equal(second.startBytes, first.endBytes);
    const end = facts.at(-1);
    assert.ok(end?.kind === 'end' && end.nextFile === 'bin.000002');
  });

  test('and one that is cut short is none', async () => {
    for (const cut of [inserted.slice(0, 1), inserted.slice(0, 2), inserted]) {
      const [one] = transactionsOf(await scan([...start, gtidEvent(7, 0n), ...cut]));
      assert.equal(one?.isWhole, false);
    }
    // A table that is created with its rows.
    const created = [statement('create table t (id int) START TRANSACTION'), rows()];
    const [cut] = transactionsOf(await scan([...start, gtidEvent(7, 0n), ...created]));
    assert.equal(cut?.isWhole, false);
    const [whole] = transactionsOf(await scan([...start, gtidEvent(7, 0n), ...created, xid()]));
    assert.equal(whole?.isWhole, true);
  });

  test('with a savepoint that is rolled back within it', async () => {
    const events = [...inserted, statement('SAVEPOINT `a`'), statement('ROLLBACK TO `a`')];
    const [cut] = transactionsOf(await scan([...start, gtidEvent(7, 0n), ...events]));
    assert.equal(cut?.isWhole, false);
  });

  test('without ids, by the later of the times that it has', async () => {
    const body = new Uint8Array(25);
    const anonymous = event(eventTypes.anonymousGtid, body, 1000);
    const [one] = transactionsOf(await scan([...start, anonymous, ...inserted, xid(1005)]));
    assert.equal(one?.gtid, null);
    assert.deepEqual(one?.committed, { kind: 'not-before', seconds: 1005 });
  });

  test('up to the end of the log, though more is stored', async () => {
    const first = [...start, gtidEvent(7, 0n), ...inserted, xid()];
    const untilBytes = Buffer.concat([binlogMagic, ...first]).length;
    const facts = await scan([...first, gtidEvent(8, 0n), ...inserted, xid()], { untilBytes });
    assert.equal(transactionsOf(facts).length, 1);
  });

  test('and what the server says it has lost is told', async () => {
    const facts = await scan([...start, event(eventTypes.incident, new Uint8Array(3))]);
    assert.ok(facts.some(({ kind }) => kind === 'incident'));
  });
});

suite('what a dump may hold already', () => {
  const begun = [...start, gtidEvent(7, 0n), statement('BEGIN')];
  const far = { file: 'bin.000001', offsetBytes: 100_000 };
  const tables = [{ database: 'Shop', tables: ['notes', 'more'] }];

  const tableMap = (database: string, table: string): Uint8Array => {
    const names = [database, table].map((name) => {
      const text = Buffer.from(name);
      return Buffer.concat([Buffer.of(text.length), text, Buffer.of(0)]);
    });
    const rest = Buffer.of(1, 3, 0, 0);
    return event(eventTypes.tableMap, Buffer.concat([Buffer.alloc(8), ...names, rest]));
  };
  /** Also `LOAD DATA`, whose head is longer. */
  const logged = (schema: string, text: string, type: number = eventTypes.query): Uint8Array => {
    const head = Buffer.alloc(type === eventTypes.executeLoadQuery ? 26 : 13);
    head[8] = Buffer.byteLength(schema);
    // Variables of the session come before the schema.
    head[11] = 5;
    const body = [head, Buffer.alloc(5, 1), Buffer.from(schema), Buffer.of(0), Buffer.from(text)];
    return event(type, Buffer.concat(body));
  };
  async function foundIn(
    events: readonly Uint8Array[],
    outside: Partial<ConstructorParameters<typeof OutsideWatch>[0]> = {},
  ): Promise<string | null | undefined> {
    const watch = new OutsideWatch({ tablesOutsideSnapshot: tables, dumpEnd: far, ...outside });
    const facts = await scan([...begun, ...events, xid()], { watch });
    return transactionsOf(facts)[0]?.doubled;
  }

  test('are rows of a table that it read late', async () => {
    const events = [tableMap('shop', 'ledger'), rows(), tableMap('shop', 'Notes'), rows()];
    assert.equal(await foundIn(events), 'writes to table shop.Notes');
    assert.equal(await foundIn([tableMap('shop', 'ledger'), rows()]), null);
    assert.equal(await foundIn([tableMap('other', 'notes'), rows()]), null);
  });

  test('of any table, when there were too many to be named', async () => {
    const tablesOutsideSnapshot = 'all';
    const found = await foundIn([tableMap('a', 'b'), rows()], { tablesOutsideSnapshot });
    assert.equal(found, 'writes to table a.b');
    const stated = await foundIn([logged('a', 'delete from b')], { tablesOutsideSnapshot });
    assert.equal(stated, 'is a statement in database a that may write to any table');
  });

  test('but not where the transaction began when the dump had ended', async () => {
    const events = [tableMap('shop', 'notes'), rows()];
    const beginsAt = Buffer.concat([binlogMagic, ...start]).length;
    const at = (offsetBytes: number) => ({ dumpEnd: { file: 'bin.000001', offsetBytes } });
    assert.equal(await foundIn(events, at(beginsAt)), null);
    assert.notEqual(await foundIn(events, at(beginsAt + 1)), null);
    assert.equal(
      await foundIn(events, { dumpEnd: { file: 'bin.000000', offsetBytes: 9e9 } }),
      null,
    );
  });

  const may = 'that may write to Shop.notes, Shop.more';
  const statements: readonly [string, Uint8Array, string | null][] = [
    ['of its database', logged('shop', 'CALL x()'), `is a statement in database shop ${may}`],
    [
      'of another one that names it',
      logged('other', 'insert into shop.notes values (1)'),
      `is a statement in database other ${may}`,
    ],
    ['of another one', logged('other', 'insert into t values (1)'), null],
    [
      'of no database that names it',
      logged('', 'update SHOP.more set a = 1'),
      `is a statement ${may}`,
    ],
    ['that writes no rows', logged('shop', '/* nightly */ ANALYZE TABLE notes'), null],
    ['that does the same twice', logged('shop', 'TRUNCATE TABLE notes'), null],
    [
      'that only looks like one',
      logged('shop', 'set statement max_statement_time=9 for insert into notes values (1)'),
      `is a statement in database shop ${may}`,
    ],
    [
      'that runs while it is explained',
      logged('shop', 'ANALYZE UPDATE notes SET a = 1'),
      `is a statement in database shop ${may}`,
    ],
    [
      'that cannot be read',
      logged('b', '\x80', eventTypes.mariadbQueryCompressed),
      `is a statement in database b ${may}`,
    ],
    [
      'that loads a file',
      logged('shop', 'LOAD DATA …', eventTypes.executeLoadQuery),
      `is a statement in database shop ${may}`,
    ],
    ['that only frames', logged('shop', 'SAVEPOINT a'), null],
  ];
  for (const [name, logged, wanted] of statements) {
    test(`is a statement ${name}: ${wanted === null ? 'no' : 'yes'}`, async () => {
      assert.equal(await foundIn([logged]), wanted);
    });
  }

  test('is found without much ado in a text of many comments', async () => {
    const text = `${'/**/'.repeat(500)}insert into notes values (1)`;
    assert.notEqual(await foundIn([logged('shop', text)]), null);
  });
});

suite('a scan is refused', () => {
  const log = [...start, gtidEvent(7, 0n), ...inserted, xid()];
  const sizeBytes = Buffer.concat([binlogMagic, ...log]).length;
  const refuses = (kind: string, text: RegExp) => (error: unknown) =>
    error instanceof CairnError && error.kind === kind && text.test(error.message);

  test('where fewer bytes are stored than are listed', async () => {
    const scanning = scan(log, { storedBytes: sizeBytes - 5 });
    await assert.rejects(scanning, refuses('log-gap', /whole events are stored up to \d+ only/));
  });

  test('where the server wrote no ids at all', async () => {
    await assert.rejects(
      scan([...start, ...inserted, xid()]),
      refuses('engine-refused', /belongs to/),
    );
  });
});

suite('a statement', () => {
  test('is shown without the password in it', () => {
    const shown = shortenStatement("create user a@b identified by 'pen'", 100);
    assert.equal(shown, 'create user a@b …');
    assert.equal(shortenStatement("SET PASSWORD FOR a = 'pen'", 100), 'SET …');
    assert.equal(shortenStatement('x'.repeat(20), 10), `${'x'.repeat(9)}…`);
    assert.equal(shortenStatement('drop table t', 100), 'drop table t');
  });
});
