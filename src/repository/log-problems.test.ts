import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceId, LogStreamId } from '../model/ids.ts';
import type { LogPosition } from '../model/log-position.ts';
import type { PieceObject } from './log-names.ts';
import { findLogProblems } from './log-problems.ts';

const place = { instanceId: 'i' as InstanceId, streamId: 's' as LogStreamId };
const at = (file: string, offsetBytes: number): LogPosition => ({
  ...{ engine: 'mysql', file, offsetBytes, gtidSet: null },
});

/** A binary log as one piece. */
function binlog(name: string, endBytes: number, isLast = true): PieceObject {
  return {
    ...{ name: `files/${name}`, sizeBytes: endBytes, offsetBytes: 0, endBytes, isLast },
    file: { name, kind: 'log', startPosition: at(name, 0) },
    endPosition: at(name, endBytes),
  };
}

const problemsOf = (pieces: readonly PieceObject[]): readonly string[] =>
  findLogProblems({ place, hasRecord: true, pieces, intervals: [] }).map(({ why }) => why);

test('binary logs that follow one another have no gap, also where a digit is added', () => {
  const names = ['bin.999998', 'bin.999999', 'bin.1000000'];
  assert.deepEqual(problemsOf(names.map((name) => binlog(name, 900))), []);
  // The newest may still grow.
  assert.deepEqual(problemsOf([binlog('bin.000001', 900), binlog('bin.000002', 4, false)]), []);
});

test('a binary log that is missing, or not complete, is found', () => {
  assert.deepEqual(problemsOf([binlog('bin.000004', 900), binlog('bin.000006', 900)]), [
    'the log between mysql:bin.000004:900 and mysql:bin.000006:0 is missing',
  ]);
  assert.deepEqual(problemsOf([binlog('bin.000004', 900, false), binlog('bin.000005', 900)]), [
    'it ends at 900, and is not complete',
  ]);
});
