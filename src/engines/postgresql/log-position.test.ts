import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planSegments, verifyLogRange } from './log-position.ts';

const segmentBytes = 16 * 1024 * 1024;
const at = (lsn: bigint) => ({ engine: 'postgresql', timeline: 1, lsn }) as const;

test('a range names the segments that it touches', () => {
  assert.deepEqual(planSegments(0x2000028n, 0x2000100n, segmentBytes), ['0000000000000002']);
  assert.deepEqual(planSegments(0x2000028n, 0x3000000n, segmentBytes), ['0000000000000002']);
  assert.deepEqual(planSegments(0x2000028n, 0x3000001n, segmentBytes), [
    '0000000000000002',
    '0000000000000003',
  ]);
  assert.deepEqual(planSegments(0xff000000n, 0x1_0000_0001n, segmentBytes), [
    '00000000000000FF',
    '0000000100000000',
  ]);
  const gibibyte = 1024 ** 3;
  assert.deepEqual(planSegments(0xc000_0000n, 0x1_0000_0001n, gibibyte), [
    '0000000000000003',
    '0000000100000000',
  ]);
});

test('a missing or short segment is a gap', () => {
  const range = { start: at(0x2000028n), stop: at(0x4000100n) };
  const received = new Map([
    ['pg_wal/000000010000000000000002', segmentBytes],
    ['pg_wal/000000010000000000000003', segmentBytes],
    ['pg_wal/000000020000000000000004', segmentBytes],
  ]);
  const last = verifyLogRange(range, segmentBytes, received);
  assert.equal(last, 'pg_wal/000000020000000000000004');
  received.set('pg_wal/000000010000000000000003', segmentBytes - 1);
  assert.throws(() => verifyLogRange(range, segmentBytes, received), {
    kind: 'log-gap',
    message: /0000000000000003/,
  });
  received.delete('pg_wal/000000010000000000000003');
  assert.throws(() => verifyLogRange(range, segmentBytes, received), { kind: 'log-gap' });
});
