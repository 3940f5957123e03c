import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MasterKey } from './master-key.ts';

test('a derived key is the same everywhere, and another for every purpose and master key', () => {
  const text = 'ab'.repeat(32);
  const keys = [
    MasterKey.parse(text).deriveKey('one'),
    MasterKey.parse(text).deriveKey('two'),
    MasterKey.parse('cd'.repeat(32)).deriveKey('one'),
    Buffer.from(text, 'hex'),
  ].map((key) => key.toString('hex'));
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(MasterKey.parse(text).deriveKey('one').toString('hex'), keys[0]);
  assert.equal(keys[0]?.length, 64);
});
