import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CairnError } from '../../model/errors.ts';
import { MasterKey } from '../../platform/master-key.ts';
import { composeKit, parseKit } from './recovery-kit.ts';

function kitOf(masterKey: MasterKey): string {
  return composeKit({
    ...{ masterKey, storageUrl: 'file:///srv/backups', repositoryId: 'abc', version: '1' },
    now: new Date(0),
  });
}

describe('a recovery kit', () => {
  test('gives the key back, whole, as lines alone, in capitals, and as bare digits', () => {
    for (let n = 0; n < 50; n++) {
      const key = MasterKey.parse(MasterKey.generate().reveal());
      const kit = kitOf(key);
      const lines = kit.split('\n').filter((line) => /^ {4}[1-4] /.test(line));
      assert.equal(lines.length, 4);
      for (const text of [kit, lines.join('\n'), lines.toReversed().join('\r\n').toUpperCase()]) {
        assert.equal(parseKit(text.replaceAll('\r', '')).reveal(), key.reveal());
      }
      assert.equal(parseKit(` ${key.reveal()}\n`).reveal(), key.reveal());
      assert.ok(!kit.includes(key.reveal()), 'in groups only');
    }
  });

  test('finds any one wrong digit and names its line', () => {
    const key = MasterKey.parse('0123456789abcdef'.repeat(4));
    const lines = kitOf(key)
      .split('\n')
      .filter((line) => /^ {4}[1-4] /.test(line));
    let missed = 0;
    let count = 0;
    for (const [index, line] of lines.entries()) {
      for (let at = 7; at < line.length; at++) {
        const digit = line.charAt(at);
        if (!/[0-9a-f]/.test(digit)) continue;
        const wrong = ((Number.parseInt(digit, 16) + 1) % 16).toString(16);
        const changed = lines.with(index, line.slice(0, at) + wrong + line.slice(at + 1));
        count++;
        try {
          parseKit(changed.join('\n'));
          missed++;
        } catch (error) {
          assert.ok(error instanceof CairnError && error.kind === 'invalid');
          assert.equal(error.message, `line ${index + 1} of the master key has a wrong checksum`);
        }
      }
    }
    assert.deepEqual([missed, count], [0, 80]);
  });

  test('with lines that are exchanged, missing or of another kit is refused', () => {
    const [one = '', two = '', three = '', four = ''] = kitOf(MasterKey.generate())
      .split('\n')
      .filter((line) => /^ {4}[1-4] /.test(line));
    const as = (number: number, line: string): string => line.replace(/[1-4]/, String(number));
    const exchanged = [as(2, one), as(1, two), three, four].join('\n');
    assert.throws(() => parseKit(exchanged), /line 2 of the master key has a wrong checksum/);
    assert.throws(() => parseKit([one, two, four].join('\n')), /line 3 .* is missing/);
    assert.throws(() => parseKit(''), /line 1 .* is missing/);
  });

  test('says no digit of what it was given', () => {
    const text = fc.stringMatching(/^[1-9 a-f0-9-]{0,80}$/);
    fc.assert(
      fc.property(text, (given) => {
        try {
          parseKit(given);
        } catch (error) {
          assert.ok(error instanceof CairnError);
          assert.match(
            error.message,
            /^line \d of the master key (is missing|has a wrong checksum)$/,
          );
        }
      }),
    );
  });
});
