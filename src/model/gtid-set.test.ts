import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mulberry32 } from '../../test/fixtures/mulberry32.ts';
import type { Gtid, GtidDialect, GtidSet } from './gtid-set.ts';
import {
  advanceGtidSet,
  containsGtid,
  coversGtidSet,
  emptyGtidSet,
  formatGtid,
  formatGtidSet,
  isSameGtidSet,
  parseGtid,
  parseGtidSet,
  unionGtidSets,
} from './gtid-set.ts';

const uuids = ['3e11fa47-71ca-11e1-9e33-c80aa9429562', '4d45cbb2-2bdb-11ee-be56-0242ac120002'];
const [uuid = '', other = ''] = uuids;

test('texts of servers become sets, and sets become one text each', () => {
  const cases: readonly [GtidDialect, string, string][] = [
    ['mariadb', '', ''],
    ['mariadb', '0-11-8179', '0-11-8179'],
    ['mariadb', '12-1-5, 0-11-8179', '0-11-8179,12-1-5'],
    // `gtid_binlog_state` names the last one of each server.
    ['mariadb', '0-1-10,0-2-15,0-3-7', '0-2-15'],
    ['mariadb', '4294967295-4294967295-18446744073709551615', ''],
    ['mysql', '', ''],
    ['mysql', `${uuid}:1-5`, `${uuid}:1-5`],
    ['mysql', `${uuid.toUpperCase()}:7:1-5:6`, `${uuid}:1-7`],
    ['mysql', `${other}:9,\n${uuid}:1-3:5-8:4`, `${uuid}:1-8,${other}:9`],
    ['mysql', `${uuid}:1-5:app:1-2:4`, `${uuid}:1-5,${uuid}:app:1-2:4`],
    ['mysql', `${uuid}:1-9223372036854775807`, ''],
  ];
  for (const [dialect, text, wanted] of cases) {
    const set = parseGtidSet(text, dialect);
    assert.ok(set, text);
    assert.equal(formatGtidSet(set), wanted || text);
  }
});

test('what is no set and no transaction id is told apart from an empty set', () => {
  const noSets: readonly [GtidDialect, string][] = [
    ['mariadb', `${uuid}:1-5`],
    ['mariadb', '0-11'],
    ['mariadb', '0-11-8179,'],
    ['mariadb', '0-11--8179'],
    ['mariadb', '4294967296-1-1'],
    ['mariadb', '0-1-18446744073709551616'],
    ['mysql', '0-11-8179'],
    ['mysql', uuid],
    ['mysql', `${uuid}:`],
    ['mysql', `${uuid}:0`],
    ['mysql', `${uuid}:5-3`],
    ['mysql', `${uuid}:1-9223372036854775808`],
    ['mysql', `${uuid}:1:app`],
    ['mysql', `${uuid}:app:tag:1`],
    ['mysql', `${uuid}:1,,${other}:1`],
    ['mysql', `${'0'.repeat(2 ** 20)}:1`],
  ];
  for (const [dialect, text] of noSets) assert.equal(parseGtidSet(text, dialect), null, text);
  for (const text of [
    '',
    '7',
    '0-1',
    ' 0-1-2',
    `${uuid}:1-2`,
    `${uuid}:1:3`,
    uuid,
    'bin.000001:4',
  ]) {
    assert.equal(parseGtid(text), null, text);
  }
  for (const text of ['0-11-8179', `${uuid}:5`, `${uuid}:app:5`]) {
    const gtid = parseGtid(text);
    assert.equal(gtid && formatGtid(gtid), text);
  }
});

test('of a domain the last transaction stands for all before it', () => {
  const set = parseGtidSet('0-11-8179,1-12-5', 'mariadb');
  assert.ok(set);
  assert.equal(contains(set, '0-11-8179'), true);
  assert.equal(contains(set, '0-99-8178'), true);
  assert.equal(contains(set, '0-11-8180'), false);
  assert.equal(contains(set, '2-11-1'), false);
  const moved = advanceGtidSet(set, gtidOf('0-12-8180'));
  assert.equal(formatGtidSet(moved), '0-12-8180,1-12-5');
  // As `gtid_binlog_pos` does after a transaction out of order.
  assert.equal(formatGtidSet(advanceGtidSet(moved, gtidOf('0-13-50'))), '0-13-50,1-12-5');
  assert.equal(isSameGtidSet(set, parsed('0-12-8179,1-12-5', 'mariadb')), false);
});

