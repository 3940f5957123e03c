import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTable } from './restore-parts.ts';

describe('a table to be restored', () => {
  it('is named with its database, its schema and its new name', () => {
    const named = { database: 'shop', schema: 'public', old_name: 'orders', new_name: 'before' };
    assert.deepEqual(parseTable('shop.public.orders=before'), named);
    assert.deepEqual(parseTable('shop.orders=before'), { ...named, schema: null });
  });

  it('may hold dots, quotes and equals signs in quotes', () => {
    const named = { database: 'a.b', schema: 'c"d', old_name: 'e=f', new_name: 'g=h' };
    assert.deepEqual(parseTable('"a.b"."c""d"."e=f"=g=h'), named);
  });

  it('is refused otherwise', () => {
    for (const text of ['orders', 'shop.orders', 'orders=x', 'a.b.c.d=x', 'shop..orders=x', '=x']) {
      assert.throws(() => parseTable(text), { kind: 'invalid' }, text);
    }
  });
});
