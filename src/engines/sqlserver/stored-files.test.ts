import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { SourceListing } from '../engine.ts';
import { planArchive, planImportCommands, planLogicalFiles } from './stored-files.ts';
import type { StoredDatabase, StoredNotes } from './stored-notes.ts';
import { toNotes } from './stored-notes.ts';

const set = (...paths: readonly string[]) => ({ paths, record: {}, encryptorThumbprint: null });
const databases: readonly StoredDatabase[] = [
  { name: 'shop', recoveryModel: 'FULL', full: set('a/full-0.bak'), differential: null },
  {
    ...{ name: "it's [x]", recoveryModel: 'FULL', full: set('b/full-0.bak', 'b/full-1.bak') },
    differential: set('b/diff-0.bak'),
  },
];
const notes: StoredNotes = {
  format: 1,
  server: {
    ...{ majorVersion: 16, edition: 'Standard Edition', engineEdition: 2, platform: 'linux' },
    ...{ collation: 'Latin1_General_CI_AS', offsetMinutes: 0 },
  },
  ...{ databases, skipped: [], findings: [] },
};

function listing(paths: readonly string[]): SourceListing {
  const files = paths.map((path, index) => ({
    ...{ path, sizeBytes: 100 + index, mode: 0o600, pageSizeBytes: 8192 },
    modifiedAt: new Date(0),
  }));
  const directories = ['a', 'b'].map((path) => ({ path, mode: 0o700 }));
  return {
    ...{ serverVersion: '16.0.4195.2', notes: toNotes(notes) },
    ...{ directories: () => directories, files: () => files },
  };
}
const source = listing(['a/full-0.bak', 'b/full-0.bak', 'b/full-1.bak', 'b/diff-0.bak']);

suite('the files of a backup of SQL Server', () => {
  test('are those that the server has written, one by one', () => {
    const files = planLogicalFiles(source);
    assert.deepEqual(
      files.map(({ fileName, sizeBytes }) => [fileName, sizeBytes]),
      [
        ['shop.full.1of1.bak', 100],
        ["it's [x].base.1of2.bak", 101],
        ["it's [x].base.2of2.bak", 102],
        ["it's [x].differential.1of1.bak", 103],
      ],
    );
    assert.throws(() => planLogicalFiles(listing([])), { kind: 'repository-damaged' });
    const odd = { ...source, notes: {} };
    assert.throws(() => planLogicalFiles(odd), { kind: 'repository-damaged' });
  });

  test('come with statements that restore them when they are typed one after another', () => {
    const [shop, first, second, last] = planLogicalFiles(source);
    assert.ok(shop && first && second && last);
    assert.deepEqual(
      planImportCommands(shop, '/b/shop.full.1of1.bak').filter((line) => !line.startsWith('--')),
      [
        "RESTORE FILELISTONLY FROM DISK = N'/b/shop.full.1of1.bak';",
        "RESTORE DATABASE [shop] FROM DISK = N'/b/shop.full.1of1.bak'" +
          " WITH MOVE N'…' TO N'…', NORECOVERY, CHECKSUM, STATS = 5;",
        'RESTORE DATABASE [shop] WITH RECOVERY;',
        "DBCC CHECKDB (N'shop') WITH NO_INFOMSGS, ALL_ERRORMSGS;",
      ],
    );
    // The second database whose name looks like that.
    const base = planImportCommands(first, "/b/it's.base.1of2-2.bak").join('\n');
    assert.match(base, /RESTORE DATABASE \[it's \[x\]\]\] FROM/);
    assert.match(base, /N'\/b\/it''s\.base\.1of2-2\.bak', DISK = N'\/b\/it''s\.base\.2of2-2\.bak'/);
    assert.doesNotMatch(base, /WITH RECOVERY/);
    assert.deepEqual(planImportCommands(second, '/b/x.base.2of2.bak'), []);
    const end = planImportCommands(last, '/b/x.differential.1of1.bak').join('\n');
    assert.match(
      end,
      /FROM DISK = N'\/b\/x\.differential\.1of1\.bak' WITH NORECOVERY[^]*RECOVERY;/,
    );
  });

  test('can be one archive, with a page that says how', () => {
    const { owner, entries } = planArchive(source);
    assert.equal(owner, 'mssql');
    assert.deepEqual(
      entries.map(({ kind, path }) => `${kind} ${path}`),
      [
        ...['text RESTORE.txt', 'directory a', 'directory b', 'file a/full-0.bak'],
        ...['file b/full-0.bak', 'file b/full-1.bak', 'file b/diff-0.bak'],
      ],
    );
    const [page] = entries;
    assert.ok(page?.kind === 'text');
    assert.match(page.content, /FROM DISK = N'b\/full-0\.bak', DISK = N'b\/full-1\.bak' WITH MOVE/);
  });
});
