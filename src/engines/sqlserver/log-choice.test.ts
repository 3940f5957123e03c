import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseForLog, joinWarnings } from './log-choice.ts';
import { toMark } from './log-round.ts';
import type { FoundDatabase } from './server-databases.ts';

const usual: FoundDatabase = {
  ...{ name: 'shop', state: 'ONLINE', recoveryModel: 'FULL', hasLogChain: true },
  ...{ isEncrypted: false, isInGroup: false, isSnapshot: false, isInStandby: false },
  ...{
    isSingleUser: false,
    compatibilityLevel: 160,
    nextLogLsn: 1n,
    familyId: null,
    sizeBytes: null,
  },
};

function choose(
  changes: Partial<FoundDatabase>,
  { isFollowed = false, isPreferredHere = true } = {},
): string | null {
  const choice = chooseForLog({
    ...{ database: { ...usual, ...changes }, isFollowed, isPreferredHere },
  });
  return choice.kind === 'take' ? 'take' : (choice.warning?.message ?? null);
}

describe('the databases whose log is backed up', () => {
  it('are those that are online, keep their log, and have a full backup', () => {
    assert.equal(choose({}), 'take');
    assert.equal(choose({ recoveryModel: 'BULK_LOGGED' }), 'take');
    // The login may not know: the server will say it.
    assert.equal(choose({ hasLogChain: null }), 'take');
    assert.match(choose({ hasLogChain: false }) ?? '', /no full backup yet/);
    // One that a restore is making has its log, too, and is in nobody's way for minutes only.
    assert.equal(choose({ name: 'cairn_restore_x_0' }), null);
  });

  it('are not those that nobody would miss, which are passed over in silence', () => {
    for (const changes of [
      { recoveryModel: 'SIMPLE' },
      { recoveryModel: 'SIMPLE', hasLogChain: false },
      { state: 'OFFLINE' },
      { isSnapshot: true },
      { isInStandby: true },
    ] as const) {
      assert.equal(choose(changes), null, JSON.stringify(changes));
    }
    assert.equal(choose({}, { isPreferredHere: false }), null);
  });

  it('are missed when they were archived before', () => {
    const followed = { isFollowed: true };
    assert.match(choose({ recoveryModel: 'SIMPLE' }, followed) ?? '', /is SIMPLE/);
    assert.match(choose({ state: 'OFFLINE' }, followed) ?? '', /it is OFFLINE/);
    assert.match(choose({ isInStandby: true }, followed) ?? '', /in standby/);
    const elsewhere = { isFollowed: true, isPreferredHere: false };
    assert.match(choose({}, elsewhere) ?? '', /another replica/);
  });

  it('are told of in one warning', () => {
    const warnings = ['a', 'b', 'c'].map((message) => ({ message, hint: `do ${message}` }));
    assert.equal(joinWarnings([]), null);
    assert.deepEqual(joinWarnings(warnings.slice(0, 1)), warnings[0]);
    assert.equal(joinWarnings(warnings)?.message, 'a; 2 other databases need attention too');
  });

  it('cover the time up to a second before that of the round', () => {
    assert.equal(toMark('20261124T210005.9999999').toISOString(), '2026-11-24T21:00:04.000Z');
    assert.equal(toMark('20261124T210000.0000000').toISOString(), '2026-11-24T20:59:59.000Z');
  });
});
