// Recoveries of MySQL, and what each engine can be asked for.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import type { BackupId, LogStreamId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { targetTime } from '../../model/recovery-target.ts';
import type { RecoveryFacts } from './recovery-plan.ts';
import { requirePlan } from './require-plan.ts';

type LogTarget = Exclude<RecoveryTarget, { readonly kind: 'end-of-backup' }>;

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const at = (number: number, offsetBytes: number, gtidSet: string | null = null): LogPosition => ({
  ...{ engine: 'mysql', file: `bin.${String(number).padStart(6, '0')}`, offsetBytes, gtidSet },
});
const postgresql: LogPosition = { engine: 'postgresql', timeline: 1, lsn: 100n };
const backup = (name: string, endedMs: number, stopPosition: LogPosition) => ({
  ...{ id: name as BackupId, endedAt: new Date(endedMs), systemIdentifier: null },
  ...{ stopPosition, replayFrom: stopPosition },
});
const stream = (name: string, beganMs: number, keptFrom: LogPosition, until: LogPosition) => ({
  ...{ id: name as LogStreamId, systemIdentifier: '7', beganAt: new Date(beganMs) },
  ...{ endedAt: null, keptFrom, covered: { position: until, at: new Date(900) } },
});
const facts: RecoveryFacts = {
  backups: [
    backup('a', 110, at(4, 337_537, '0-11-8179,1-12-5')),
    backup('b', 200, at(6, 500, '0-11-9000,1-12-5')),
  ],
  streams: [stream('one', 100, at(4, 0), at(1_000_001, 700, '0-11-10245,1-12-90'))],
};
const offline: RecoveryFacts = { ...facts, streams: [] };

const gtid = (text: string, isInclusive = true): LogTarget => ({
  ...{ kind: 'gtid', gtid: text, isInclusive },
});
const place = (position: string, timeline: number | null = null): LogTarget => ({
  ...{ kind: 'log-position', position, timeline, isInclusive: true },
});
const plan = (target: LogTarget, from = facts, skipped: readonly string[] = []) => {
  const { backupId, log } = requirePlan(from, target, skipped);
  return [backupId, log?.streamId ?? null];
};
const refusal = (target: LogTarget, from = facts, skipped: readonly string[] = []): CairnError => {
  try {
    plan(target, from, skipped);
  } catch (error) {
    assert.ok(error instanceof CairnError && error.kind === 'invalid');
    return error;
  }
  return assert.fail('it was planned');
};

describe('a transaction of MySQL is reached from the newest backup that does not hold it', () => {
  test('by the set that the backup ends with, and that the log covers', () => {
    assert.deepEqual(plan(gtid('0-11-8180')), ['a', 'one']);
    assert.deepEqual(plan(gtid('0-11-9000')), ['a', 'one']);
    assert.deepEqual(plan(gtid('0-11-9001')), ['b', 'one']);
    assert.deepEqual(plan(gtid('0-11-9001', false)), ['b', 'one']);
    // Whichever server of the domain wrote it.
    assert.deepEqual(plan(gtid('1-99-6')), ['b', 'one']);
  });

  test('not when every backup holds it, nor when the log does not go as far', () => {
    for (const target of [gtid('0-11-8179'), gtid('0-11-10246'), gtid('2-11-1')]) {
      const error = refusal(target);
      assert.equal(error.reason, 'restore-time-unreachable');
      assert.match(error.hint ?? '', /from 0-11-9000,1-12-5 to 0-11-10245,1-12-90/);
    }
    assert.match(refusal(gtid('0-11-9001'), offline).hint ?? '', /no log is archived/);
    // Nor one that the server could not have written.
    assert.equal(refusal(gtid(`${uuid}:5`)).reason, 'restore-time-unreachable');
  });

  test('also where nobody knows yet what the log covers: the engine looks into it', () => {
    const streams = [stream('one', 100, at(4, 0), at(9, 700))];
    assert.deepEqual(plan(gtid('0-11-20000'), { ...facts, streams }), ['b', 'one']);
    const backups = [backup('a', 110, at(4, 4))];
    const unknown = refusal(gtid('0-11-20000'), { backups, streams });
    assert.match(unknown.hint ?? '', /from an unknown transaction/);
  });

  test('by the intervals of a set, where the server writes such', () => {
    const from = {
      backups: [
        backup('a', 110, at(4, 4, `${uuid}:1-5:9`)),
        backup('b', 120, at(4, 90, `${uuid}:1-9`)),
      ],
      streams: [stream('one', 100, at(4, 0), at(5, 700, `${uuid}:1-20`))],
    };
    assert.deepEqual(plan(gtid(`${uuid}:7`), from), ['a', 'one']);
    assert.deepEqual(plan(gtid(`${uuid}:10`), from), ['b', 'one']);
    assert.equal(refusal(gtid(`${uuid}:9`), from).reason, 'restore-time-unreachable');
  });
});

