import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPoint, readSkipped as readSkippedWire } from '../api/routes/restore-points.ts';
import type { RestorePointWire } from '../api/schema/restore-point.ts';
import { newBackupId } from '../model/ids.ts';
import { factsOfRestore, restoreNote } from './facts-of-restore.ts';
import type { TargetOptions } from './restore-target.ts';
import { presentTarget, readRestoreTarget, readSkipped } from './restore-target.ts';

const uuid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
const instance = 'shop';
const backup = newBackupId(() => '0'.repeat(32), 'mysql');

test('what is typed reaches the service as the same target', () => {
  const typed: TargetOptions[] = [
    { backup },
    { instance, time: '2026-01-05T03:30:00Z', exclusive: true, timeline: '3' },
    { instance, lsn: '16/B374D848', exclusive: true },
    { instance, position: 'bin.000004:337537' },
    { instance, gtid: '0-11-8179', exclusive: true },
    { instance, gtid: `${uuid}:5` },
    { instance, xid: '4711', backup, exclusive: true },
    { instance, name: 'before-upgrade', backup, timeline: '2' },
    { instance, latest: true },
  ];
  for (const options of typed) {
    const target = readRestoreTarget(options);
    const wire = { instance_id: 'x', ...presentTarget(target) } as RestorePointWire;
    assert.deepEqual(readPoint(wire), target);
  }
});

test('one transaction has one name, and is left out once', () => {
  const target = readRestoreTarget({ instance, gtid: `${uuid.toUpperCase()}:05` });
  assert.deepEqual(target, { kind: 'gtid', gtid: `${uuid}:5`, isInclusive: true });
  const skipTransaction = ['0-11-8179', '0-11-08179', `${uuid.toUpperCase()}:5`];
  const skipped = ['0-11-8179', `${uuid}:5`];
  assert.deepEqual(readSkipped({ skipTransaction }), skipped);
  const wire = { instance_id: 'x', skipped_transactions: skipTransaction };
  assert.deepEqual(readSkippedWire(wire), skipped);
  assert.deepEqual(readSkippedWire({ instance_id: 'x' }), []);
});

test('what does not fit is refused before anybody is asked', () => {
  const refused: readonly [TargetOptions, RegExp][] = [
    [{ instance, gtid: '0-11' }, /no global transaction id/],
    [{ instance, gtid: `${uuid}:1-5` }, /no global transaction id/],
    [{ instance, position: '337537' }, /no place in a binary log/],
    [{ instance, position: 'bin.000004:-1' }, /no place in a binary log/],
    [{ instance, lsn: 'bin.000004:4' }, /no log position/],
    [{ instance, gtid: '0-11-1', timeline: '2' }, /--timeline goes with/],
    [{ instance, gtid: '0-11-1', backup }, /--backup does not go with --gtid/],
    [{ instance, gtid: '0-11-1', latest: true }, /say one of/],
    [{ gtid: '0-11-1' }, /needs --instance/],
    [{ instance, latest: true, exclusive: true }, /--exclusive goes with/],
    [{ backup, skipTransaction: ['0-11-1'] }, /--skip-transaction goes with/],
  ];
  for (const [options, text] of refused) {
    assert.throws(() => readRestoreTarget(options), { kind: 'invalid', message: text });
  }
  const skipTransaction = Array.from({ length: 101 }, (_, index) => `0-1-${index + 1}`);
  assert.throws(() => readSkipped({ skipTransaction }), /names 101 transactions/);
  assert.throws(() => readSkipped({ skipTransaction: ['now'] }), /--skip-transaction now is no/);
});

test('a restore says which transaction it has ended with, or stopped before', () => {
  const report = {
    ...{ kind: 'restore', backup_id: backup, log_stream_id: 's', target: 'transaction 0-11-10246' },
    ...{ position: 'mysql:bin.000006:900', timeline: null, last_commit_time: 1_767_582_000_000 },
    skipped_transactions: ['0-11-8180'],
  } as const;
  const dropped = { id: '0-11-10246', statement: 'DROP  TABLE\n `shop`', replayed: false };
  assert.equal(
    restoreNote({ result: { ...report, transaction: dropped } as never }),
    'stopped before: 0-11-10246: DROP TABLE `shop`\nleft out: 0-11-8180\n',
  );
  const last = { id: '0-11-10245', statement: null, replayed: true };
  const facts = factsOfRestore({ ...report, transaction: last } as never);
  assert.deepEqual(facts.at(-2), ['last transaction', '0-11-10245']);
  const quiet = { ...report, skipped_transactions: [], transaction: null };
  assert.equal(restoreNote({ result: quiet as never }), '');
});
