import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackupSource, SourceFacts } from './plan-source.ts';
import { planSource } from './plan-source.ts';

const able: SourceFacts = {
  major: 17,
  isInRecovery: false,
  summarizesLog: true,
  incrementRefusal: null,
  missingRights: [],
};
const missingRights = ['pg_backup_start(text, boolean)', 'pg_ls_dir(text, boolean, boolean)'];

describe('the way a backup is taken', () => {
  const cases: readonly [string, Partial<SourceFacts>, BackupSource, readonly RegExp[]][] = [
    ['changed pages, where the server knows them', {}, 'increment', []],
    ['rights do not matter then', { missingRights, isInRecovery: true }, 'increment', []],
    ['before 17', { major: 16 }, 'pages', [/16 does not know what changed/]],
    ['without summaries', { summarizesLog: false }, 'pages', [/summarize_wal is off/]],
    ['after a refusal', { incrementRefusal: 'summaries are gone' }, 'pages', [/are gone/]],
    [
      'without rights',
      { major: 15, missingRights },
      'stream',
      [/15/, /may not use pg_backup_start\(text, boolean\), pg_ls_dir/],
    ],
    ['of a standby', { major: 16, isInRecovery: true }, 'stream', [/16/, /standby/]],
    ['of a version from the future', { major: 19, summarizesLog: false }, 'stream', [/off/, /19/]],
  ];
  for (const [name, facts, source, reasons] of cases) {
    it(name, () => {
      const plan = planSource({ ...able, ...facts });
      assert.equal(plan.source, source);
      assert.equal(plan.reasons.length, reasons.length, plan.reasons.join('; '));
      for (const [at, reason] of reasons.entries()) assert.match(plan.reasons[at] ?? '', reason);
    });
  }
});
