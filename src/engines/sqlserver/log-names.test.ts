import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  exchangePrefix,
  findLogName,
  logFileName,
  momentToDate,
  nextMoment,
  sideFileName,
  toExchangeName,
} from './log-names.ts';

const name = { moment: '20261124T210000.1234567', folder: '0123456789abcdef' };

describe('names of log backups', () => {
  it('are found again in paths and URLs, of their own archive only', () => {
    const { name: text, stripes } = toExchangeName('cairn_a', name);
    assert.match(text, /^[a-z0-9-]{1,69}$/, 'longer than what a server has room for');
    assert.equal(stripes, 1);
    for (const device of [
      text,
      `\\\\files\\${exchangePrefix('cairn_a')}x\\${text}.1of1.bak`,
      `s3://store:9000/b/${text}.1of1.bak`,
    ]) {
      assert.deepEqual(findLogName('cairn_a', device), name, device);
      assert.equal(findLogName('cairn_b', device), null);
    }
    for (const odd of ['', 'cairn-log-', `${text}0`, text.slice(0, -1), text.toUpperCase()]) {
      assert.equal(findLogName('cairn_a', odd), null, odd);
    }
  });

  it('are in the stream what restores look for', () => {
    assert.equal(logFileName(name), '20261124T210000.1234567-0123456789abcdef.trn');
    assert.equal(sideFileName(name), '20261124T210000.1234567-0123456789abcdef.json');
  });

  it('have moments that only grow, also when a clock stands still or goes back', () => {
    const now = '20261124T210000.0000000';
    assert.equal(nextMoment(now, null), now);
    assert.equal(nextMoment(now, '20261124T205959.9999999'), now);
    assert.equal(nextMoment(now, now), '20261124T210000.0000001');
    assert.equal(nextMoment(now, '20261231T235959.9999999'), '20270101T000000.0000000');
    assert.equal(momentToDate(name.moment).toISOString(), '2026-11-24T21:00:00.123Z');
    assert.throws(() => nextMoment('20261399T000000.0000000', '20261399T000000.0000000'));
  });
});
