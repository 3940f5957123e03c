import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { ErrorKind } from '../../model/errors.ts';
import { CairnError } from '../../model/errors.ts';
import type { BackupRecord } from './backup-record.ts';
import type { ChainPlan, ChainTarget } from './plan-chain.ts';
import { planChain } from './plan-chain.ts';

const base: BackupRecord = {
  ...{ setId: 1, id: 'full-1', type: 'full', database: 'shop', serverName: 'db1' },
  ...{ userName: 'cairn', device: null, firstLsn: 90n, lastLsn: 100n, differentialBaseId: null },
  ...{ firstForkId: 'a', lastForkId: 'a', familyId: 'f', isCopyOnly: false, isDamaged: false },
  ...{ hasChecksums: true, hasBulkLoggedData: false, offsetMinutes: 0 },
  ...{ startedLocal: clock(9), finishedLocal: clock(10) },
};

/** Log numbers and minutes run side by side: position 150 is written in minute 15. */
function clock(minute: number): string {
  return new Date(Date.UTC(2026, 10, 24) + minute * 60_000).toISOString().slice(0, 19);
}

function full(id: string, firstLsn: bigint, lastLsn: bigint, other: Partial<BackupRecord> = {}) {
  const [started, finished] = [Number(firstLsn) / 10, Number(lastLsn) / 10];
  const times = { startedLocal: clock(started), finishedLocal: clock(finished) };
  return { ...base, ...times, id, firstLsn, lastLsn, ...other };
}

function differential(id: string, baseId: string, first: bigint, last: bigint): BackupRecord {
  return { ...full(id, first, last), type: 'differential', differentialBaseId: baseId };
}

/** Begins when it has all of its log, and takes a minute. */
function log(id: string, first: bigint, last: bigint, other: Partial<BackupRecord> = {}) {
  const times = {
    startedLocal: clock(Number(last) / 10),
    finishedLocal: clock(Number(last) / 10 + 1),
  };
  return { ...full(id, first, last), type: 'log', ...times, ...other } as const;
}

const latest: ChainTarget = { kind: 'latest' };
const logs = [log('l1', 50n, 110n), log('l2', 110n, 200n), log('l3', 200n, 300n)];

const names = ({
  full: { id },
  differential: middle,
  logs: rest,
}: ChainPlan): readonly string[] => [
  id,
  ...(middle === null ? [] : [middle.id]),
  ...rest.map((record) => record.id),
];

function refused(
  records: readonly BackupRecord[],
  target: ChainTarget,
  kind: ErrorKind,
  text: RegExp,
): void {
  assert.throws(
    () => planChain(records, target),
    (error) => {
      assert.ok(error instanceof CairnError, String(error));
      assert.match(error.message, text);
      assert.equal(error.kind, kind);
      return true;
    },
  );
}

