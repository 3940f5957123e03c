import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isSameName, planNames } from './restore-names.ts';
import type { Standing } from './restore-switch.ts';
import { planResume } from './restore-switch.ts';
import type { FoundDatabase } from './server-databases.ts';
import type { StoredDatabase } from './stored-notes.ts';

const set = { paths: ['a'], record: {}, encryptorThumbprint: null };
const stored = (name: string): StoredDatabase => ({
  ...{ name, recoveryModel: 'FULL', full: set, differential: null },
});
const found: FoundDatabase = {
  ...{ name: 'x', state: 'ONLINE', recoveryModel: 'FULL', hasLogChain: true, isEncrypted: false },
  ...{ isInGroup: false, isSnapshot: false, isInStandby: false, isSingleUser: false },
  ...{ compatibilityLevel: 160, nextLogLsn: null, familyId: null, sizeBytes: null },
};
const [wanted] = planNames([stored('shop')], { databases: [], tag: 'abcdefgh-1' });
assert.ok(wanted);
const nothing: Standing = { wanted, old: null, placed: null, work: null, replaced: null };

suite('what an earlier attempt has left', () => {
  test('is removed as long as nothing was renamed', () => {
    assert.equal(planResume([nothing]), 'begin');
    assert.equal(planResume([{ ...nothing, old: found, work: found }]), 'begin');
  });

  test('is brought to its end when all that is missing is there, whole', () => {
    const [placed, ready] = [
      { ...nothing, placed: found },
      { ...nothing, work: found },
    ];
    assert.equal(planResume([placed, ready]), 'forward');
    assert.equal(planResume([placed, placed]), 'forward');
    assert.equal(planResume([{ ...ready, replaced: found }]), 'forward');
  });

  test('is taken back when it is not', () => {
    const placed = { ...nothing, placed: found };
    const half = { ...nothing, work: { ...found, state: 'RESTORING' } };
    assert.equal(planResume([placed, half]), 'back');
    assert.equal(planResume([placed, nothing]), 'back');
    assert.equal(planResume([{ ...nothing, replaced: found }]), 'back');
  });
});

suite('the names of a restore', () => {
  test('are of its tag, and never longer than names may be', () => {
    assert.equal(wanted.workName, 'cairn_restore_abcdefgh-1_0');
    assert.equal(wanted.replacedName, 'shop_replaced_abcdefgh');
    const long = '\u{1f4be}'.repeat(64);
    const [one] = planNames([stored(long)], { databases: [], tag: 'abcdefgh-1' });
    assert.ok(one && one.replacedName.length <= 128 && one.replacedName.isWellFormed());
    const [other] = planNames([stored('shop')], { databases: [], tag: 'another' });
    assert.notEqual(other?.stem, wanted.stem);
  });

  test('are compared as the collation of the server does', () => {
    assert.ok(isSameName('Shop', 'SHOP', 'SQL_Latin1_General_CP1_CI_AS'));
    assert.ok(!isSameName('Shop', 'SHOP', 'Latin1_General_100_CS_AS_SC'));
    assert.ok(!isSameName('Shop', 'SHOP', 'Latin1_General_BIN2'));
    assert.ok(isSameName('Shop', 'Shop', 'Latin1_General_BIN2'));
  });

  test('of the backup may be written otherwise where that is clear', () => {
    const both = [stored('Shop'), stored('shop')];
    const name = (oldName: string) => ({ databases: [{ oldName, newName: 'x' }], tag: 't' });
    assert.equal(planNames(both, name('shop'))[0]?.oldName, 'shop');
    assert.throws(() => planNames(both, name('SHOP')), { reason: 'database-unknown' });
    assert.equal(planNames([stored('Shop')], name('SHOP'))[0]?.oldName, 'Shop');
  });
});
