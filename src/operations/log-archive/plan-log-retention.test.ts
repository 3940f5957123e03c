import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BackupId, LogStreamId } from '../../model/ids.ts';
import type { LogStream, LogStreamState } from '../../model/log-stream.ts';
import type { BaseBackup, LogRetentionInput } from './plan-log-retention.ts';
import { leadsIntoWindow, planLogTrim } from './plan-log-retention.ts';

const hourMs = 3_600_000;
/** So many hours after the epoch; a position stands for the hour in which it was written. */
const at = (hours: number): Date => new Date(hours * hourMs);
const positionAt = (hours: number) =>
  ({ engine: 'postgresql', timeline: 1, lsn: BigInt(hours) }) as const;

function stream(from: number, to: number, state?: LogStreamState): LogStream {
  const startPosition = positionAt(from);
  return {
    id: 's' as LogStreamId,
    projectId: 'p' as LogStream['projectId'],
    instanceId: 'i' as LogStream['instanceId'],
    ...{ engine: 'postgresql', systemIdentifier: '1', startPosition, keptFrom: startPosition },
    ...{ beganAt: at(from), updatedAt: at(to), state: state ?? { status: 'following' } },
    progress: {
      covered: { position: positionAt(to), at: at(to) },
      ...{ closed: null, behindBytes: null, warning: null, trouble: null },
    },
  };
}

function base(from: number, to: number): BaseBackup {
  const startPosition = positionAt(from);
  return { id: `b${from}` as BackupId, startedAt: at(from), endedAt: at(to), startPosition };
}

const ended = (hours: number, cause: 'gap' | 'stopped' = 'gap'): LogStreamState => ({
  ...{ status: 'ended', cause, endedAt: at(hours), reason: 'x' },
});

const usual: LogRetentionInput = {
  ...{ cutoff: at(100), now: at(200), graceMs: 24 * hourMs, stoppedAt: null },
  ...{ newestOld: null, oldest: null },
};
const off = { ...usual, cutoff: null };

describe('which log goes', () => {
  const cases: ReadonlyArray<readonly [string, LogStream, Partial<LogRetentionInput>, string]> = [
    [
      'what the newest older backup needs stays',
      stream(10, 200),
      { newestOld: base(90, 91) },
      '90',
    ],
    [
      'also when that is older than the days kept',
      stream(10, 200),
      { newestOld: base(20, 21) },
      '20',
    ],
    [
      'without an older one, the oldest decides',
      stream(10, 200),
      { oldest: base(150, 151) },
      '150',
    ],
    ['a stream that began later stays whole', stream(95, 200), { newestOld: base(90, 91) }, 'keep'],
    ['without any full backup all stays', stream(10, 200), {}, 'keep'],
    ['one that ended before the days kept goes', stream(10, 99, ended(99)), {}, 'all'],
    [
      'one that ended within them stays as far as a backup leads into it',
      ...[stream(10, 150, ended(150)), { newestOld: base(90, 91) }, '90'],
    ] as const,
    [
      'one that no backup leads into goes',
      ...[stream(10, 150, ended(150)), { oldest: base(151, 152) }, 'all'],
    ] as const,
    ['while a policy is off and archiving goes on, all stays', stream(10, 200), off, 'keep'],
    [
      'a day after archiving was stopped all goes',
      ...[stream(10, 170, ended(170, 'stopped')), { ...off, stoppedAt: at(170) }, 'all'],
    ] as const,
    [
      'but not sooner',
      ...[stream(10, 180, ended(180, 'stopped')), { ...off, stoppedAt: at(180) }, 'keep'],
    ] as const,
    [
      'a policy that nobody switched off deletes nothing',
      ...[stream(10, 20, ended(20)), off, 'keep'],
    ] as const,
  ];
  for (const [name, of, changes, wanted] of cases) {
    test(name, () => {
      const trim = planLogTrim(of, { ...usual, ...changes });
      const found =
        trim.kind === 'before' && trim.position.engine === 'postgresql'
          ? String(trim.position.lsn)
          : trim.kind;
      assert.equal(found, wanted);
    });
  }
});

describe('a full backup from before the days kept', () => {
  const old = base(50, 51);
  const cases = [
    ['is needed where log leads on from it', [stream(10, 200)], true],
    ['is not without log', [], false],
    ['is not when the log begins after it', [stream(52, 200)], false],
    ['is not when the log ended before the days kept', [stream(10, 99, ended(99))], false],
    ['is when the log ended within them', [stream(10, 101, ended(101))], true],
  ] as const;
  for (const [name, streams, wanted] of cases) {
    test(name, () => assert.equal(leadsIntoWindow(old, streams, at(100)), wanted));
  }
});
