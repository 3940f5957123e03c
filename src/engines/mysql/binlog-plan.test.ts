import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ErrorKind } from '../../model/errors.ts';
import { CairnError } from '../../model/errors.ts';
import { parseGtid, parseGtidSet } from '../../model/gtid-set.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { targetTime } from '../../model/recovery-target.ts';
import type { PlanInput, ReplayPlan } from './binlog-plan.ts';
import { lastCommitAt, planReplay, resolvedTransaction } from './binlog-plan.ts';
import type { BinlogPosition, LogFact, ScannedTransaction } from './binlog-scan.ts';

const beganSeconds = 1_700_000_000;

/** 100 bytes long, at 100, 200, …; its number is its GTID's, and its second. */
function transaction(
  file: string,
  number: number,
  other: Partial<ScannedTransaction> = {},
): ScannedTransaction {
  const startBytes = number * 100;
  return {
    ...{ kind: 'transaction', file, startBytes, endBytes: startBytes + 100, isWhole: true },
    gtid: parseGtid(`0-1-${number}`),
    committed: { kind: 'not-before', seconds: beganSeconds + number },
    statement: `statement ${number}`,
    doubled: null,
    ...other,
  };
}

function head(file: string, set: string): LogFact {
  return { kind: 'file', file, setBefore: parseGtidSet(set, 'mariadb') };
}

function end(file: string, endBytes: number, nextFile: string | null): LogFact {
  return { kind: 'end', file, endBytes, nextFile };
}

/** Two files: 1 to 4 and 5 to 8; the backup ends behind 2. */
const facts: readonly LogFact[] = [
  head('bin.000001', ''),
  ...[1, 2, 3, 4].map((number) => transaction('bin.000001', number)),
  end('bin.000001', 520, 'bin.000002'),
  head('bin.000002', '0-1-4'),
  ...[5, 6, 7, 8].map((number) => transaction('bin.000002', number)),
  end('bin.000002', 900, null),
];
const backupEnd = place('bin.000001', 300, '0-1-2');
const latest: RecoveryTarget = { kind: 'latest', timeline: null };

function place(file: string, offsetBytes: number, gtidSet: string | null = null): BinlogPosition {
  return { engine: 'mysql', file, offsetBytes, gtidSet };
}

function plan(
  target: RecoveryTarget,
  input: Partial<PlanInput> & { readonly facts?: readonly LogFact[] } = {},
): Promise<ReplayPlan> {
  return planReplay(input.facts ?? facts, {
    ...{ target, skippedTransactions: [], dialect: 'mariadb', start: backupEnd },
    ...{ end: place('bin.000002', 900) },
    ...input,
  });
}

const gtid = (number: number, isInclusive: boolean): RecoveryTarget => ({
  ...{ kind: 'gtid', gtid: `0-1-${number}`, isInclusive },
});
const position = (text: string, isInclusive: boolean): RecoveryTarget => ({
  ...{ kind: 'log-position', position: text, isInclusive, timeline: null },
});
const atSecond = (seconds: number, isInclusive = true): RecoveryTarget => ({
  ...targetTime(new Date((beganSeconds + seconds) * 1000)),
  isInclusive,
});

async function numbersOf(planning: Promise<ReplayPlan>): Promise<readonly number[]> {
  const { files } = await planning;
  const isIn = (file: string, startBytes: number): boolean =>
    files.some(({ name, omitted, ...range }) => {
      const holds = (one: { startBytes: number; endBytes: number }): boolean =>
        one.startBytes <= startBytes && startBytes < one.endBytes;
      return name === file && holds(range) && !omitted.some(holds);
    });
  return facts
    .filter((fact) => fact.kind === 'transaction' && isIn(fact.file, fact.startBytes))
    .map((fact) => (fact.kind === 'transaction' ? fact.startBytes / 100 : 0));
}

const refuses = (kind: ErrorKind, text: RegExp) => (error: unknown) =>
  error instanceof CairnError && error.kind === kind && text.test(error.message);

