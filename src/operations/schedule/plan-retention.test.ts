import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Backup } from '../../model/backup.ts';
import type { BackupId } from '../../model/ids.ts';
import type { RetentionInput } from './plan-retention.ts';
import { planRetention } from './plan-retention.ts';

const dayMs = 86_400_000;
const now = new Date('2026-06-01T00:00:00Z');
type Entry = RetentionInput['backups'][number];

function entry(id: number, days: number, changes: Partial<Entry> = {}): Entry {
  const endedAt = new Date(now.getTime() - days * dayMs);
  return {
    id: `b${id}` as BackupId,
    type: 'auto',
    startedAt: new Date(endedAt.getTime() - 60_000),
    state: completed(endedAt),
    ...changes,
  };
}

function completed(endedAt: Date): Backup['state'] {
  const position = { engine: 'postgresql', timeline: 1, lsn: 1n } as const;
  const totals = { fileCount: 1, logicalBytes: 1, newBytes: 1, storedBytes: 1 };
  return { status: 'completed', endedAt, totals, startPosition: position, stopPosition: position };
}

describe('what has outlived its days', () => {
  test('goes oldest first, and what has not stays', () => {
    const backups = [entry(1, 1), entry(2, 8), entry(3, 9), entry(4, 7)];
    const newestCompleted = backups[0] ?? null;
    assert.deepEqual(planRetention({ keepDays: 7, now, newestCompleted, backups }), ['b3', 'b2']);
  });

  test('the newest completed one stays, however old, also when a failed one is newer', () => {
    const failed = entry(3, 20, {
      state: { status: 'failed', endedAt: new Date(now.getTime() - 20 * dayMs), reason: 'x' },
    });
    const backups = [entry(1, 40), entry(2, 30), failed];
    const newestCompleted = backups[1] ?? null;
    assert.deepEqual(planRetention({ keepDays: 7, now, newestCompleted, backups }), ['b1', 'b3']);
  });

  test('is never manual, never unfinished, never the last that restores', () => {
    const entries = fc.array(
      fc.record({
        days: fc.integer({ min: 0, max: 100 }),
        type: fc.constantFrom('auto', 'manual', 'fragment', 'incremental'),
        status: fc.constantFrom('building', 'completed', 'failed', 'deleting'),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 90 }), (list, keepDays) => {
        const backups = list.map(({ days, type, status }, id) => {
          const endedAt = new Date(now.getTime() - days * dayMs);
          const states = {
            building: { status: 'building' },
            completed: completed(endedAt),
            failed: { status: 'failed', endedAt, reason: 'x' },
            deleting: { status: 'deleting', endedAt },
          } as const;
          return entry(id, days, { type, state: states[status] });
        });
        const restorable = backups
          .filter(({ type, state }) => type !== 'incremental' && state.status === 'completed')
          .toSorted((a, b) => b.startedAt.getTime() - a.startedAt.getTime());
        const newestCompleted = restorable[0] ?? null;
        const gone = planRetention({ keepDays, now, newestCompleted, backups });
        for (const id of gone) {
          const backup = backups.find((candidate) => candidate.id === id);
          assert.ok(backup?.type === 'auto' || backup?.type === 'fragment');
          assert.ok(backup.state.status === 'completed' || backup.state.status === 'failed');
          assert.ok(now.getTime() - backup.state.endedAt.getTime() > keepDays * dayMs);
        }
        if (restorable.length > 0) {
          assert.ok(
            restorable.some(({ id }) => !gone.includes(id)),
            'nothing is left to restore',
          );
        }
      }),
    );
  });
});
