import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IntervalInput } from './plan-interval.ts';
import { emptyInterval, nameInterval, planInterval } from './plan-interval.ts';

const minuteMs = 60_000;
const point = (minutes: number) => ({
  position: { engine: 'postgresql', timeline: 1, lsn: BigInt(Math.round(minutes)) } as const,
  at: new Date(minutes * minuteMs),
});

function input(changes: Partial<IntervalInput>, since: number | null = 7): IntervalInput {
  const open = { ...emptyInterval, since: since === null ? null : new Date(since * minuteMs) };
  return {
    ...{ open, closed: null, covered: point(9), began: point(6) },
    ...{ intervalMs: 5 * minuteMs, isEnding: false, ...changes },
  };
}

describe('an interval of log', () => {
  test('ends when the server’s clock passes a multiple of its length', () => {
    assert.equal(planInterval(input({})), null);
    assert.deepEqual(planInterval(input({ covered: point(10) })), {
      ...{ sequence: 0, start: point(6), end: point(10) },
    });
  });

  test('is none without log, or while nobody knows the time', () => {
    assert.equal(planInterval(input({ covered: point(30) }, null)), null);
    assert.equal(planInterval(input({ covered: null, isEnding: true })), null);
  });

  test('goes on where the last one ended, and after idle hours waits for its own end', () => {
    const closed = { ...point(10), sequence: 4 };
    assert.equal(planInterval(input({ closed, covered: point(121) }, 120.5)), null);
    const next = planInterval(input({ closed, covered: point(125) }, 120.5));
    assert.deepEqual(next, { sequence: 5, start: point(10), end: point(125) });
  });

  test('ends with its stream, also when the server’s clock was set back', () => {
    const closed = { ...point(20), sequence: 0 };
    const last = planInterval(input({ closed, isEnding: true }));
    assert.deepEqual(last?.end, point(9));
    assert.deepEqual(last?.start, { position: point(20).position, at: point(9).at });
  });

  test('has a name that a user could have given', () => {
    const name = nameInterval('s'.repeat(64), new Date('2026-11-24T17:35:00Z'));
    assert.equal(name, `incremental-${'s'.repeat(36)}-20261124T173500`);
    assert.ok(name.length <= 64);
  });
});