suite('a replay is planned', () => {
  const cases: readonly [string, RecoveryTarget, readonly number[]][] = [
    ['to the end of the log', latest, [3, 4, 5, 6, 7, 8]],
    ['to a transaction', gtid(6, true), [3, 4, 5, 6]],
    ['to just before a transaction', gtid(6, false), [3, 4, 5]],
    ['to just before the first one', gtid(3, false), []],
    ['to the last one of the backup', gtid(2, true), []],
    ['to the end of a transaction', position('bin.000002:700', false), [3, 4, 5, 6]],
    ['to where a transaction begins, with it', position('bin.000002:700', true), [3, 4, 5, 6, 7]],
    ['to within a transaction, without it', position('bin.000002:750', true), [3, 4, 5, 6]],
    ['to the end of a file', position('bin.000001:520', false), [3, 4]],
    ['to a second: what began in it came later', atSecond(6), [3, 4, 5]],
    ['to a moment within a second: with all of it', atSecond(6.001), [3, 4, 5, 6]],
    ['to a moment behind all', atSecond(60), [3, 4, 5, 6, 7, 8]],
  ];
  for (const [name, target, wanted] of cases) {
    test(name, async () => assert.deepEqual(await numbersOf(plan(target)), wanted));
  }

  test('and tells what the target came to', async () => {
    const inclusive = await plan(gtid(6, true));
    assert.deepEqual(resolvedTransaction(inclusive), {
      ...{ id: '0-1-6', statement: 'statement 6', isReplayed: true },
    });
    assert.deepEqual(inclusive.position, place('bin.000002', 700, '0-1-6'));
    assert.equal(lastCommitAt(inclusive)?.getTime(), (beganSeconds + 6) * 1000);
    const exclusive = await plan(gtid(6, false));
    assert.deepEqual(resolvedTransaction(exclusive), {
      ...{ id: '0-1-6', statement: 'statement 6', isReplayed: false },
    });
    assert.deepEqual(exclusive.position, place('bin.000002', 600, '0-1-5'));
    const nothing = await plan(gtid(2, true));
    assert.deepEqual(nothing.position, backupEnd);
    assert.deepEqual([lastCommitAt(nothing), resolvedTransaction(nothing)], [null, null]);
  });

  test('by exact times where the log has them', async () => {
    const exact = facts.map((fact): LogFact => {
      if (fact.kind !== 'transaction') return fact;
      const micros = BigInt(beganSeconds * 1_000_000 + fact.startBytes * 10_000);
      return { ...fact, committed: { kind: 'exact', micros } };
    });
    const at = (isInclusive: boolean) => plan(atSecond(6, isInclusive), { facts: exact });
    assert.deepEqual(await numbersOf(at(true)), [3, 4, 5, 6]);
    assert.deepEqual(await numbersOf(at(false)), [3, 4, 5]);
  });

  test('without single transactions', async () => {
    const skippedTransactions = ['0-1-4', '0-1-6'];
    const planned = plan(gtid(7, true), { skippedTransactions });
    assert.deepEqual(await numbersOf(planned), [3, 5, 7]);
    assert.equal((await planned).transactionCount, 3);
    for (const missing of ['0-1-2', '0-1-8', '1-1-5']) {
      await assert.rejects(
        plan(gtid(7, true), { skippedTransactions: [missing] }),
        refuses('invalid', new RegExp(`transaction ${missing} is not between`)),
      );
    }
  });

  test('without one that was cut short by a crash', async () => {
    const torn = transaction('bin.000001', 5, { isWhole: false });
    const crashed = facts.toSpliced(5, 1, torn, end('bin.000001', 600, null));
    const planned = await plan(latest, { facts: crashed });
    const [first] = planned.files;
    assert.deepEqual(first?.omitted, [{ startBytes: 500, endBytes: 600 }]);
    assert.equal(planned.transactionCount, 6);
  });
});

