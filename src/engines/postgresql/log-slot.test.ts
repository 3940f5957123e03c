import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '../../model/units.ts';
import type { SlotState } from './log-slot.ts';
import { planWarning } from './log-slot.ts';

const messageOf = (state: SlotState): string | null => planWarning(state)?.message ?? null;

test('a slot that holds all within its limit is fine', () => {
  assert.equal(messageOf({ walStatus: 'reserved', safeWalBytes: null, keepMaxBytes: null }), null);
  const keepMaxBytes = 400 * MiB;
  assert.equal(messageOf({ walStatus: 'reserved', safeWalBytes: 101 * MiB, keepMaxBytes }), null);
});

test('a slot in danger is told, the nearest danger first', () => {
  const keepMaxBytes = 400 * MiB;
  const told = (walStatus: string, safeWalBytes: number | null): string | null =>
    messageOf({ walStatus, safeWalBytes, keepMaxBytes });
  assert.match(
    told('reserved', 99 * MiB) ?? '',
    /removed after 104 MB more: max_slot_wal_keep_size/,
  );
  assert.match(told('extended', 300 * MiB) ?? '', /more log for the archive than max_wal_size/);
  assert.match(told('extended', 1) ?? '', /removed after 1 B more/);
  assert.match(told('unreserved', -5) ?? '', /about to remove log that is not stored/);
  assert.match(told('lost', null) ?? '', /about to remove log that is not stored/);
});
