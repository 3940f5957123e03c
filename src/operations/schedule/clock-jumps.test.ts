import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchClock } from './clock-jumps.ts';

const minuteMs = 60_000;

function openScene() {
  let wallMs = Date.UTC(2030, 0, 1);
  let monotonicMs = 5_000;
  const clock = {
    now: () => new Date(wallMs),
    monotonicMs: () => monotonicMs,
    sleep: async () => undefined,
  };
  const pass = (spanMs: number): void => {
    wallMs += spanMs;
    monotonicMs += spanMs;
  };
  const jump = (spanMs: number): void => {
    wallMs += spanMs;
  };
  return { watch: watchClock(clock), pass, jump };
}

test('a date that goes with the time is believed, however long nobody looked', () => {
  const { watch, pass, jump } = openScene();
  for (const minutes of [0, 1, 60, 60 * 24 * 40]) {
    pass(minutes * minuteMs);
    assert.ok(watch.isTrusted());
  }
  jump(2 * minuteMs);
  assert.ok(watch.isTrusted(), 'a small correction');
});

test('after a jump in either direction it is not, for an hour', () => {
  for (const days of [30, -30]) {
    const { watch, pass, jump } = openScene();
    jump(days * 24 * 60 * minuteMs);
    assert.ok(!watch.isTrusted());
    pass(59 * minuteMs);
    assert.ok(!watch.isTrusted());
    pass(minuteMs);
    assert.ok(watch.isTrusted());
    jump(-days * 24 * 60 * minuteMs);
    assert.ok(!watch.isTrusted(), 'the way back is a jump too');
  }
});
