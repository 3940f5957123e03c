import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupRecord } from './backup-record.ts';
import type { DataQuestion } from './plan-data.ts';
import { planData } from './plan-data.ts';

function record(id: string, minute: number, changes: Partial<BackupRecord> = {}): BackupRecord {
  const at = `2026-11-24T21:${String(minute).padStart(2, '0')}:00`;
  return {
    ...{ setId: minute, id, type: 'full', database: 'shop', serverName: null, userName: 'sa' },
    ...{ device: `/b/${id}.bak`, firstLsn: BigInt(minute), lastLsn: BigInt(minute) + 1n },
    ...{ differentialBaseId: null, firstForkId: 'fork', lastForkId: 'fork', familyId: 'family' },
    ...{ isCopyOnly: false, isDamaged: false, hasChecksums: true, hasBulkLoggedData: false },
    ...{ startedLocal: at, finishedLocal: at, offsetMinutes: 0, ...changes },
  };
}

const full = record('ours', 1);
const question: DataQuestion = {
  ...{ asked: 'differential', role: 'none', familyId: 'family', history: [full] },
  previous: { full, differential: null },
};
const noteOf = (changes: Partial<DataQuestion>): string | null => {
  const plan = planData({ ...question, ...changes });
  return plan.kind === 'full' ? plan.note : 'differential';
};

describe('whether a differential backup can be taken', () => {
  it('can on our own full backup, whatever copies, logs and differentials came since', () => {
    const since = [
      record('log', 2, { type: 'log' }),
      record('copy', 3, { isCopyOnly: true }),
      record('theirs', 4, { type: 'differential', differentialBaseId: 'ours' }),
    ];
    const plan = planData({ ...question, familyId: null, history: [full, ...since] });
    assert.deepEqual(plan, { kind: 'differential', base: full });
  });

  it('cannot on anything else', () => {
    const copy = { full: { ...full, isCopyOnly: true }, differential: null };
    assert.match(String(noteOf({ previous: null })), /no full one of it/);
    assert.match(String(noteOf({ previous: copy })), /a copy/);
    assert.match(String(noteOf({ familyId: 'other' })), /another database/);
    assert.match(String(noteOf({ history: null })), /does not know/);
    assert.match(String(noteOf({ role: 'secondary' })), /secondary/);
    for (const type of ['full', 'partial'] as const) {
      const theirs = record('theirs', 2, { type });
      assert.match(String(noteOf({ history: [full, theirs] })), /login sa on .* to \/b\/theirs/);
    }
  });

  it('is a full one where that was asked for', () => {
    const history = [full, record('theirs', 2)];
    const plan = { kind: 'full', isCopyOnly: false, note: null };
    assert.deepEqual(planData({ ...question, asked: 'full', history }), plan);
    const onSecondary = planData({ ...question, asked: 'full', role: 'secondary' });
    assert.ok(onSecondary.kind === 'full' && onSecondary.isCopyOnly);
  });
});
