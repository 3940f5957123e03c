import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findReplicaRole, planOnReplica } from './always-on.ts';

describe('a replica of an availability group', () => {
  it('takes full backups as copies and no differential ones where it is a secondary', () => {
    for (const role of ['none', 'primary', null] as const) {
      const plan = planOnReplica('differential', role);
      assert.deepEqual(plan, { kind: 'differential', isCopyOnly: false, note: null });
      assert.equal(planOnReplica('full', role).isCopyOnly, false);
    }
    for (const asked of ['full', 'differential'] as const) {
      const { kind, isCopyOnly, note } = planOnReplica(asked, 'secondary');
      assert.deepEqual([kind, isCopyOnly], ['full', true]);
      assert.match(note ?? '', /as a copy/);
    }
  });

  it('has no role of which nobody knows', () => {
    const replicas = [
      { database: 'Shop', group: 'ag1', role: 'primary', isSuspended: false } as const,
      { database: 'shop', group: 'ag2', role: 'secondary', isSuspended: false } as const,
    ];
    const shop = { name: 'shop', isInGroup: true };
    assert.equal(findReplicaRole(shop, replicas), 'secondary', 'not of the one in other case');
    assert.equal(findReplicaRole({ ...shop, isInGroup: false }, replicas), 'none');
    assert.equal(findReplicaRole(shop, null), null);
    assert.equal(findReplicaRole({ ...shop, name: 'other' }, replicas), null);
  });
});
