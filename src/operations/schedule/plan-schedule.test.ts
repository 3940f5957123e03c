import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Weekday } from '../../model/backup-policy.ts';
import { everyDay } from '../../model/backup-policy.ts';
import type { ScheduleState } from './plan-schedule.ts';
import { newestWindow, planSchedule } from './plan-schedule.ts';

const at = (text: string): Date => new Date(`${text}Z`);
/** 2026-01-05 is a Monday. */
const nightly = { startMinute: 120, weekdays: everyDay };
const state: ScheduleState = {
  schedule: nightly,
  effectiveAt: at('2026-01-01T00:00:00'),
  lastWindowAt: at('2026-01-04T02:00:00'),
  attemptCount: 1,
  lastBackup: { status: 'completed' },
};
const wait = { kind: 'wait' };

describe('the newest window', () => {
  test('is the last opening on a chosen weekday', () => {
    const schedule = { startMinute: 120, weekdays: [1, 3] as Weekday[] };
    for (const [now, window] of [
      ['2026-01-05T01:59:59', '2025-12-31T02:00:00'],
      ['2026-01-05T02:00:00', '2026-01-05T02:00:00'],
      ['2026-01-06T23:00:00', '2026-01-05T02:00:00'],
      ['2026-01-11T12:00:00', '2026-01-07T02:00:00'],
    ] as const) {
      assert.deepEqual(newestWindow(schedule, at(now)), at(window), now);
    }
    const sunday = { startMinute: 0, weekdays: [7] as Weekday[] };
    assert.deepEqual(newestWindow(sunday, at('2026-01-10T23:59:59')), at('2026-01-04T00:00:00'));
  });
});

describe('a backup is due', () => {
  test('when its window opens, not before', () => {
    assert.deepEqual(planSchedule(state, at('2026-01-05T01:59:59')), wait);
    assert.deepEqual(planSchedule(state, at('2026-01-05T02:00:00')), {
      kind: 'back-up',
      windowAt: at('2026-01-05T02:00:00'),
      attempt: 1,
    });
  });

  test('although a clock that was ahead has noted times that are far away', () => {
    const due = { kind: 'back-up', windowAt: at('2026-01-05T02:00:00'), attempt: 1 };
    const now = at('2026-01-05T03:00:00');
    const away = at('2027-01-05T02:00:00');
    assert.deepEqual(planSchedule({ ...state, lastWindowAt: away }, now), due);
    assert.deepEqual(planSchedule({ ...state, effectiveAt: away }, now), due);
    const failed = {
      ...state,
      lastWindowAt: due.windowAt,
      lastBackup: { status: 'failed', endedAt: away },
    } as const;
    assert.deepEqual(planSchedule(failed, now), { ...due, attempt: 2 });
    // Another replica may be some minutes ahead.
    const soon = at('2026-01-06T02:00:00');
    assert.deepEqual(planSchedule({ ...state, lastWindowAt: soon }, now), wait);
  });

  test('once for windows that were missed, for the newest of them', () => {
    assert.deepEqual(planSchedule(state, at('2026-01-09T17:00:00')), {
      kind: 'back-up',
      windowAt: at('2026-01-09T02:00:00'),
      attempt: 1,
    });
    const caughtUp = { ...state, lastWindowAt: at('2026-01-09T02:00:00') };
    assert.deepEqual(planSchedule(caughtUp, at('2026-01-09T17:00:15')), wait);
  });

  test('not for a window that was over before the policy was set', () => {
    const fresh = { ...state, lastWindowAt: null, lastBackup: null, attemptCount: 0 };
    const late = { ...fresh, effectiveAt: at('2026-01-05T03:00:00') };
    assert.deepEqual(planSchedule(late, at('2026-01-05T03:00:00')), wait);
    const inTime = { ...fresh, effectiveAt: at('2026-01-05T02:59:59') };
    assert.equal(planSchedule(inTime, at('2026-01-05T02:59:59')).kind, 'back-up');
  });

  test('again half an hour after a failure, three times in all', () => {
    const endedAt = at('2026-01-05T02:10:00');
    const failed: ScheduleState = {
      ...state,
      lastWindowAt: at('2026-01-05T02:00:00'),
      lastBackup: { status: 'failed', endedAt },
    };
    assert.deepEqual(planSchedule(failed, at('2026-01-05T02:39:59')), wait);
    assert.deepEqual(planSchedule(failed, at('2026-01-05T02:40:00')), {
      kind: 'back-up',
      windowAt: at('2026-01-05T02:00:00'),
      attempt: 2,
    });
    const third = { ...failed, attemptCount: 3 };
    assert.deepEqual(planSchedule(third, at('2026-01-05T12:00:00')), wait);
    assert.equal(planSchedule(third, at('2026-01-06T02:00:00')).kind, 'back-up');
  });

  test('exactly once in every window, however often and irregularly the question is asked', () => {
    const days = fc.subarray([...everyDay], { minLength: 1 });
    const pauses = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 400 });
    const minutes = fc.integer({ min: 0, max: 95 }).map((n) => n * 15);
    fc.assert(
      fc.property(days, minutes, pauses, (weekdays, startMinute, gaps) => {
        const schedule = { startMinute, weekdays };
        let now = at('2026-01-05T00:00:00');
        let seen: ScheduleState = {
          ...state,
          schedule,
          effectiveAt: now,
          lastWindowAt: null,
          lastBackup: null,
        };
        const backedUp: number[] = [];
        for (const gap of gaps) {
          now = new Date(now.getTime() + gap * 60_000);
          const decision = planSchedule(seen, now);
          const newest = newestWindow(schedule, now);
          if (decision.kind === 'wait') {
            const isDone = backedUp.at(-1) === newest.getTime();
            assert.ok(isDone || newest.getTime() + 3_600_000 <= seen.effectiveAt.getTime());
            continue;
          }
          assert.equal(decision.windowAt.getTime(), newest.getTime());
          assert.ok(!backedUp.includes(newest.getTime()), 'twice in one window');
          backedUp.push(newest.getTime());
          seen = { ...seen, lastWindowAt: newest, lastBackup: { status: 'completed' } };
        }
      }),
    );
  });
});
