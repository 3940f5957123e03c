import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogStreamId } from '../../model/ids.ts';
import type { LogPosition } from '../../model/log-position.ts';
import type { RequestedRecovery } from './recovery-payload.ts';
import { formatRecovery, parseRecovery } from './recovery-payload.ts';

const stored = (recovery: RequestedRecovery): unknown =>
  JSON.parse(JSON.stringify(formatRecovery(recovery)));

test('a recovery comes back from the payload of its job', () => {
  const until: LogPosition = {
    ...{ engine: 'mysql', file: 'bin.000004', offsetBytes: 337_537 },
    gtidSet: '0-11-8179,1-12-5',
  };
  const log = { streamId: '019a00000000-0000abcd' as LogStreamId, until };
  const rest = { skippedTransactions: ['0-11-8170', '1-12-3'], log, newestTimeline: 1 };
  const targets: RequestedRecovery['target'][] = [
    { kind: 'gtid', gtid: '0-11-8175', isInclusive: false },
    { kind: 'log-position', position: 'bin.000004:400', timeline: null, isInclusive: true },
    { kind: 'time', at: new Date(300), timeline: 2, isInclusive: true },
    { kind: 'latest', timeline: null },
  ];
  for (const target of targets) {
    const recovery = { target, ...rest };
    assert.deepEqual(parseRecovery(stored(recovery)), recovery);
  }
});

test('jobs that an earlier version has written are still understood', () => {
  const target = { kind: 'log-position', lsn: '0/3000028', timeline: 1, isInclusive: false };
  assert.deepEqual(parseRecovery({ target, log: null, newestTimeline: 3 }), {
    target: { kind: 'log-position', position: '0/3000028', timeline: 1, isInclusive: false },
    ...{ skippedTransactions: [], log: null, newestTimeline: 3 },
  });
});
