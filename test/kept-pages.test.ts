// Backups of which the server says what has changed: whatever is kept, written or cut off, they
// hold the same bytes as if everything had been sent; and what cannot be kept is never made up.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { BackupId } from '../src/model/ids.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { planKept } from '../src/repository/kept-pages.ts';
import type { Repository, RepositoryWriter } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import { pushIncrement } from './fixtures/increments.ts';
import type { ModelFiles, TestRepository } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';
import type { ModelFolder } from './model/model-files.ts';
import { changeFolder } from './model/model-files.ts';
import { changes } from './model/operations.ts';
import { Seeded } from './model/seeded.ts';

const page = 512;
/** A part of a file map and a bit more. */
const manyPages = 8192 + 100;
const times = { mode: 0o600, modifiedAt: new Date(0) };

function meta(path: string, sizeBytes: number, pageSizeBytes = page) {
  return { path, sizeBytes, pageSizeBytes, ...times };
}

type Backups = { readonly id: BackupId; readonly previous: BackupId | null };

async function withWriter<T>(
  repository: Repository,
  backups: Backups,
  work: (writer: RepositoryWriter) => Promise<T>,
): Promise<T> {
  await using writer = await repository.openWriter({
    ...{ instanceId: testInstanceId, backupId: backups.id, previousBackupId: backups.previous },
    ...{ now: new Date(0), signal: never, log: silentLogger },
  });
  return await work(writer);
}

const second: Backups = { id: testBackupId(2), previous: testBackupId(1) };

async function storeIncrement(
  repository: Repository,
  files: ModelFiles,
  previous: ModelFiles,
  backups = second,
) {
  return await withWriter(repository, backups, async (writer) => {
    for (const [path, bytes] of files) {
      const content = { bytes, previous: previous.get(path) ?? null };
      await pushIncrement(writer, meta(path, bytes.byteLength), content, new Seeded(7));
    }
    return await writer.commit(testFacts());
  });
}

/** One increment of one file, whatever it leads to. */
async function keepOne(repository: Repository, sizeBytes: number, keptBytes = sizeBytes) {
  return await withWriter(repository, second, async (writer) => {
    writer.beginIncrement(meta('a', sizeBytes));
    await writer.keep(keptBytes);
    writer.endFile();
    return await writer.commit(testFacts());
  });
}

async function restore(repository: Repository, id: BackupId): Promise<ModelFiles> {
  return await extractAll(await repository.openReader(testInstanceId, id, never));
}

async function openWith(files: ModelFiles, more = {}): Promise<TestRepository> {
  const opened = await openTestRepository(new MemoryStorage(), MasterKey.generate(), more);
  await storeFiles(opened.repository, files, {
    ...{ backupId: testBackupId(1), pageSizeBytes: page },
  });
  return opened;
}

function objectsOf(storage: TestRepository['storage'], kind: string): Map<string, Buffer> {
  const all = [...(storage as MemoryStorage).objects];
  return new Map(all.filter(([name]) => name.includes(`/${kind}/`)) as [string, Buffer][]);
}

