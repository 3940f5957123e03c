import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ListedEntry } from './page-source-list.ts';
import { parseListRow, planList } from './page-source-list.ts';

const folder = (path: string): ListedEntry => {
  return { path, isFolder: true, sizeBytes: 4096, modifiedSeconds: 5 };
};
const file = (path: string): ListedEntry => {
  return { path, isFolder: false, sizeBytes: 8192, modifiedSeconds: 5 };
};

function filesOf(paths: readonly string[], innerTablespaces: readonly string[] = []): string[] {
  const { files } = planList(paths.map(file), { major: 16, innerTablespaces });
  return files.map(({ path }) => path);
}

describe('what a base backup leaves out', () => {
  it('files that belong to the running server', () => {
    const left = [
      ...['postmaster.pid', 'postmaster.opts', 'backup_label', 'tablespace_map'],
      ...['backup_manifest', 'postgresql.auto.conf.tmp', 'current_logfiles.tmp'],
      ...['global/pg_internal.init', 'base/5/pg_internal.init.123', 'base/pgsql_tmp1.0'],
      ...['global/pg_control', '.s.PGSQL.5432'],
    ];
    const kept = ['PG_VERSION', 'backup_label.old', 'base/5/pg_filenode.map', 'pg_xact/0000'];
    assert.deepEqual(filesOf([...left, ...kept]), kept.toSorted());
  });

  it('temporary relations, and unlogged ones but for their init fork', () => {
    const left = [
      ...['base/5/t3_16400', 'base/5/t3_16400_vm.1', 'pg_tblspc/9/PG_16_1/5/t3_1'],
      ...['base/5/200', 'base/5/200.1', 'base/5/200_fsm'],
    ];
    const kept = ['base/5/200_init', 'base/5/2000', 'base/6/200', 'global/t3_1'];
    assert.deepEqual(filesOf([...left, ...kept]), kept.toSorted());
  });

  it('a tablespace inside the data folder is there once', () => {
    const paths = ['inner/PG_16_1/5/1', 'pg_tblspc/9/PG_16_1/5/1', 'inner2/x'];
    assert.deepEqual(filesOf(paths, ['inner']), ['inner2/x', 'pg_tblspc/9/PG_16_1/5/1']);
  });

  it('folders stay, with those of the log, without the links to tablespaces', () => {
    const entries = ['pg_wal', 'base', 'base/5', 'pg_tblspc', 'pg_tblspc/9', 'pg_tblspc/9/PG_17_1'];
    const plan = (major: number) =>
      planList(entries.map(folder), { major, innerTablespaces: [] }).folders;
    const before = ['base', 'base/5', 'pg_tblspc', 'pg_tblspc/9/PG_17_1'];
    assert.deepEqual(plan(16), [...before, 'pg_wal', 'pg_wal/archive_status']);
    assert.deepEqual(plan(17).at(-1), 'pg_wal/summaries');
  });

  it('knows parts of relations by their names', () => {
    const relations = ['base/5/1', 'base/5/1.2', 'base/5/1_fsm', 'global/1262', 'pg_xact/0001'];
    const { files } = planList(relations.map(file), { major: 16, innerTablespaces: [] });
    const segments = files.map(({ path, relation }) => [path, relation?.segment ?? null]);
    assert.deepEqual(segments, [
      ...[
        ['base/5/1', 0],
        ['base/5/1.2', 2],
        ['base/5/1_fsm', 0],
        ['global/1262', 0],
      ],
      ['pg_xact/0001', null],
    ]);
  });

  it('refuses a row that names no file', () => {
    assert.deepEqual(parseListRow(['a', '0', '7', '12']), {
      ...{ path: 'a', isFolder: false, sizeBytes: 7, modifiedSeconds: 12 },
    });
    assert.throws(() => parseListRow(['a', '0', null, '12']), { kind: 'engine-refused' });
  });
});
