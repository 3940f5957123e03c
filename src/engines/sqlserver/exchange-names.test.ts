import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backupsOf, fileNameOf, fileNames } from './exchange-names.ts';

describe('names in an exchange', () => {
  it('are one of each stripe, and are read back', () => {
    const backup = { name: 'cairn-a-1', stripes: 2 };
    assert.deepEqual(fileNames(backup), ['cairn-a-1.1of2.bak', 'cairn-a-1.2of2.bak']);
    assert.equal(fileNameOf(backup, 1), 'cairn-a-1.2of2.bak');
    const files = [...fileNames(backup), 'cairn-a-0.1of1.bak', 'other.bak', 'cairn-b.1of1.bak'];
    assert.deepEqual(backupsOf(files, 'cairn-a-'), [{ name: 'cairn-a-0', stripes: 1 }, backup]);
  });

  it('have a fixed alphabet', () => {
    for (const name of ['', '..', 'a/b', 'A', 'a b', 'ä', 'a'.repeat(101)]) {
      assert.throws(() => fileNames({ name, stripes: 1 }), /is not a name/, name);
    }
    for (const stripes of [0, 65, 1.5]) assert.throws(() => fileNames({ name: 'a', stripes }));
    assert.throws(() => fileNameOf({ name: 'a', stripes: 1 }, 1), /no stripe 1/);
  });
});
