import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RestorePlanInput } from './restore-plan.ts';
import { planRestore } from './restore-plan.ts';

const file = (path: string) => ({
  path,
  mode: 0o600,
  modifiedAt: new Date(0),
  sizeBytes: 10,
  pageSizeBytes: 8192,
});

const input: RestorePlanInput = {
  targetDir: '/restore/data',
  tablespaces: [{ oid: '16385', location: '/srv/fast', sizeBytes: 1 }],
  tablespaceDirs: {},
  tablespaceParentDir: '/restore/data-tablespaces',
  directories: [
    { path: 'base', mode: 0o750 },
    { path: 'pg_tblspc/16385/PG_15', mode: 0o700 },
  ],
  files: [file('PG_VERSION'), file('base/1/1259'), file('pg_tblspc/16385/PG_15/5/16386')],
};

test('files of a tablespace go to its folder, with a link to it', () => {
  const plan = planRestore(input);
  assert.deepEqual(plan.extractions, [
    { path: 'PG_VERSION', targetPath: '/restore/data/PG_VERSION' },
    { path: 'base/1/1259', targetPath: '/restore/data/base/1/1259' },
    {
      path: 'pg_tblspc/16385/PG_15/5/16386',
      targetPath: '/restore/data-tablespaces/16385/PG_15/5/16386',
    },
  ]);
  assert.deepEqual(plan.links, [
    { path: '/restore/data/pg_tblspc/16385', target: '/restore/data-tablespaces/16385' },
  ]);
  assert.equal(plan.totalBytes, 30);
  const modes = new Map(plan.directories.map(({ path, mode }) => [path, mode]));
  assert.equal(modes.get('/restore/data'), 0o700);
  assert.equal(modes.get('/restore/data/base'), 0o750);
  assert.equal(modes.get('/restore/data-tablespaces/16385/PG_15/5'), 0o700);
  assert.ok(modes.has('/restore/data/pg_wal/archive_status'));
  assert.ok(!modes.has('/restore/data/pg_tblspc/16385'));
});

test('parents come before children', () => {
  const seen = new Set<string>();
  for (const { path } of planRestore(input).directories) {
    for (const other of seen) assert.ok(!other.startsWith(`${path}/`), `${path} after ${other}`);
    seen.add(path);
  }
});

test('tablespaces are placed by location or by OID', () => {
  for (const name of ['16385', '/srv/fast']) {
    const plan = planRestore({ ...input, tablespaceDirs: { [name]: '/disk2/fast/' } });
    assert.deepEqual(plan.tablespaces, [{ oid: '16385', targetDir: '/disk2/fast' }]);
  }
});

test('a tablespace inside the data folder stays there', () => {
  const tablespaces = [{ oid: '16385', location: 'pg_tblspc/16385', sizeBytes: 1 }];
  const plan = planRestore({ ...input, tablespaces });
  assert.deepEqual(plan.links, []);
  assert.equal(plan.extractions[2]?.targetPath, '/restore/data/pg_tblspc/16385/PG_15/5/16386');
});

test('overlapping, unknown and relative folders are refused', () => {
  for (const folder of ['/restore/data', '/restore/data/x', '/restore', 'relative']) {
    const tablespaceDirs = { '16385': folder };
    assert.throws(() => planRestore({ ...input, tablespaceDirs }), { kind: 'invalid' }, folder);
  }
  assert.throws(() => planRestore({ ...input, tablespaceDirs: { '1': '/x' } }), {
    kind: 'invalid',
    hint: 'it has: 16385 (/srv/fast)',
  });
});

test('paths that leave the folder are refused', () => {
  for (const path of ['../x', '/etc/passwd', 'base/../../x', '']) {
    assert.throws(() => planRestore({ ...input, files: [file(path)] }), {
      kind: 'repository-damaged',
    });
  }
});