suite('a chain of backups', () => {
  test('goes from a full backup through every log, in whatever order they are listed', () => {
    assert.deepEqual(names(planChain([...logs, base].reverse(), latest)), [
      ...['full-1', 'l1', 'l2', 'l3'],
    ]);
  });

  test('begins with the log that holds the end of the data, not before', () => {
    const early = log('l0', 10n, 50n);
    assert.equal(planChain([base, early, ...logs], latest).logs[0]?.id, 'l1');
    const exact = [base, log('x', 50n, 100n), log('y', 100n, 120n)];
    assert.deepEqual(names(planChain(exact, latest)), ['full-1', 'y']);
  });

  test('takes the newest differential that is based on its full backup', () => {
    const d1 = differential('d1', 'full-1', 140n, 150n);
    const d2 = differential('d2', 'full-1', 240n, 250n);
    const foreign = differential('d3', 'full-9', 280n, 290n);
    const records = [base, ...logs, d1, d2, foreign];
    assert.deepEqual(names(planChain(records, latest)), ['full-1', 'd2', 'l3']);
    const target = { kind: 'lsn', lsn: 210n } as const;
    assert.deepEqual(names(planChain(records, target)), ['full-1', 'd1', 'l2', 'l3']);
  });

  test('never uses a differential without its base, or on a copy-only one', () => {
    const lost = differential('d1', 'full-0', 140n, 150n);
    assert.deepEqual(names(planChain([base, ...logs, lost], latest)).slice(0, 2), ['full-1', 'l1']);
    const copy = { ...base, isCopyOnly: true };
    const onCopy = differential('d1', 'full-1', 140n, 150n);
    assert.deepEqual(names(planChain([copy, ...logs, onCopy], latest)).slice(0, 2), [
      'full-1',
      'l1',
    ]);
  });

  test('names the gap when a log is missing, and does not stop before it silently', () => {
    const [l1, , l3] = logs;
    assert.ok(l1 && l3);
    refused([base, l1, l3], latest, 'log-gap', /missing between 110 and 200/);
    refused([base, l3], latest, 'log-gap', /missing between 100 and 200/);
    refused([base, l1, l3], { kind: 'lsn', lsn: 250n }, 'log-gap', /missing between 110 and 200/);
    assert.deepEqual(names(planChain([base, l1, l3], { kind: 'lsn', lsn: 105n })), [
      'full-1',
      'l1',
    ]);
  });

  test('goes round a gap by a newer backup of the data', () => {
    const [l1, , l3] = logs;
    assert.ok(l1 && l3);
    const newer = full('full-2', 210n, 220n);
    assert.deepEqual(names(planChain([base, newer, l1, l3], latest)), ['full-2', 'l3']);
  });

  test('falls back to an older backup when the newest one is damaged', () => {
    const damaged = full('full-2', 210n, 220n, { isDamaged: true });
    assert.equal(planChain([base, damaged, ...logs], latest).full.id, 'full-1');
    refused([{ ...base, isDamaged: true }], latest, 'repository-damaged', /damaged/);
    const broken = [base, log('l1', 50n, 110n, { isDamaged: true })];
    refused(broken, latest, 'repository-damaged', /log backup l1/);
  });

  test('never passes a newer backup over because its base is lost', () => {
    const lost = differential('d1', 'full-0', 140n, 150n);
    refused([base, lost], latest, 'log-gap', /differential backup d1/);
    const damaged = full('full-2', 210n, 220n, { isDamaged: true });
    refused([base, damaged], latest, 'repository-damaged', /full backup full-2/);
  });

  test('ends with the tail that was saved of a damaged database, though it is copy-only', () => {
    const tail = log('tail', 300n, 340n, { isCopyOnly: true });
    assert.deepEqual(names(planChain([base, ...logs, tail], latest)).at(-1), 'tail');
    const beside = log('copy', 110n, 150n, { isCopyOnly: true });
    assert.deepEqual(names(planChain([base, ...logs, beside], latest)), [
      ...['full-1', 'l1', 'l2', 'l3'],
    ]);
  });

  test('stays on its fork of the log', () => {
    const [l1] = logs;
    assert.ok(l1);
    const other = log('l2b', 110n, 250n, { firstForkId: 'b', lastForkId: 'b' });
    refused([base, l1, other], latest, 'log-gap', /missing/);
    const turn = log('turn', 110n, 160n, { lastForkId: 'b' });
    const after = log('after', 160n, 220n, { firstForkId: 'b', lastForkId: 'b' });
    assert.deepEqual(names(planChain([base, l1, turn, after], latest)), [
      ...['full-1', 'l1', 'turn', 'after'],
    ]);
    const foreign = log('x', 110n, 160n, { familyId: 'g' });
    assert.deepEqual(names(planChain([base, l1, foreign], latest)), ['full-1', 'l1']);
  });
});

