import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Clock } from '../platform/clock.ts';
import { ProgressMeter } from './progress-meter.ts';

function handClock(): { readonly clock: Clock; advance(spanMs: number): void } {
  let passedMs = 0;
  return {
    clock: {
      now: () => new Date(passedMs),
      monotonicMs: () => passedMs,
      sleep: () => Promise.reject(new Error('nobody sleeps here')),
    },
    advance(spanMs) {
      passedMs += spanMs;
    },
  };
}

it('measures the rate over the last seconds, per phase', () => {
  const { clock, advance } = handClock();
  const meter = new ProgressMeter(clock);
  assert.equal(meter.read(), null);
  for (let second = 0; second <= 20; second++) {
    meter.report({ phase: 'reading', doneBytes: second * 100, totalBytes: 5000 });
    advance(1000);
  }
  assert.equal(meter.hasNews, true);
  const steady = meter.read();
  assert.equal(meter.hasNews, false);
  assert.ok(steady && steady.bytesPerSecond >= 90 && steady.bytesPerSecond <= 100);
  advance(60_000);
  const stalled = meter.read();
  assert.ok(stalled && stalled.bytesPerSecond < 20, `stalled at ${stalled?.bytesPerSecond}`);
  meter.report({ phase: 'committing', doneBytes: 0, totalBytes: null });
  assert.equal(meter.read()?.bytesPerSecond, 0);
});

it('measures a job that reports very often', () => {
  const { clock, advance } = handClock();
  const meter = new ProgressMeter(clock);
  for (let count = 0; count < 100_000; count++) {
    meter.report({ phase: 'reading', doneBytes: count, totalBytes: null });
  }
  advance(1000);
  assert.equal(meter.read()?.bytesPerSecond, 99_999);
});