describe('an increment', () => {
  for (const seed of [1, 2, 3]) {
    it(`holds and stores what a full stream does, seed ${seed}`, async () => {
      const seeded = new Seeded(seed);
      const [increments, streams] = [await openTestRepository(), await openTestRepository()];
      await using _ = increments.repository;
      await using __ = streams.repository;
      const folder: ModelFolder = new Map();
      let previous: { readonly id: BackupId; readonly folder: ModelFolder } | null = null;
      for (let number = 1; number <= 12; number++) {
        for (let i = 0; i < 8; i++) changeFolder(folder, seeded.pick(changes), seeded);
        const previousId: BackupId | null = previous?.id ?? null;
        const backups: Backups = { id: testBackupId(number), previous: previousId };
        const newBytes: number[] = [];
        for (const { repository } of [increments, streams]) {
          newBytes.push(
            await withWriter(repository, backups, async (writer) => {
              for (const [path, { bytes, pageBytes }] of folder) {
                const file = meta(path, bytes.byteLength, pageBytes);
                if (repository === increments.repository && previous !== null) {
                  const old = previous.folder.get(path)?.bytes ?? null;
                  await pushIncrement(writer, file, { bytes, previous: old }, seeded);
                } else {
                  writer.beginFile(file);
                  await writer.write(bytes);
                  writer.endFile();
                }
              }
              return (await writer.commit(testFacts())).totals.newBytes;
            }),
          );
        }
        assert.equal(newBytes[0], newBytes[1], `backup ${number} stores other pages`);
        const restored = await restore(increments.repository, backups.id);
        assert.deepEqual([...restored.keys()].sort(), [...folder.keys()].sort());
        for (const [path, { bytes }] of folder) assert.ok(restored.get(path)?.equals(bytes), path);
        previous = { id: backups.id, folder: new Map(folder) };
      }
    });
  }

  it('reads nothing of what it keeps, and shares whole parts', async () => {
    const files: ModelFiles = new Map([['a', randomBytes(manyPages * page)]]);
    const { repository, storage } = await openWith(files);
    await using _ = repository;
    for (const pack of objectsOf(storage, 'packs').values()) pack.fill(0);
    const { totals } = await keepOne(repository, manyPages * page);
    assert.equal(totals.newBytes, 0);
    assert.ok([...objectsOf(storage, 'maps').keys()].every((name) => !name.includes(second.id)));
  });

  it('has zeros where the previous backup has nothing', async () => {
    const files: ModelFiles = new Map([['a', randomBytes(3 * page + 7)]]);
    const { repository } = await openWith(files);
    await using _ = repository;
    await keepOne(repository, manyPages * page + 9);
    const expected = Buffer.alloc(manyPages * page + 9);
    files.get('a')?.copy(expected);
    assert.ok((await restore(repository, second.id)).get('a')?.equals(expected));
  });

  it('is whole after an attempt that died behind a checkpoint', async () => {
    const objectSizes = { packBytes: 256 * 1024, mapsBytes: 4096, checkpointBytes: 512 * 1024 };
    const old: ModelFiles = new Map([
      ['a', randomBytes(manyPages * page)],
      ['b', randomBytes(manyPages * page)],
    ]);
    const { repository, storage } = await openWith(old, { objectSizes });
    await using _ = repository;
    const changed = (at: number): ModelFiles =>
      new Map([...old].map(([path, bytes]) => [path, changedAt(bytes, at)]));
    await withWriter(repository, second, async (writer) => {
      for (const [path, bytes] of changed(0)) {
        const content = { bytes, previous: old.get(path) ?? null };
        await pushIncrement(writer, meta(path, bytes.byteLength), content, new Seeded(1));
      }
      await assert.rejects(writer.commit({ ...testFacts(), beforeCommit: () => fail() }));
    });
    assert.ok(objectsOf(storage, 'checkpoints').size > 0, 'no checkpoint was written');
    // Meanwhile other pages have changed, and some have changed back.
    const now = changed(page * 3000);
    await storeIncrement(repository, now, old);
    const restored = await restore(repository, second.id);
    for (const [path, bytes] of now) assert.ok(restored.get(path)?.equals(bytes), path);
  });
});

function changedAt(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  randomBytes(page * 2000).copy(copy, at);
  return copy;
}

function fail(): Promise<never> {
  return Promise.reject(new Error('the process died'));
}

describe('pages of packs that are left behind', () => {
  const files: ModelFiles = new Map([['a', randomBytes(200 * page)]]);
  const copyForward = { liveShareMin: 2, bytesMin: 64 * 1024 * 1024 };

  it('are stored again though nobody has sent them', async () => {
    const { repository } = await openWith(files, { copyForward });
    await using _ = repository;
    const { totals } = await keepOne(repository, 200 * page);
    assert.equal(totals.newBytes, 200 * page);
    const lease = { assertLease: () => Promise.resolve(), signal: never };
    await repository.deleteBackup(testInstanceId, testBackupId(1), lease);
    assert.deepEqual(await restore(repository, second.id), files);
  });

  it('fail the backup when they cannot be read, naming the object', async () => {
    const { repository, storage } = await openWith(files, { copyForward });
    await using _ = repository;
    const [[name, bytes] = ['', Buffer.alloc(0)]] = objectsOf(storage, 'packs');
    bytes.fill(0, 200, 300);
    const named = { kind: 'repository-damaged', message: new RegExp(name) };
    await assert.rejects(keepOne(repository, 200 * page), named);
    assert.equal(await repository.hasBackup(testInstanceId, second.id, never), false);
  });
});

