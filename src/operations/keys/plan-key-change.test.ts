import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planKeyChange } from './plan-key-change.ts';

const plan = (ids: readonly string[], nextId: string | null = null, currentId = 'a') =>
  planKeyChange({ currentId, nextId, ids });

test('a change of the master key goes on where an earlier attempt has ended', () => {
  assert.deepEqual(plan(['a']), { kind: 'begin' });
  assert.deepEqual(plan(['a'], 'b'), { kind: 'go-on' }, 'the key was made');
  assert.deepEqual(plan(['a', 'b'], 'b'), { kind: 'go-on' }, 'it opens the repository');
  assert.deepEqual(plan(['a', 'b'], 'b', 'b'), { kind: 'complete', oldId: 'a' }, 'it is in use');
  assert.deepEqual(plan(['a', 'b'], null, 'b'), { kind: 'complete', oldId: 'a' });
  assert.deepEqual(plan(['b'], 'b', 'b'), { kind: 'begin' }, 'the old one was retired');
});

test('a key that a change has made and that is not here is not changed over', () => {
  assert.throws(() => plan(['a', 'b']), { kind: 'conflict', hint: /cairn key retire b/ });
});
