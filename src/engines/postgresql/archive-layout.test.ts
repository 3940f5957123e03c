import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArchiveEntry, SourceListing } from '../engine.ts';
import { planArchive } from './archive-layout.ts';

const file = (path: string) => ({
  path,
  mode: 0o600,
  modifiedAt: new Date(0),
  sizeBytes: 10,
  pageSizeBytes: 8192,
});

const tablespace = { oid: '16385', location: '/srv/fast', sizeBytes: 1 };
const inPlace = { oid: '16390', location: 'pg_tblspc/16390', sizeBytes: 1 };
const configFiles = ['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'];
const paths = [
  ...['PG_VERSION', 'backup_label', 'tablespace_map', 'global/pg_control', 'base/1/1259'],
  ...['standby.signal', 'recovery.signal', 'postmaster.pid', 'postmaster.opts'],
  ...['pg_tblspc/16385/PG_17/5/16386', 'pg_tblspc/16390/PG_17/5/16391'],
];

function source(more: readonly string[] = configFiles): SourceListing {
  return {
    serverVersion: '17.2',
    notes: {
      ...{ version: 1, blockSizeBytes: 8192, walSegmentBytes: 16_777_216, timeline: 1 },
      ...{ systemIdentifier: '7', dataChecksums: true, fromStandby: false },
      tablespaces: [tablespace, inPlace],
      settings: { max_connections: '200', wal_level: 'replica' },
    },
    directories: () => [
      { path: 'base', mode: 0o750 },
      { path: 'pg_tblspc/16385', mode: 0o700 },
      { path: 'pg_tblspc/16385/PG_17', mode: 0o700 },
    ],
    files: () => [...paths, ...more].map(file),
  };
}

const pathsOf = (entries: readonly ArchiveEntry[]): string[] => entries.map(({ path }) => path);

test('a tablespace lies beside the data folder, behind a relative link', () => {
  const { entries } = planArchive(source());
  const links = entries.filter(({ kind }) => kind === 'symlink');
  assert.deepEqual(links, [
    { kind: 'symlink', path: 'data/pg_tblspc/16385', target: '../../tablespaces/16385' },
  ]);
  const found = pathsOf(entries);
  assert.ok(found.includes('tablespaces/16385/PG_17/5/16386'));
  assert.ok(found.includes('data/pg_tblspc/16390/PG_17/5/16391'), 'one inside stays inside');
  assert.equal(new Set(found).size, found.length, 'a path occurs twice');
});

test('nothing leads a server to another, or to where its tablespaces were', () => {
  const found = pathsOf(planArchive(source()).entries);
  for (const name of ['tablespace_map', 'standby.signal', 'recovery.signal', 'postmaster.pid']) {
    assert.ok(!found.includes(`data/${name}`), name);
  }
  assert.ok(found.includes('data/backup_label'));
});

test('parents come first, all folders are there, pg_control is last', () => {
  const { entries } = planArchive(source());
  const folders = new Set(['']);
  for (const { kind, path } of entries) {
    assert.ok(folders.has(path.split('/').slice(0, -1).join('/')), `${path} comes too early`);
    if (kind === 'directory') folders.add(path);
  }
  for (const path of ['data/pg_wal/archive_status', 'data/pg_notify', 'data/pg_replslot']) {
    assert.ok(folders.has(path), path);
  }
  assert.equal(entries.at(-1)?.path, 'data/global/pg_control');
});

test('configuration from outside the data folder is added, its own is kept', () => {
  const textOf = (name: string, more: readonly string[]): string | null => {
    const { entries } = planArchive(source(more));
    const entry = entries.find(({ path }) => path === `data/${name}`);
    return entry?.kind === 'text' ? entry.content : null;
  };
  assert.match(textOf('postgresql.conf', []) ?? '', /^max_connections = 200$/m);
  assert.match(textOf('pg_hba.conf', []) ?? '', /scram-sha-256/);
  assert.doesNotMatch(textOf('pg_hba.conf', []) ?? '', /trust/);
  assert.notEqual(textOf('pg_ident.conf', []), null);
  for (const name of configFiles) assert.equal(textOf(name, configFiles), null);
});

test('the page says how to start, and about links only where there are any', () => {
  const textOf = (listing: SourceListing): string => {
    const [first] = planArchive(listing).entries;
    return first?.kind === 'text' && first.path === 'START.txt' ? first.content : '';
  };
  const page = textOf(source());
  assert.match(page, /^ {2}'<bin folder of PostgreSQL 17>'\/pg_ctl -D data .* -w start$/m);
  assert.match(page, /pg_tblspc/);
  const { notes } = source();
  assert.doesNotMatch(textOf({ ...source(), notes: { ...notes, tablespaces: [] } }), /pg_tblspc/);
});

test('the same backup gives the same archive', () => {
  assert.deepEqual(planArchive(source()), planArchive(source()));
});