describe('what cannot be kept', () => {
  const files: ModelFiles = new Map([['a', randomBytes(200 * page)]]);

  it('fails the backup when its file map is damaged; a full stream does without', async () => {
    const { repository, storage } = await openWith(files);
    await using _ = repository;
    const [[name, bytes] = ['', Buffer.alloc(0)]] = objectsOf(storage, 'maps');
    bytes.fill(0, 60, 90);
    const named = { kind: 'repository-damaged', message: new RegExp(name) };
    await assert.rejects(keepOne(repository, 200 * page), named);
    assert.equal(await repository.hasBackup(testInstanceId, second.id, never), false);
    await storeFiles(repository, files, {
      ...{ backupId: second.id, previousBackupId: second.previous, pageSizeBytes: page },
    });
    assert.deepEqual(await restore(repository, second.id), files);
  });

  it('is not offered when an object of the previous backup is gone', async () => {
    const { repository, storage } = await openWith(files);
    await using _ = repository;
    await withWriter(repository, second, async ({ previous }) => {
      assert.equal(previous?.stored.backupId, testBackupId(1));
      assert.equal(previous.findFile('a')?.sizeBytes, 200 * page);
      assert.equal(previous.findFile('b'), null);
    });
    for (const name of objectsOf(storage, 'packs').keys()) await storage.delete(name, never);
    await withWriter(repository, second, async ({ previous }) => assert.equal(previous, null));
  });

  it('is a bug without a backup, in part of a page, too much, or in another file', async () => {
    const { repository } = await openWith(files);
    await using _ = repository;
    const isBug = /bug/;
    await assert.rejects(keepOne(repository, 200 * page, page + 1), isBug);
    await assert.rejects(keepOne(repository, 200 * page, 201 * page), isBug);
    await assert.rejects(keepOne(repository, 200 * page, 199 * page), isBug);
    await withWriter(repository, { ...second, previous: null }, async (writer) => {
      writer.beginIncrement(meta('a', page));
      assert.throws(() => void writer.keep(page), isBug);
    });
    await withWriter(repository, second, async (writer) => {
      writer.beginFile(meta('a', page));
      assert.throws(() => void writer.keep(page), isBug);
    });
  });
});

describe('the plan of what is kept', () => {
  const span = { startBytes: 0, endBytes: 4 * page };
  const shape = (size: number, pageBytes = page) => ({ size, page: pageBytes });
  const plan = (prior: ReturnType<typeof shape>, again: Uint8Array | null = null) =>
    planKept(span, { file: shape(4 * page), prior }, again).map(
      ({ kind, startBytes, endBytes }) => `${kind} ${startBytes / page}-${endBytes / page}`,
    );

  it('reads only where it must', () => {
    assert.deepEqual(plan(shape(4 * page)), ['refer 0-4']);
    assert.deepEqual(plan(shape(9 * page)), ['refer 0-4']);
    assert.deepEqual(plan(shape(0)), ['refer 0-4']);
    assert.deepEqual(plan(shape(2 * page)), ['refer 0-4']);
    assert.deepEqual(plan(shape(2 * page + 1)), ['refer 0-2', 'read 2-3', 'refer 3-4']);
    assert.deepEqual(plan(shape(4 * page, 1024)), ['read 0-4']);
    assert.deepEqual(plan(shape(2 * page + 1, 1024)), ['read 0-3', 'refer 3-4']);
    const again = Uint8Array.from([0, 1, 1, 0]);
    assert.deepEqual(plan(shape(4 * page), again), ['refer 0-1', 'read 1-3', 'refer 3-4']);
  });

  it('reads the last page when the file ends within it now', () => {
    const files = { file: shape(page + 5), prior: shape(4 * page) };
    assert.deepEqual(planKept({ startBytes: 0, endBytes: page + 5 }, files, null), [
      { kind: 'refer', startBytes: 0, endBytes: page },
      { kind: 'read', startBytes: page, endBytes: page + 5 },
    ]);
  });
});
