import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  everyDay,
  formatWindow,
  nightlyPolicy,
  parsePeriod,
  parseWindow,
} from './backup-policy.ts';

describe('the window of a policy', () => {
  test('is one hour that begins at a quarter of an hour', () => {
    assert.equal(parseWindow('08:15-09:15'), 495);
    assert.equal(parseWindow('23:00-00:00'), 1380);
    assert.equal(parseWindow('00:00-01:00'), 0);
    for (const text of [
      ...['', '08:15', '08:15-09:00', '08:15-10:15', '08:10-09:10', '24:00-01:00', '23:00-24:00'],
      ...['8:15-9:15', '08:15-09:15 ', '08:15-08:15', '09:15-08:15', '08:15–09:15'],
    ]) {
      assert.equal(parseWindow(text), null, text);
    }
  });

  test('is printed as it was read', () => {
    const quarters = fc.integer({ min: 0, max: 95 }).map((n) => n * 15);
    fc.assert(fc.property(quarters, (minute) => parseWindow(formatWindow(minute)) === minute));
  });
});

describe('the days of a policy', () => {
  test('come in any order and leave ascending, each once', () => {
    assert.deepEqual(parsePeriod('7,1, 3,1'), [1, 3, 7]);
    for (const text of ['', '0', '8', '1,', '1;2', 'Mon', '1,2,x', '11']) {
      assert.equal(parsePeriod(text), null, text);
    }
    fc.assert(
      fc.property(fc.subarray([...everyDay], { minLength: 1 }), (days) => {
        assert.deepEqual(parsePeriod(days.toReversed().join(',')), days);
      }),
    );
  });

  test('of a new instance are all of them, or none', () => {
    assert.deepEqual(nightlyPolicy(0), { kind: 'off' });
    const policy = nightlyPolicy(7);
    assert.ok(policy.kind === 'on' && policy.schedule.weekdays.length === 7);
  });
});