suite('a replay is refused', () => {
  const refusals: readonly [string, RecoveryTarget, RegExp][] = [
    ['for a transaction that the log does not have', gtid(99, true), /0-1-99 is not in the log/],
    ['for one that the backup holds, and more', gtid(1, true), /0-1-1 is not in the log/],
    ['to just before one that the backup holds', gtid(2, false), /0-1-2 is not in the log/],
    ['for a position behind the log', position('bin.000002:901', false), /is not in the log/],
    ['for a position before the backup', position('bin.000001:200', true), /before the end of/],
    ['for words that are no position', position('16/B374D848', true), /is no position/],
    [
      'for a name',
      { kind: 'xid', xid: '7', backupId: '' as never, ...{ timeline: null, isInclusive: true } },
      /kind xid/,
    ],
  ];
  for (const [name, target, text] of refusals) {
    test(name, async () => await assert.rejects(plan(target), refuses('invalid', text)));
  }

  test('where a file begins behind transactions that are not stored', async () => {
    const [before, after] = [facts.slice(0, 6), facts.slice(6)];
    const gap = [...before, head('bin.000002', '0-1-5'), ...after.slice(1)];
    await assert.rejects(plan(latest, { facts: gap }), refuses('log-gap', /bin\.000002 does not/));
    // What comes before it can still be had.
    assert.deepEqual(await numbersOf(plan(gtid(3, true), { facts: gap })), [3]);
  });

  test('where a file names another than the one that follows', async () => {
    const gap = facts.toSpliced(5, 1, end('bin.000001', 520, 'bin.000009'));
    await assert.rejects(
      plan(latest, { facts: gap }),
      refuses('log-gap', /bin\.000009 is missing/),
    );
  });

  test('where the server says that its log is not complete', async () => {
    const incident: LogFact = { kind: 'incident', file: 'bin.000002', startBytes: 650 };
    const lost = facts.toSpliced(9, 0, incident);
    await assert.rejects(plan(latest, { facts: lost }), refuses('log-gap', /lost events at 650/));
  });

  test('where a table would get twice what the backup holds already', async () => {
    const doubled = 'writes to table shop.notes';
    const late = facts.with(4, transaction('bin.000001', 4, { doubled }));
    const planned = plan(latest, { facts: late });
    await assert.rejects(planned, (error: unknown) => {
      assert.ok(error instanceof CairnError && error.kind === 'invalid');
      assert.match(error.message, /0-1-4 at bin\.000001:400 writes to table shop\.notes/);
      assert.match(error.hint ?? '', /another full backup.* ENGINE=InnoDB/);
      return true;
    });
    // Neither before it, nor without it, nor when the backup ends behind it.
    assert.deepEqual(await numbersOf(plan(gtid(3, true), { facts: late })), [3]);
    const without = plan(latest, { facts: late, skippedTransactions: ['0-1-4'] });
    assert.deepEqual(await numbersOf(without), [3, 5, 6, 7, 8]);
    const start = place('bin.000001', 500, '0-1-4');
    assert.deepEqual(await numbersOf(plan(latest, { facts: late, start })), [5, 6, 7, 8]);
  });

  test('where the backup does not end between two transactions of the log', async () => {
    const start = place('bin.000001', 350);
    await assert.rejects(plan(latest, { start }), refuses('log-gap', /within a transaction/));
    const behind = place('bin.000001', 530);
    await assert.rejects(plan(latest, { start: behind }), refuses('log-gap', /ends at 520/));
  });

  test('where the log is that of another server', async () => {
    const start = place('bin.000001', 300, '0-1-77');
    await assert.rejects(plan(latest, { start }), refuses('log-gap', /of another server/));
    // Also where nothing is replayed.
    await assert.rejects(plan(gtid(3, false), { start }), refuses('log-gap', /another server/));
  });
});

suite('a log is whole', () => {
  test('where the backup knows more domains than the log', async () => {
    const start = place('bin.000001', 300, '0-1-2,9-4-100');
    assert.deepEqual(await numbersOf(plan(gtid(3, true), { start })), [3]);
  });

  test('where a domain was dropped that nothing was written in', async () => {
    const dropped = facts.with(0, head('bin.000001', '5-1-9'));
    const start = place('bin.000001', 300, '0-1-2,5-1-9');
    assert.deepEqual((await plan(latest, { start, facts: dropped })).transactionCount, 6);
    const written = dropped.toSpliced(4, 1, {
      ...transaction('bin.000001', 4),
      gtid: parseGtid('5-1-10'),
    });
    const planned = plan(latest, { start, facts: written });
    await assert.rejects(planned, refuses('log-gap', /bin\.000002 does not follow/));
  });

  test('where the backup ends with a file, and goes on with the next', async () => {
    const start = place('bin.000001', 520, '0-1-4');
    assert.deepEqual(await numbersOf(plan(latest, { start })), [5, 6, 7, 8]);
  });
});
