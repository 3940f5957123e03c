import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { CairnError } from '../../model/errors.ts';
import { describeOutside, readOutside } from './outside-snapshot.ts';

const dumpEnd = { file: 'bin.000002', offsetBytes: 500 };

suite('tables outside the snapshot', () => {
  test('are noted by database, and read again', () => {
    const tables = ['a', 'b'].map((table) => ({ database: 'shop', table }));
    const notes = describeOutside([...tables, { database: 'other', table: 'c' }], dumpEnd);
    assert.deepEqual(notes, {
      tablesOutsideSnapshot: [
        { database: 'shop', tables: ['a', 'b'] },
        { database: 'other', tables: ['c'] },
      ],
      dumpEnd,
    });
    assert.deepEqual(readOutside({ kind: 'logical', ...JSON.parse(JSON.stringify(notes)) }), notes);
  });

  test('are all, when they are too many', () => {
    const tables = Array.from({ length: 10_001 }, (_, n) => ({ database: 'a', table: `t${n}` }));
    assert.equal(describeOutside(tables, dumpEnd).tablesOutsideSnapshot, 'all');
    const most = describeOutside(tables.slice(1), dumpEnd).tablesOutsideSnapshot;
    assert.ok(most !== 'all' && most[0]?.tables.length === 10_000);
  });

  test('are none in a backup that knows none, and in an older one', () => {
    assert.equal(readOutside({ ...describeOutside([], dumpEnd) }), null);
    assert.equal(readOutside({ kind: 'logical', settings: {} }), null);
  });

  test('are not guessed from notes that make no sense', () => {
    for (const notes of [{ dumpEnd }, { tablesOutsideSnapshot: 'all' }]) {
      const isDamaged = (error: unknown) =>
        error instanceof CairnError && error.kind === 'repository-damaged';
      assert.throws(() => readOutside(notes), isDamaged);
    }
  });
});