test('a place in the binary log is reached in the order of its files', () => {
  assert.deepEqual(plan(place('bin.000004:337537')), ['a', 'one']);
  assert.deepEqual(plan(place('bin.000006:499')), ['a', 'one']);
  assert.deepEqual(plan(place('bin.000006:500')), ['b', 'one']);
  assert.deepEqual(plan(place('bin.1000001:700')), ['b', 'one']);
  for (const outside of ['bin.000004:337536', 'bin.1000001:701']) {
    assert.match(refusal(place(outside)).hint ?? '', /bin\.000006:500 to bin\.1000001:700/);
  }
});

describe('what an engine cannot do is refused, and what it can is said', () => {
  const postgres: RecoveryFacts = {
    backups: [backup('p', 110, postgresql)],
    streams: [stream('one', 100, postgresql, { ...postgresql, lsn: 900n } as LogPosition)],
  };
  const backupId = 'b' as BackupId;
  const cases: readonly [string, LogTarget, RecoveryFacts, readonly string[], RegExp][] = [
    ['a transaction id', { ...gtid('0-1-1') }, postgres, [], /a time, a position, a restore point/],
    ['a place in a binary log', place('bin.000004:4'), postgres, [], /like 16\/B374D848/],
    ['an LSN of MySQL', place('16/B374D848'), facts, [], /like bin\.000004:337537/],
    ['a timeline of MySQL', place('bin.000006:500', 2), facts, [], /leave the timeline out/],
    [
      'a restore point of MySQL',
      { kind: 'name', name: 'x', backupId, timeline: null },
      facts,
      [],
      /a time, a position, a global transaction id, its end/,
    ],
    [
      'an xid of MySQL',
      { kind: 'xid', xid: '7', backupId, timeline: null, isInclusive: true },
      facts,
      [],
      /a global transaction id/,
    ],
    ['transactions left out', targetTime(new Date(300)), postgres, ['0-1-1'], /right before/],
    ['too many', targetTime(new Date(300)), facts, Array(101).fill('0-1-1'), /at most 100/],
    ['some where nothing is replayed', targetTime(new Date(200)), offline, ['0-1-1'], /nothing is/],
  ];
  for (const [name, target, from, skipped, hint] of cases) {
    test(name, () => {
      const error = refusal(target, from, skipped);
      assert.equal(error.reason, 'recovery-not-offered');
      assert.match(error.hint ?? '', hint);
    });
  }

  test('but not where it can', () => {
    const skipped = Array.from({ length: 100 }, (_, index) => `0-11-${9001 + index}`);
    assert.deepEqual(plan(targetTime(new Date(300)), facts, skipped), ['b', 'one']);
    assert.deepEqual(plan({ kind: 'latest', timeline: null }, facts, skipped), ['b', 'one']);
    assert.deepEqual(plan(place('0/64', 1), postgres), ['p', 'one']);
  });
});
