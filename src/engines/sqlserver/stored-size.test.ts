import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeSize } from './stored-size.ts';

test('files a little shorter than recorded are doubtful, much shorter ones are not it', () => {
  assert.equal(judgeSize(1000, 1000), 'whole');
  assert.equal(judgeSize(1100, 1000), 'whole');
  assert.equal(judgeSize(999, 1000), 'doubtful');
  assert.equal(judgeSize(900, 1000), 'doubtful');
  assert.equal(judgeSize(899, 1000), 'short');
  assert.equal(judgeSize(0, 1000), 'short');
  assert.equal(judgeSize(0, 0), 'whole');
});
