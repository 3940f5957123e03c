import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FileMeta, PreviousBackup } from '../engine.ts';
import type { KeepFacts } from './page-source-keep.ts';
import { isKept, keepMarginMs, planKeep } from './page-source-keep.ts';

const startMs = Date.UTC(2026, 0, 1);
const oldSeconds = startMs / 1000 - 3600;

const facts: KeepFacts = {
  systemIdentifier: '7',
  blockSizeBytes: 8192,
  startPosition: { engine: 'postgresql', timeline: 3, lsn: 200n },
  startClockMs: startMs + 1000,
  fullPageWrites: true,
  versionText: 'PostgreSQL 16.1 on x86_64-pc-linux-gnu',
};

const notes = {
  ...{ version: 1, blockSizeBytes: 8192, walSegmentBytes: 16777216, timeline: 3, settings: {} },
  ...{ systemIdentifier: '7', tablespaces: [], startClockMs: startMs },
};

const stored: FileMeta = {
  path: 'base/5/1',
  mode: 0o600,
  modifiedAt: new Date(oldSeconds * 1000),
  sizeBytes: 16384,
  pageSizeBytes: 8192,
};

function previous(changes: Partial<PreviousBackup> = {}, meta: FileMeta = stored): PreviousBackup {
  return {
    serverVersion: '16.1',
    systemIdentifier: '7',
    startPosition: { engine: 'postgresql', timeline: 3, lsn: 100n },
    notes,
    findFile: (path) => (path === meta.path ? meta : null),
    read: () => assert.fail('nothing is read'),
    ...changes,
  };
}

const listed = {
  ...{ path: 'base/5/1', sizeBytes: 16384, modifiedSeconds: oldSeconds },
  relation: { segment: 0 },
};

describe('what is kept of the previous backup', () => {
  it('a file with the same size and an old, equal time', () => {
    assert.ok(isKept(listed, 8192, planKeep(previous(), facts)));
  });

  it('nothing else', () => {
    const rule = planKeep(previous(), facts);
    for (const file of [
      { ...listed, sizeBytes: 8192 },
      { ...listed, modifiedSeconds: oldSeconds + 1 },
      { ...listed, modifiedSeconds: oldSeconds - 1 },
      { ...listed, path: 'base/5/2' },
      { ...listed, relation: null },
    ]) {
      assert.ok(!isKept(file, 8192, rule), JSON.stringify(file));
    }
    assert.ok(!isKept(listed, 4096, rule));
    const emptyFile = { ...stored, sizeBytes: 0 };
    assert.ok(!isKept({ ...listed, sizeBytes: 0 }, 8192, planKeep(previous({}, emptyFile), facts)));
  });

  it('no file that may have been written while the previous backup ran', () => {
    for (const [beforeMs, kept] of [
      [keepMarginMs + 1000, true],
      [keepMarginMs, false],
      [0, false],
      [-60_000, false],
      // From the future.
      [-9_999_999_000, false],
    ] as const) {
      const modifiedAt = new Date(startMs - beforeMs);
      const file = { ...listed, modifiedSeconds: modifiedAt.getTime() / 1000 };
      const rule = planKeep(previous({}, { ...stored, modifiedAt }), facts);
      assert.equal(isKept(file, 8192, rule), kept, `${beforeMs} ms before`);
    }
  });

  const refusals: readonly [RegExp, PreviousBackup | null, Partial<KeepFacts>][] = [
    [/no previous backup/, null, {}],
    [/another server/, previous({ systemIdentifier: '8' }), {}],
    [/block size/, previous({ notes: { ...notes, blockSizeBytes: 4096 } }), {}],
    [/standby/, previous({ notes: { ...notes, fromStandby: true } }), {}],
    [/another timeline/, previous({ notes: { ...notes, timeline: 2 } }), {}],
    [/ahead in the log/, previous(), { startPosition: { ...facts.startPosition, lsn: 100n } }],
    [/does not tell/, previous({ notes: { ...notes, startClockMs: undefined } }), {}],
    [/clock went back/, previous(), { startClockMs: startMs }],
    [/full_page_writes/, previous(), { fullPageWrites: false }],
    [/not trusted/, previous(), { versionText: 'PostgreSQL 16.1, compiled by Visual C++' }],
    [/notes cannot be read/, previous({ notes: { version: 2 } }), {}],
  ];
  for (const [pattern, backup, changes] of refusals) {
    it(`nothing at all: ${pattern.source}`, () => {
      const rule = planKeep(backup, { ...facts, ...changes });
      assert.equal(rule.kind, 'nothing');
      assert.match(rule.kind === 'nothing' ? rule.reason : '', pattern);
      assert.ok(!isKept(listed, 8192, rule));
    });
  }
});
