import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  eventBytes,
  formatBytes,
  gtidBytes,
  gtidListBytes,
  rotateBytes,
} from '../../../test/fixtures/binlog-bytes.ts';
import { isErrorKind } from '../../model/errors.ts';
import { formatGtid, formatGtidSet } from '../../model/gtid-set.ts';
import type { BinlogEvent } from './binlog-event.ts';
import {
  binlogMagic,
  eventFlags,
  eventTypes,
  parseEvent,
  parseFormatDescription,
  parseQuery,
  parseRotate,
} from './binlog-event.ts';
import { parseSetBefore, parseTransactionStart } from './binlog-gtid.ts';
import { readEvents } from './binlog-reader.ts';

const read = async (chunks: Iterable<Uint8Array>) => {
  const found: { type: number; startBytes: number; endBytes: number; sum: number }[] = [];
  for await (const { header, startBytes, endBytes, body } of readEvents(chunks, 'bin.000001')) {
    const sum = body.reduce((total, byte) => total + byte, 0);
    found.push({ type: header.type, startBytes, endBytes, sum });
  }
  return found;
};

const whole = (): Buffer => {
  const pieces: Buffer[] = [Buffer.from(binlogMagic), formatBytes(eventFlags.inUse)];
  const at = (): number => pieces.reduce((sum, { length }) => sum + length, 0);
  pieces.push(gtidListBytes(at(), ['0-11-7', '3-12-9']));
  pieces.push(gtidBytes(at(), '0-11-8'));
  pieces.push(eventBytes({ type: eventTypes.xid, body: Buffer.alloc(40_000, 3), at: at() }));
  pieces.push(rotateBytes('bin.000002', at()));
  return Buffer.concat(pieces);
};

const cutEvery = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );

suite('a stored file', () => {
  test('is read the same from pieces of any size', async () => {
    const expected = await read([whole()]);
    assert.equal(expected.length, 5);
    assert.equal(expected.at(-1)?.endBytes, whole().length);
    for (const size of [1, 2, 3, 7, 19, 64, 1000, 39_999]) {
      assert.deepEqual(await read(cutEvery(whole(), size)), expected, `pieces of ${size}`);
    }
  });

  test('ends with its last whole event where it is cut', async () => {
    const bytes = whole();
    const expected = await read([bytes]);
    for (const size of [0, 3, 4, 30, 300, 400, bytes.length - 1]) {
      const found = await read([bytes.subarray(0, size)]);
      assert.deepEqual(found, expected.slice(0, found.length));
      const next = expected[found.length];
      assert.ok(next && next.endBytes > size, `cut at ${size}`);
    }
  });

  test('with a flipped bit anywhere is damaged', async () => {
    const bytes = whole();
    for (const at of [0, 5, 40, 256, 262, 300, 320, 321, 400, 20_000, bytes.length - 2]) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      const isDamaged = (error: unknown) => isErrorKind(error, 'repository-damaged');
      await assert.rejects(read([flipped]), isDamaged, `a bit of byte ${at}`);
    }
  });
});

suite('events', () => {
  const of = (bytes: Buffer): BinlogEvent => parseEvent(bytes, 'crc32');

  test('the format tells the server and what checksums there are', () => {
    assert.deepEqual(parseFormatDescription(of(formatBytes())), {
      binlogVersion: 4,
      serverVersion: '10.11.19-MariaDB-log',
      checksum: 'crc32',
    });
  });

  test('transactions of MariaDB, and all before a file: of one domain the last counts', () => {
    const start = parseTransactionStart(of(gtidBytes(4, '7-12-4294967299')));
    assert.equal(start?.gtid && formatGtid(start.gtid), '7-12-4294967299');
    const list = parseSetBefore(of(gtidListBytes(4, ['0-11-9', '0-12-5', '2-1-1'])));
    assert.equal(list && formatGtidSet(list), '0-12-5,2-1-1');
  });

  test('transactions of MySQL 8: with the microsecond of the commit', () => {
    const body = Buffer.alloc(42 + 7 + 4);
    Buffer.from('00112233445566778899aabbccddeeff', 'hex').copy(body, 1);
    body.writeBigUInt64LE(12n, 17);
    body.writeUIntLE(0x06_5432_1abc, 42, 6);
    const start = parseTransactionStart(of(eventBytes({ type: eventTypes.gtid, body, at: 4 })));
    assert.ok(start?.gtid);
    assert.equal(formatGtid(start.gtid), '00112233-4455-6677-8899-aabbccddeeff:12');
    assert.equal(start.committedAtMicros, 0x06_5432_1abcn);
  });

  test('all before a file of MySQL: intervals end before their second number', () => {
    const body = Buffer.alloc(8 + 16 + 8 + 32);
    body.writeBigUInt64LE(1n, 0);
    Buffer.from('00112233445566778899aabbccddeeff', 'hex').copy(body, 8);
    body.writeBigUInt64LE(2n, 24);
    for (const [index, value] of [1n, 6n, 8n, 9n].entries()) {
      body.writeBigUInt64LE(value, 32 + 8 * index);
    }
    const set = parseSetBefore(of(eventBytes({ type: eventTypes.previousGtids, body, at: 4 })));
    assert.equal(set && formatGtidSet(set), '00112233-4455-6677-8899-aabbccddeeff:1-5:8');
  });

  test('a statement with its database, and the next file', () => {
    const body = Buffer.concat([Buffer.alloc(13), Buffer.from('var.sales\0drop table orders')]);
    body.writeUInt8(5, 8);
    body.writeUInt16LE(4, 11);
    const query = parseQuery(of(eventBytes({ type: eventTypes.query, body, at: 4 })));
    assert.deepEqual(query, { schema: 'sales', statement: 'drop table orders' });
    const rotation = parseRotate(of(rotateBytes('bin.000009')));
    assert.deepEqual(rotation, { file: 'bin.000009', offsetBytes: 4 });
  });
});
