import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BackupId, LogStreamId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { RecoveryTarget } from '../../model/recovery-target.ts';
import { targetTime } from '../../model/recovery-target.ts';
import type { RecoveryBackup, RecoveryFacts, RecoveryStream } from './recovery-plan.ts';
import { planRecovery } from './recovery-plan.ts';
import { planRestoreWindows } from './restore-windows.ts';
import { unreachableError } from './unreachable-target.ts';

const at = (timeline: number, lsn: number): LogPosition => ({
  engine: 'postgresql',
  timeline,
  lsn: BigInt(lsn),
});
const id = (text: string): BackupId => text as BackupId;
const backup = (name: string, endedMs: number, stop: LogPosition): RecoveryBackup => ({
  id: id(name),
  endedAt: new Date(endedMs),
  stopPosition: stop,
  replayFrom: stop,
  systemIdentifier: null,
});
const stream = (
  name: string,
  span: { beganMs: number; endedMs?: number; from: LogPosition; to: LogPosition; untilMs: number },
): RecoveryStream => ({
  id: name as LogStreamId,
  systemIdentifier: '7',
  beganAt: new Date(span.beganMs),
  endedAt: span.endedMs === undefined ? null : new Date(span.endedMs),
  keptFrom: span.from,
  covered: { position: span.to, at: new Date(span.untilMs) },
});

// A gap between 300 and 400, then a switch to timeline 2.
const facts: RecoveryFacts = {
  backups: [
    backup('early', 50, at(1, 50)),
    backup('a', 110, at(1, 110)),
    backup('b', 200, at(1, 200)),
    backup('c', 450, at(1, 450)),
  ],
  streams: [
    stream('one', { beganMs: 100, endedMs: 390, from: at(1, 96), to: at(1, 300), untilMs: 300 }),
    stream('two', { beganMs: 400, from: at(1, 400), to: at(2, 700), untilMs: 700 }),
  ],
};
const bounded = { timeline: null, isInclusive: true } as const;
const lsnTarget = (lsn: number, timeline: number | null = null): RecoveryTarget => ({
  kind: 'log-position',
  position: `0/${lsn.toString(16)}`,
  timeline,
  isInclusive: true,
});
const planned = (target: RecoveryTarget, from = facts): readonly (string | null)[] | null => {
  const result = planRecovery(from, target);
  if (result.outcome === 'unreachable') return null;
  return [result.plan.backupId, result.plan.log?.streamId ?? null];
};

describe('a recovery is planned from the newest backup that leads to its target', () => {
  const time = (ms: number): RecoveryTarget => targetTime(new Date(ms));
  const cases: readonly [string, RecoveryTarget, readonly (string | null)[] | null][] = [
    ['a moment between two backups', time(150), ['a', 'one']],
    ['the very end of a backup', time(200), ['b', 'one']],
    ['the end of the first stream', time(300), ['b', 'one']],
    ['a moment in the gap', time(301), null],
    ['a moment before the backup behind the gap', time(449), null],
    ['a moment behind it', time(451), ['c', 'two']],
    ['the last covered moment', time(700), ['c', 'two']],
    ['a moment that nothing covers yet', time(701), null],
    ['the end of a backup that no stream carries', time(50), ['early', null]],
    ['a moment behind that one', time(51), null],
    ['the latest', { kind: 'latest', timeline: null }, ['c', 'two']],
    ['the latest of a timeline that is over', { kind: 'latest', timeline: 1 }, ['b', 'one']],
    ['a position in the first stream', lsnTarget(250), ['b', 'one']],
    ['a position in the gap', lsnTarget(350), null],
    ['a position of the second stream', lsnTarget(600), ['c', 'two']],
    ['a position on a timeline that does not hold it', lsnTarget(600, 1), null],
    ['a position behind everything', lsnTarget(701), null],
    [
      'a name, from the backup that is said',
      { kind: 'name', name: 'x', backupId: id('a'), timeline: null },
      ['a', 'one'],
    ],
    [
      'a transaction behind a backup without log',
      { kind: 'xid', xid: '7', backupId: id('early'), ...bounded },
      null,
    ],
    ['the end of a backup', { kind: 'end-of-backup', backupId: id('b') }, ['b', null]],
  ];
  for (const [name, target, expected] of cases) {
    test(name, () => assert.deepEqual(planned(target), expected));
  }

  test('a server that was set back is not carried on by the stream of its former history', () => {
    // The same positions as in the first stream, written once more after it had ended.
    const again = backup('again', 395, at(1, 250));
    const from = { ...facts, backups: [...facts.backups, again] };
    assert.deepEqual(planned(time(396), from), null);
    // And a backup of before is not carried on by a stream that began behind it.
    const old = backup('old', 399, at(1, 440));
    assert.deepEqual(planned(time(420), { ...facts, backups: [old] }), null);
  });
  test('log of another server carries nothing', () => {
    const other = facts.backups.map((one) => ({ ...one, systemIdentifier: '8' }));
    assert.deepEqual(planned(time(150), { ...facts, backups: other }), null);
  });
  test('what has gone by retention carries nothing', () => {
    const trimmed = facts.streams.map((one) => ({ ...one, keptFrom: at(1, 150) }));
    assert.deepEqual(planned(time(150), { ...facts, streams: trimmed }), null);
    assert.deepEqual(planned(time(250), { ...facts, streams: trimmed }), ['b', 'one']);
  });
  test('a refusal names what is nearest on both sides', () => {
    const refused = planRecovery(facts, time(350));
    assert.ok(refused.outcome === 'unreachable');
    const error = unreachableError(targetTime(new Date(350)), refused.reaches);
    assert.match(error.hint ?? '', /nearest is 300 \(.*\) or 450 \(/);
  });
});

test('windows are merged where they meet', () => {
  const windows = planRestoreWindows(facts);
  assert.deepEqual(
    windows.map(({ startAt, endAt }) => [startAt.getTime(), endAt.getTime()]),
    [
      [50, 50],
      [110, 300],
      [450, 700],
    ],
  );
});

test('a moment lies in a window exactly when it can be planned', () => {
  const moment = fc.integer({ min: 0, max: 60 });
  const position = fc.record({ timeline: fc.integer({ min: 1, max: 2 }), lsn: moment });
  const toPosition = ({ timeline, lsn }: { timeline: number; lsn: number }) => at(timeline, lsn);
  const backups = fc.array(fc.tuple(moment, position), { maxLength: 6 });
  const ends = fc.option(moment, { nil: undefined });
  const streams = fc.array(fc.tuple(moment, ends, position, position, moment), { maxLength: 4 });
  fc.assert(
    fc.property(backups, streams, (drawnBackups, drawnStreams) => {
      const drawn: RecoveryFacts = {
        backups: drawnBackups.map(([endedMs, stop], index) =>
          backup(`b${index}`, endedMs, toPosition(stop)),
        ),
        streams: drawnStreams.map(([beganMs, endedMs, from, to, untilMs], index) => ({
          ...stream(`s${index}`, {
            ...{ beganMs, from: toPosition(from), to: toPosition(to), untilMs },
            ...(endedMs === undefined ? {} : { endedMs }),
          }),
        })),
      };
      const windows = planRestoreWindows(drawn);
      for (let ms = 0; ms <= 61; ms++) {
        const inWindow = windows.some(({ startAt, endAt }) => {
          return startAt.getTime() <= ms && ms <= endAt.getTime();
        });
        const target = targetTime(new Date(ms));
        assert.equal(planRecovery(drawn, target).outcome === 'possible', inWindow, `at ${ms}`);
      }
    }),
    { numRuns: 300 },
  );
});
