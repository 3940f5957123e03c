import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupId } from '../../model/ids.ts';
import type { LastCopy } from './plan-offsite.ts';
import { failurePauseMs, isCopyDue } from './plan-offsite.ts';

const [old, fresh] = ['old', 'fresh'] as unknown as [BackupId, BackupId];
const now = new Date(1_767_582_000_000);
const ago = (spanMs: number): Date => new Date(now.getTime() - spanMs);
const last = (changes: Partial<LastCopy> = {}): LastCopy => ({
  ...{ status: 'succeeded', endedAt: ago(1), newestBackupId: fresh },
  ...changes,
});
const isDue = (of: LastCopy | null, newestBackupId: BackupId | null = fresh): boolean =>
  isCopyDue({ newestBackupId, last: of }, now);

describe('a copy to the second storage', () => {
  it('is due after each backup, and for what there was before the policy', () => {
    assert.equal(isDue(null), true);
    assert.equal(isDue(last({ newestBackupId: old })), true);
    assert.equal(isDue(last()), false);
    assert.equal(isDue(null, null), false);
  });

  it('is waited for while one has not ended', () => {
    for (const status of ['queued', 'running'] as const) {
      assert.equal(isDue(last({ status, endedAt: null, newestBackupId: old })), false);
    }
  });

  it('is tried again after a pause when it failed, and at once with a new backup', () => {
    const failed = (spanMs: number) => last({ status: 'failed', endedAt: ago(spanMs) });
    assert.equal(isDue(failed(failurePauseMs - 1)), false);
    assert.equal(isDue(failed(failurePauseMs)), true);
    assert.equal(isDue({ ...failed(1), newestBackupId: old }), true);
  });

  it('is due once a day also without a new backup, after a cancel too', () => {
    for (const status of ['succeeded', 'cancelled'] as const) {
      assert.equal(isDue(last({ status, endedAt: ago(23 * 3_600_000) })), false);
      assert.equal(isDue(last({ status, endedAt: ago(24 * 3_600_000) })), true);
    }
  });
});