test('the dialects are not mixed silently', () => {
  const [mariadb, mysql] = [emptyGtidSet('mariadb'), emptyGtidSet('mysql')];
  const attempts = [
    () => containsGtid(mariadb, gtidOf(`${uuid}:1`)),
    () => advanceGtidSet(mysql, gtidOf('0-1-1')),
    () => unionGtidSets(mariadb, mysql),
    () => coversGtidSet(mysql, mariadb),
  ];
  for (const attempt of attempts) assert.throws(attempt, { kind: 'bug' });
  assert.equal(isSameGtidSet(mariadb, mysql), false);
});

test('sets of MySQL behave as sets of numbers do', () => {
  const random = mulberry32(20);
  for (let round = 0; round < 300; round++) {
    const [a, b] = [drawMembers(random), drawMembers(random)];
    const [setA, setB] = [mysqlSetOf(a), mysqlSetOf(b)];
    const both = new Set([...a, ...b]);
    const at = `round ${round}: ${formatGtidSet(setA)} and ${formatGtidSet(setB)}`;
    assert.deepEqual(membersOf(setA), a, at);
    const union = unionGtidSets(setA, setB);
    assert.deepEqual(membersOf(union), both, at);
    assert.ok(isSameGtidSet(union, mysqlSetOf(both)), at);
    assert.equal(coversGtidSet(setA, setB), b.isSubsetOf(a), at);
    assert.equal(isSameGtidSet(setA, setB), both.size === a.size && both.size === b.size, at);
    assert.ok(isSameGtidSet(setA, parsed(formatGtidSet(setA), 'mysql')), at);
    assert.ok(coversGtidSet(union, setA) && coversGtidSet(union, setB), at);
  }
});

test('sets of MariaDB hold each domain up to its highest number', () => {
  const random = mulberry32(21);
  const below = (limit: number): number => Math.floor(random() * limit);
  const draw = (): readonly string[] =>
    Array.from({ length: below(5) }, () => `${below(3)}-${1 + below(2)}-${1 + below(6)}`);
  for (let round = 0; round < 300; round++) {
    const [textsA, textsB] = [draw(), draw()];
    const [a, b] = [parsed(textsA.join(), 'mariadb'), parsed(textsB.join(), 'mariadb')];
    const highest = (domain: number, texts: readonly string[]): number =>
      Math.max(0, ...texts.filter((text) => text.startsWith(`${domain}-`)).map(sequenceOf));
    const at = `round ${round}: ${textsA} and ${textsB}`;
    const union = unionGtidSets(a, b);
    for (const domain of [0, 1, 2]) {
      for (let sequence = 1; sequence <= 7; sequence++) {
        const gtid = `${domain}-9-${sequence}`;
        assert.equal(contains(a, gtid), sequence <= highest(domain, textsA), at);
        assert.equal(contains(union, gtid), contains(a, gtid) || contains(b, gtid), at);
      }
    }
    const isCovered = [0, 1, 2].every((one) => highest(one, textsB) <= highest(one, textsA));
    assert.equal(coversGtidSet(a, b), isCovered, at);
  }
});

function drawMembers(random: () => number): Set<string> {
  const universe = uuids.flatMap((source) => {
    return Array.from({ length: 9 }, (_, index) => `${source}:${index + 1}`);
  });
  const share = random();
  return new Set(universe.filter(() => random() < share));
}

/** In an order of its own, one by one. */
function mysqlSetOf(members: ReadonlySet<string>): GtidSet {
  const shuffled = [...members].sort((a, b) => hash(a) - hash(b));
  return shuffled.reduce<GtidSet>((set, text) => advanceGtidSet(set, gtidOf(text)), {
    ...emptyGtidSet('mysql'),
  });
}

function membersOf(set: GtidSet): Set<string> {
  const all = uuids.flatMap((source) => Array.from({ length: 12 }, (_, i) => `${source}:${i + 1}`));
  return new Set(all.filter((text) => contains(set, text)));
}

function contains(set: GtidSet, text: string): boolean {
  return containsGtid(set, gtidOf(text));
}

function gtidOf(text: string): Gtid {
  const gtid = parseGtid(text);
  assert.ok(gtid, text);
  return gtid;
}

function parsed(text: string, dialect: GtidDialect): GtidSet {
  const set = parseGtidSet(text, dialect);
  assert.ok(set, text);
  return set;
}

function sequenceOf(text: string): number {
  return Number(text.split('-').at(-1));
}

function hash(text: string): number {
  return [...text].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 1009, 7);
}
