import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogClock } from '../log-clock.ts';
import { endOfInserted } from './log-clock.ts';

const at = (lsn: number, timeline = 1) =>
  ({ engine: 'postgresql', timeline, lsn: BigInt(lsn) }) as const;

test('a moment is proven when all before its position has come, and a second earlier', () => {
  const clock = new LogClock();
  assert.equal(clock.provenAt(at(50)), null);
  clock.add(at(100), new Date(5000));
  clock.add(at(200), new Date(6000));
  assert.equal(clock.provenAt(at(99)), null);
  assert.deepEqual(clock.provenAt(at(100)), new Date(4000));
  assert.deepEqual(clock.provenAt(at(199)), new Date(4000));
  assert.deepEqual(clock.provenAt(at(300)), new Date(5000));
});

test('positions of an older timeline prove nothing about a newer one', () => {
  const clock = new LogClock();
  clock.add(at(100, 2), new Date(5000));
  assert.equal(clock.provenAt(at(900, 1)), null);
  assert.deepEqual(clock.provenAt(at(100, 2)), new Date(4000));
});

test('catching up for hours keeps few moments, and the newest', () => {
  const clock = new LogClock();
  for (let second = 1; second <= 9000; second++) clock.add(at(second), new Date(second * 1000));
  assert.deepEqual(clock.provenAt(at(30)), new Date(29_000));
  assert.deepEqual(clock.provenAt(at(8999)), new Date(58_000));
  assert.deepEqual(clock.provenAt(at(9000)), new Date(8_999_000));
});

test('an empty page ends where it begins', () => {
  const end = (lsn: bigint): bigint => endOfInserted(lsn, 8192, 0x100000);
  assert.equal(end(0x304018n), 0x304000n);
  assert.equal(end(0x304020n), 0x304020n);
  assert.equal(end(0x304028n), 0x304028n);
  assert.equal(end(0x300028n), 0x300000n);
  assert.equal(end(0x300018n), 0x300018n);
});
