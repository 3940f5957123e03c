import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../model/engine-kind.ts';
import { assertNewNames, assertTableNames, reservedPrefix } from './database-names.ts';

const databases = (...names: string[]) => names.map((newName) => ({ oldName: 'old', newName }));
const tables = (...names: string[]) =>
  names.map((newName) => ({ schema: '', oldName: 'old', newName }));

test('a name is one where its engine takes it', () => {
  const cases: readonly [string, readonly Engine[]][] = [
    ['shop', ['postgresql', 'mysql']],
    ['we`ird-näme', ['postgresql', 'mysql']],
    ['x'.repeat(63), ['postgresql', 'mysql']],
    ['x'.repeat(64), ['mysql']],
    ['ä'.repeat(64), ['mysql']],
    ['x'.repeat(65), []],
    ['shop ', ['postgresql']],
    ['shop 🛒', ['postgresql']],
    ['a\nb', []],
    ['', []],
  ];
  for (const [name, wanted] of cases) {
    for (const engine of ['postgresql', 'mysql'] as const) {
      const isTaken = wanted.includes(engine);
      for (const check of [
        () => assertNewNames(databases(name), engine),
        () => assertTableNames(tables(name), engine),
      ]) {
        if (isTaken) check();
        else assert.throws(check, { reason: 'database-name-invalid' }, `${engine}: “${name}”`);
      }
    }
  }
});

test('SQL Server takes more names than the API, and a name that stays is not looked at', () => {
  const cases: readonly [string, 'both' | 'server' | 'none'][] = [
    ['shop_2-copy', 'both'],
    ['we]ird 🛒', 'server'],
    ['x'.repeat(64), 'both'],
    ['x'.repeat(65), 'server'],
    ['x'.repeat(129), 'none'],
    ['webmaster', 'server'],
    ['MSDB', 'none'],
    ['a\nb', 'none'],
  ];
  for (const [name, takers] of cases) {
    for (const rules of ['server', 'published'] as const) {
      const check = () => assertNewNames(databases(name), 'sqlserver', rules);
      if (takers === 'both' || takers === rules) check();
      else assert.throws(check, { reason: 'database-name-invalid' }, `${rules}: “${name}”`);
    }
  }
  assertNewNames([{ oldName: 'we]ird 🛒', newName: 'we]ird 🛒' }], 'sqlserver', 'published');
  assert.throws(() => assertNewNames(databases('Shop', 'SHOP'), 'sqlserver'), { kind: 'invalid' });
  assertNewNames(databases('Shop', 'SHOP'), 'postgresql');
});

test('two may not be called the same, nor like a restore that runs', () => {
  for (const names of [['a', 'a'], [`${reservedPrefix}1`], []]) {
    assert.throws(() => assertNewNames(databases(...names), 'mysql'), { kind: 'invalid' });
  }
  assert.throws(() => assertTableNames(tables('a', 'a'), 'mysql'), { kind: 'invalid' });
});
