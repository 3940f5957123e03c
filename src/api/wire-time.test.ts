import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatTokenTime, formatWireTime, parseWireTime } from './wire-time.ts';

const moments = fc
  .date({
    min: new Date('1971-01-01T00:00:00Z'),
    max: new Date('9998-12-31T00:00:00Z'),
    noInvalidDate: true,
  })
  .map((at) => new Date(Math.floor(at.getTime() / 1000) * 1000));

describe('times on the wire', () => {
  test('are printed in UTC with a numeric offset', () => {
    const at = new Date('2026-01-05T03:00:00.999Z');
    assert.equal(formatWireTime(at), '2026-01-05T03:00:00+0000');
    assert.equal(formatTokenTime(at), '2026-01-05T03:00:00.999000Z');
  });
  test('are read in every form that clients use', () => {
    for (const text of [
      '2026-01-05T03:00:00Z',
      '2026-01-05T03:00:00',
      '2026-01-05T11:00:00+0800',
      '2026-01-05T11:00:00 0800',
      '2026-01-05T11:00:00+08:00',
      '2026-01-04T22:00:00-0500',
      '2026-01-05T03:00:00.123456Z',
    ]) {
      assert.equal(parseWireTime(text)?.toISOString(), '2026-01-05T03:00:00.000Z', text);
    }
  });
  test('that are none are refused', () => {
    for (const text of [
      '',
      'now',
      '2026-01-05',
      '2026-02-30T00:00:00Z',
      '2026-01-05T24:00:00Z',
      '2026-01-05T03:60:00Z',
      '2026-13-01T00:00:00Z',
      '2026-00-01T00:00:00Z',
      '2026-01-05T03:00:00+2500',
      '2026-01-05T03:00:00+0860',
      '2026-01-05T03:00:00Z ',
      '2026-01-05 03:00:00',
      '1767582000000',
    ]) {
      assert.equal(parseWireTime(text), null, text);
    }
  });
  test('round-trip in any offset, with the plus encoded or lost', () => {
    const offsets = fc.integer({ min: -14 * 60, max: 14 * 60 });
    fc.assert(
      fc.property(moments, offsets, fc.constantFrom('', ':'), (at, minutes, colon) => {
        const local = new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, 19);
        const two = (value: number): string => String(value).padStart(2, '0');
        const span = Math.abs(minutes);
        const zone = `${two(Math.floor(span / 60))}${colon}${two(span % 60)}`;
        const signs = minutes < 0 ? ['-'] : ['+', ' '];
        for (const sign of signs) {
          assert.deepEqual(parseWireTime(`${local}${sign}${zone}`), at);
        }
      }),
    );
  });
  test('what is printed is read as the same', () => {
    fc.assert(
      fc.property(moments, (at) => {
        assert.deepEqual(parseWireTime(formatWireTime(at)), at);
      }),
    );
  });
  test('any text is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.string(), fc.stringMatching(/^[-0-9T:+ Z]{0,30}$/), (text, alike) => {
        parseWireTime(text);
        parseWireTime(alike);
      }),
    );
  });
});
