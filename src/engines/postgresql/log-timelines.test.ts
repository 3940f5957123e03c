import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planStart } from './log-archive.ts';
import type { ServerBranch } from './log-timelines.ts';
import { findEnd, parseHistory, planNewStart, planResume } from './log-timelines.ts';

const segmentBytes = 0x100_0000;
const at = (timeline: number, lsn: bigint) => ({ engine: 'postgresql', timeline, lsn }) as const;

const history = [
  '# a comment',
  '1\t0/3000100\tno recovery target specified',
  '',
  '2\t0/5000000\tbefore 2026-11-24 10:00:00.123456+00',
].join('\n');

const branch: ServerBranch = {
  timeline: 3,
  flushedLsn: 0x7000000n,
  ended: parseHistory(history),
  segmentBytes,
};

test('a history lists the ends of timelines', () => {
  assert.deepEqual(branch.ended, [
    { timeline: 1, endLsn: 0x3000100n },
    { timeline: 2, endLsn: 0x5000000n },
  ]);
  assert.equal(findEnd(branch, 2), 0x5000000n);
  assert.equal(findEnd(branch, 3), null);
  assert.deepEqual(parseHistory(''), []);
  for (const wrong of ['nonsense', '1\tx/y\tz', '2\t0/1\ta\n1\t0/2\tb', '0\t0/1\ta']) {
    assert.throws(() => parseHistory(wrong), { kind: 'engine-refused' }, wrong);
  }
});

test('a new stream begins with the segment, on the timeline of the position', () => {
  assert.deepEqual(planNewStart(branch, 0x6000028n), at(3, 0x6000000n));
  assert.deepEqual(planNewStart(branch, 0x5000000n), at(3, 0x5000000n));
  assert.deepEqual(planNewStart(branch, 0x4abcdefn), at(2, 0x4000000n));
  assert.deepEqual(planNewStart(branch, 0x3000100n), at(2, 0x3000000n));
  assert.deepEqual(planNewStart(branch, 0x30000ffn), at(1, 0x3000000n));
});

test('a stream goes on where it is, as long as that is in the history', () => {
  for (const position of [at(3, 0x7000000n), at(2, 0x5000000n), at(1, 0x3000100n)]) {
    assert.deepEqual(planResume(branch, position), position);
  }
});

test('behind a fork it goes on with the next timeline, from the beginning of the segment', () => {
  assert.deepEqual(planResume(branch, at(1, 0x3000101n)), at(2, 0x3000000n));
  assert.deepEqual(planResume(branch, at(1, 0x9000000n)), at(2, 0x3000000n));
  assert.deepEqual(planResume(branch, at(2, 0x5000001n)), at(3, 0x5000000n));
});

test('what is not in the history is a gap', () => {
  const gap = (timeline: number, lsn: bigint, message: RegExp): void =>
    assert.throws(() => planResume(branch, at(timeline, lsn)), { kind: 'log-gap', message });
  gap(3, 0x7000001n, /ends at 0\/7000000/);
  gap(4, 0x6000000n, /stored up to 0\/6000000 on timeline 4, which is not in the history/);
});

test('the history comes first where nothing of a stream is stored yet, and not again', () => {
  const notes = { walSegmentBytes: segmentBytes };
  const facts = { serverVersion: '18', systemIdentifier: '1', startPosition: at(3, 0x6000000n) };
  const hasHistory = (lsn: bigint): boolean => {
    const resume = { facts: { ...facts, notes }, position: at(3, lsn) };
    return planStart(branch, { restartLsn: 0n }, resume).hasHistory;
  };
  assert.equal(planStart(branch, { restartLsn: 0x6000000n }, null).hasHistory, false);
  assert.equal(hasHistory(0x6000000n), false);
  assert.equal(hasHistory(0x6000001n), true);
});