suite('the target of a chain', () => {
  const at = (minute: number): ChainTarget => ({ kind: 'time', localTime: `${clock(minute)}.000` });

  test('is in the first log that began after it: one that was running may lack it', () => {
    // The second log ran from minute 20 to 21.
    assert.deepEqual(names(planChain([base, ...logs], at(19.9))).at(-1), 'l2');
    assert.deepEqual(names(planChain([base, ...logs], at(20))).at(-1), 'l3');
    assert.deepEqual(names(planChain([base, ...logs], at(20.5))).at(-1), 'l3');
  });

  test('behind the end of the log is refused, not rounded down', () => {
    refused([base, ...logs], at(30), 'invalid', /does not reach 2026-11-24T00:30/);
    refused([base], at(12), 'invalid', /does not reach/);
    refused([base, ...logs], { kind: 'lsn', lsn: 300n }, 'invalid', /does not reach position 300/);
  });

  test('is reached in a database that nobody used, by a log that goes on and holds nothing', () => {
    const [l1] = logs;
    assert.ok(l1);
    const empty = log('empty', 110n, 110n, { startedLocal: clock(40), finishedLocal: clock(41) });
    assert.deepEqual(names(planChain([base, l1, empty], at(30))), ['full-1', 'l1']);
    refused([base, l1, empty], at(40), 'invalid', /does not reach/);
    const sinceFull = { ...empty, firstLsn: 60n, lastLsn: 100n };
    assert.deepEqual(names(planChain([base, sinceFull], at(30))), ['full-1']);
    const elsewhere = { firstForkId: 'b', lastForkId: 'b' };
    refused([base, l1, { ...empty, ...elsewhere }], at(30), 'log-gap', /missing/);
    const behind = { firstLsn: 120n, lastLsn: 120n };
    refused([base, l1, { ...empty, ...behind }], at(30), 'log-gap', /missing between 110 and 120/);
  });

  test('before the end of all data is refused', () => {
    refused([base, ...logs], at(9), 'not-found', /no full backup ends before/);
    // The history keeps whole seconds: the backup may have ended later in this one.
    refused([base, ...logs], at(10), 'not-found', /no full backup/);
    refused([base, ...logs], { kind: 'lsn', lsn: 99n }, 'not-found', /position 99/);
    refused([], latest, 'not-found', /no full backup/);
  });

  test('inside bulk operations is refused, behind them it is not', () => {
    const [l1, l2, l3] = logs;
    assert.ok(l1 && l2 && l3);
    const records = [base, l1, { ...l2, hasBulkLoggedData: true }, l3];
    refused(records, { kind: 'lsn', lsn: 150n }, 'invalid', /cannot stop inside the log backup l2/);
    refused(records, at(15), 'invalid', /cannot stop inside/);
    // It had begun in minute 20, and nobody knows how much of it is in it.
    refused(records, at(20.5), 'invalid', /cannot stop inside/);
    assert.equal(planChain(records, at(25)).logs.length, 3);
    assert.equal(planChain(records, { kind: 'lsn', lsn: 250n }).logs.length, 3);
    assert.equal(planChain(records, latest).logs.length, 3);
  });

  test('can be the end of a backup, without any log', () => {
    const d1 = differential('d1', 'full-1', 140n, 150n);
    const plan = planChain([base, d1, ...logs], { kind: 'end-of-backup', id: 'D1' });
    assert.deepEqual(names(plan), ['full-1', 'd1']);
    assert.equal(plan.endLsn, 150n);
  });
});

