import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { CairnError } from '../../model/errors.ts';
import { formatGtid, formatGtidSet } from '../../model/gtid-set.ts';
import { binlogMagic, eventTypes, viewOf } from './binlog-event.ts';
import type { LogFact } from './binlog-scan.ts';
import { scanLog } from './binlog-scan.ts';
import { shortenStatement } from './binlog-statement.ts';
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
  sizes: { readonly untilBytes?: number; readonly storedBytes?: number } = {},
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
  return await Array.fromAsync(scanLog(log, [file], AbortSignal.timeout(5000)));
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
