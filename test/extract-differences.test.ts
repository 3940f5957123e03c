// A restore over files that are there: whatever they hold, they end as the backup has them, and
// only pages that differ are read from the storage.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CountingStorage } from './fixtures/counting-storage.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';
import { Seeded } from './model/seeded.ts';

const pageBytes = 8192;
const options = { write: 'differences', onProgress: () => undefined, signal: never } as const;

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cairn-differences-'));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function makeFiles(): ModelFiles {
  const files: ModelFiles = new Map();
  for (const [name, pages] of [
    ['a', 700],
    ['b', 9],
    ['c', 0],
    ['d', 1],
    ['e', 130],
  ] as const) {
    const bytes = randomBytes(pages * pageBytes + (name === 'd' ? 77 : 0));
    // Runs of zeros: holes.
    if (pages > 100) bytes.fill(0, 20 * pageBytes, 60 * pageBytes);
    files.set(name, bytes);
  }
  return files;
}

test('files of any content end as the backup has them', async () => {
  const seeded = new Seeded(20261124);
  const { repository } = await openTestRepository();
  const files = makeFiles();
  await storeFiles(repository, files, { backupId: testBackupId(1) });
  const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
  for (let round = 0; round < 12; round++) {
    await withFolder(async (folder) => {
      for (const [path, bytes] of files) {
        if (seeded.isOneIn(5)) continue;
        const other = Buffer.from(bytes);
        for (let change = 0; change < 6 && other.length > 0; change++) {
          const at = seeded.below(other.length);
          const end = Math.min(other.length, at + seeded.below(3 * pageBytes) + 1);
          other.fill(seeded.isOneIn(2) ? 0 : 0x5a, at, end);
        }
        await writeFile(join(folder, path), other);
        if (seeded.isOneIn(2)) {
          await truncate(join(folder, path), seeded.below(2 * other.length + 1));
        }
      }
      const items = [...files.keys()].map((path) => ({ path, targetPath: join(folder, path) }));
      await reader.extract(items, options);
      for (const [path, bytes] of files) {
        assert.ok(bytes.equals(await readFile(join(folder, path))), `${path} in round ${round}`);
      }
    });
  }
  await repository[Symbol.asyncDispose]();
});

test('pages that are as they should be are not read from the storage', async () => {
  const storage = new CountingStorage();
  const { repository } = await openTestRepository(storage);
  const files = makeFiles();
  await storeFiles(repository, files, { backupId: testBackupId(1) });
  const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
  await withFolder(async (folder) => {
    for (const [path, bytes] of files) await writeFile(join(folder, path), bytes);
    const items = [...files.keys()].map((path) => ({ path, targetPath: join(folder, path) }));
    storage.packBytes = 0;
    let doneBytes = 0;
    await reader.extract(items, { ...options, onProgress: (done) => (doneBytes = done) });
    assert.equal(storage.packBytes, 0);
    assert.equal(
      doneBytes,
      [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0),
    );

    const a = Buffer.from(files.get('a') ?? '');
    a[300 * pageBytes] = (a[300 * pageBytes] ?? 0) ^ 1;
    await writeFile(join(folder, 'a'), a);
    await reader.extract(items, options);
    assert.ok(storage.packBytes > 0 && storage.packBytes < 3 * 1024 * 1024);
    assert.ok(files.get('a')?.equals(await readFile(join(folder, 'a'))));
  });
  await repository[Symbol.asyncDispose]();
});

test('a link in the place of a file is refused, and what it leads to is left alone', async () => {
  const { repository } = await openTestRepository();
  await storeFiles(repository, makeFiles(), { backupId: testBackupId(1) });
  const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'outside'), 'precious');
    await symlink(join(folder, 'outside'), join(folder, 'a'));
    const items = [{ path: 'a', targetPath: join(folder, 'a') }];
    await assert.rejects(reader.extract(items, options), { kind: 'invalid' });
    assert.equal(await readFile(join(folder, 'outside'), 'utf8'), 'precious');
  });
  await repository[Symbol.asyncDispose]();
});
