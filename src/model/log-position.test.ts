import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogPosition } from './log-position.ts';
import {
  advanceLogPosition,
  compareLogPositions,
  formatLogPosition,
  isLogMissing,
  parseLogPosition,
  parsePlace,
} from './log-position.ts';

const mysql = (file: string, offsetBytes: number, gtidSet: string | null = null): LogPosition => ({
  ...{ engine: 'mysql', file, offsetBytes, gtidSet },
});
const postgresql = (timeline: number, lsn: bigint): LogPosition => ({
  ...{ engine: 'postgresql', timeline, lsn },
});

test('a position comes back from its text, an empty set apart from an unknown one', () => {
  const positions: readonly [LogPosition, string][] = [
    [postgresql(2, 0x1_0300_0028n), 'postgresql:2:1/3000028'],
    [mysql('bin.000004', 337_537, '0-11-8179,1-12-5'), 'mysql:bin.000004:337537:0-11-8179,1-12-5'],
    [mysql('bin.000004', 4, 'a-b:1-5:7,c:1'), 'mysql:bin.000004:4:a-b:1-5:7,c:1'],
    [mysql('bin.000001', 4, ''), 'mysql:bin.000001:4:'],
    [mysql('bin.000001', 4), 'mysql:bin.000001:4'],
    // A server that writes no log.
    [mysql('', 0), 'mysql::0'],
  ];
  for (const [position, text] of positions) {
    assert.equal(formatLogPosition(position), text);
    assert.deepEqual(parseLogPosition(text), position);
  }
  for (const text of [
    'mysql:bin.000001',
    'mysql:bin.000001:-4',
    'mysql:bin.1:1e3',
    'postgresql:0:0/0',
  ]) {
    assert.equal(parseLogPosition(text), null, text);
  }
});

test('binary logs are ordered by their numbers, however many digits those have', () => {
  const ordered = [
    mysql('', 0),
    mysql('b.000009', 900),
    mysql('b.000010', 4),
    mysql('b.999999', 4),
  ];
  const positions = [...ordered, mysql('b.1000000', 4)];
  for (const [index, position] of positions.entries()) {
    for (const [other, behind] of positions.entries()) {
      assert.equal(Math.sign(compareLogPositions(position, behind)), Math.sign(index - other));
    }
  }
});

test('log is missing between positions that do not follow one another', () => {
  const cases: readonly [LogPosition, LogPosition, boolean][] = [
    [postgresql(1, 100n), postgresql(1, 100n), false],
    [postgresql(1, 100n), postgresql(2, 90n), false],
    [postgresql(1, 100n), postgresql(1, 101n), true],
    [mysql('bin.000004', 500), mysql('bin.000004', 500), false],
    [mysql('bin.000004', 500), mysql('bin.000004', 400), false],
    [mysql('bin.000004', 500), mysql('bin.000004', 501), true],
    [mysql('bin.000004', 500), mysql('bin.000005', 0), false],
    [mysql('bin.000004', 500), mysql('bin.000005', 4), false],
    [mysql('bin.000004', 500), mysql('bin.000005', 300), true],
    [mysql('bin.000004', 500), mysql('bin.000006', 4), true],
    [mysql('bin.999999', 500), mysql('bin.1000000', 4), false],
    [mysql('bin.000004', 500), mysql('log.000005', 4), true],
    [mysql('bin.000004', 500), mysql('bin.000003', 4), false],
    [mysql('bin.000004', 500), postgresql(1, 1n), false],
  ];
  for (const [end, start, isMissing] of cases) {
    const at = `${formatLogPosition(end)} then ${formatLogPosition(start)}`;
    assert.equal(isLogMissing(end, start), isMissing, at);
  }
});

test('a place is read in the words of the engine that it is meant for', () => {
  const binlog = mysql('bin.000009', 4, '0-1-1');
  assert.deepEqual(parsePlace('bin.000004:337537', binlog), mysql('bin.000004', 337_537));
  assert.deepEqual(parsePlace('0/64', postgresql(3, 1n)), postgresql(3, 100n));
  assert.equal(parsePlace('16/B374D848', binlog), null);
  assert.equal(parsePlace('bin.000004:337537', postgresql(3, 1n)), null);
  assert.equal(parsePlace('../etc/passwd:4', binlog), null);
  assert.equal(parsePlace('bin.000004:', binlog), null);
});

test('what lies before is not known any more some bytes further on', () => {
  const start = mysql('bin.000004', 0, '0-1-5');
  assert.deepEqual(advanceLogPosition(start, 0), start);
  assert.deepEqual(advanceLogPosition(start, 10), mysql('bin.000004', 10));
  assert.deepEqual(advanceLogPosition(postgresql(1, 5n), 10), postgresql(1, 15n));
});
