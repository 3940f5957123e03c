import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { findLsn, formatLsn, parseLsn } from './lsn.ts';

suite('log sequence numbers', () => {
  test('keep every digit, where a number would lose some', () => {
    const text = '34000000017600037';
    assert.equal(formatLsn(parseLsn(text)), text);
    assert.notEqual(String(Number(text)), text);
    assert.equal(formatLsn(parseLsn('4294967295429496729565535')), '4294967295429496729565535');
  });

  test('are the same in hexadecimal', () => {
    assert.equal(findLsn('00000022:000000b0:0025'), 34000000017600037n);
    assert.equal(findLsn('0x00000022:000000B0:0025'), 34000000017600037n);
    assert.equal(findLsn('ffffffff:ffffffff:ffff'), 4294967295429496729565535n);
  });

  test('are in order as numbers, not as texts', () => {
    assert.ok(parseLsn('9000000000100001') < parseLsn('10000000000100001'));
  });

  test('are nothing else', () => {
    for (const text of ['', '-1', '1.5', '1e5', '0x10', '22:b0:25', '1'.repeat(26), ' 1', '１']) {
      assert.equal(findLsn(text), null, text);
      assert.throws(() => parseLsn(text), /not a log sequence number/);
    }
    assert.throws(() => formatLsn(-1n), /not a log sequence number/);
    assert.throws(() => formatLsn(10n ** 25n), /not a log sequence number/);
  });
});