suite('a server that is backed up at random', () => {
  type Commit = { readonly lsn: bigint; readonly minute: number };
  const step = fc.record({
    kind: fc.constantFrom('full', 'differential', 'log', 'copy-log', 'copy-full'),
    commitsBefore: fc.nat({ max: 3 }),
    /** While it runs: in the data, but behind the log that a log backup has read. */
    commitsDuring: fc.nat({ max: 2 }),
    isLost: fc.boolean(),
  });
  const steps = fc.array(step, { minLength: 1, maxLength: 12 });

  /** One position and one minute for each commit; backups take a minute. */
  function run(plan: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) {
    const commits: Commit[] = [];
    const records: BackupRecord[] = [];
    let [lsn, minute, logStart] = [1n, 1, 1n];
    let lastFull: string | null = null;
    const commit = (count: number) => {
      for (let index = 0; index < count; index += 1) {
        commits.push({ lsn, minute });
        [lsn, minute] = [lsn + 1n, minute + 1];
      }
    };
    for (const [index, { kind, commitsBefore, commitsDuring }] of plan.entries()) {
      commit(commitsBefore);
      minute += 1;
      const [first, startedLocal, id] = [lsn, clock(minute), `${kind}-${index}`];
      const isLog = kind === 'log' || kind === 'copy-log';
      if (isLog && lastFull === null) continue;
      if (kind === 'differential' && lastFull === null) continue;
      commit(commitsDuring);
      minute += 1;
      const common = { ...base, setId: index + 1, id, startedLocal, finishedLocal: clock(minute) };
      if (isLog) {
        const isCopyOnly = kind === 'copy-log';
        const log = { ...common, type: 'log', firstLsn: logStart, lastLsn: first } as const;
        records.push({ ...log, isCopyOnly });
        if (!isCopyOnly) logStart = first;
        continue;
      }
      const data = { ...common, firstLsn: first, lastLsn: lsn, isCopyOnly: kind === 'copy-full' };
      if (kind === 'differential') {
        records.push({ ...data, type: 'differential', differentialBaseId: lastFull });
      } else {
        records.push({ ...data, type: 'full' });
        if (kind === 'full') lastFull = id;
      }
    }
    return { commits, records, endMinute: minute };
  }

  /** As the server does it; throws where the server would. */
  function restore(plan: ChainPlan, commits: readonly Commit[], target: ChainTarget): Set<bigint> {
    const { full: first, differential: second, logs: rest } = plan;
    assert.ok(second === null || second.differentialBaseId === first.id);
    let reached = (second ?? first).lastLsn;
    const present = new Set(commits.filter(({ lsn }) => lsn < reached).map(({ lsn }) => lsn));
    for (const record of rest) {
      assert.ok(record.firstLsn <= reached, 'too recent to apply');
      for (const { lsn, minute } of commits) {
        if (lsn < record.firstLsn || lsn >= record.lastLsn) continue;
        const isBehind =
          target.kind === 'time'
            ? `${clock(minute)}.000` >= target.localTime
            : target.kind === 'lsn' && lsn > target.lsn;
        if (!isBehind) present.add(lsn);
      }
      reached = record.lastLsn;
    }
    return present;
  }

  test('is restored to exactly what was committed, or not at all', () => {
    fc.assert(
      fc.property(steps, fc.nat({ max: 60 }), fc.boolean(), (plan, minute, isComplete) => {
        const { commits, records } = run(plan);
        const kept = records.filter(({ setId }) => isComplete || plan[setId - 1]?.isLost !== true);
        const target: ChainTarget = { kind: 'time', localTime: `${clock(minute)}.500` };
        let chain: ChainPlan;
        try {
          chain = planChain(kept, target);
        } catch (error) {
          assert.ok(error instanceof CairnError && error.kind !== 'bug', String(error));
          const isReachable =
            kept.some(
              ({ type, finishedLocal }) => type === 'full' && finishedLocal < clock(minute),
            ) &&
            kept.some(
              (one) => one.type === 'log' && !one.isCopyOnly && one.startedLocal > clock(minute),
            );
          assert.ok(!isComplete || !isReachable, error.message);
          return;
        }
        const expected = commits.filter((one) => one.minute <= minute).map(({ lsn }) => lsn);
        assert.deepEqual(restore(chain, commits, target), new Set(expected));
      }),
      { numRuns: 3000, seed: 20261124 },
    );
  });

  test('is restored to the last log there is, or the gap is named', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (plan, isComplete) => {
        const { commits, records } = run(plan);
        const kept = records.filter(({ setId }) => isComplete || plan[setId - 1]?.isLost !== true);
        let chain: ChainPlan;
        try {
          chain = planChain(kept, latest);
        } catch (error) {
          assert.ok(error instanceof CairnError && error.kind !== 'bug', String(error));
          assert.ok(!isComplete || !kept.some(({ type }) => type === 'full'), error.message);
          return;
        }
        // Nothing of the chain lies behind the end.
        const newest = kept.filter(({ type, isCopyOnly }) => type !== 'log' || !isCopyOnly);
        for (const { lastLsn } of newest) assert.ok(lastLsn <= chain.endLsn);
        const expected = commits.filter(({ lsn }) => lsn < chain.endLsn).map(({ lsn }) => lsn);
        assert.deepEqual(restore(chain, commits, latest), new Set(expected));
      }),
      { numRuns: 3000, seed: 20261124 },
    );
  });
});
