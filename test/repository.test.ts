import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isErrorKind } from '../src/model/errors.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import type { Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  pushFiles,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';

const page = 8192;

function pages(count: number): Buffer {
  return randomBytes(count * page);
}

function assertSameFiles(actual: ModelFiles, expected: ModelFiles): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [path, bytes] of expected) {
    assert.ok(actual.get(path)?.equals(bytes), `${path} differs`);
  }
}

async function restore(repository: Repository, number: number): Promise<ModelFiles> {
  const reader = await repository.openReader(testInstanceId, testBackupId(number), never);
  return await extractAll(reader);
}

describe('repository', () => {
  it('gives back every byte: empty, short, holes, many pages, several parts', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const files: ModelFiles = new Map([
      ['empty', Buffer.alloc(0)],
      ['PG_VERSION', Buffer.from('18\n')],
      ['base/1/zero', Buffer.alloc(10 * page + 5)],
      ['base/1/tail', pages(3).subarray(0, 2 * page + 77)],
      ['base/1/mixed', Buffer.concat([pages(2), Buffer.alloc(3 * page), pages(1)])],
      ['base/1/large', pages(8192 + 130)],
      ['last', Buffer.from('x')],
    ]);
    const { totals } = await storeFiles(repository, files, { backupId: testBackupId(1) });
    assertSameFiles(await restore(repository, 1), files);
    const logical = [...files.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
    assert.equal(totals.logicalBytes, logical);
    assert.equal(totals.fileCount, 7);
    assert.equal(totals.newBytes, logical - (10 * page + 5) - 3 * page);
    const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
    assert.equal((await reader.read('PG_VERSION', never)).toString(), '18\n');
    assert.ok(
      (await reader.read('base/1/mixed', never)).equals(files.get('base/1/mixed') ?? pages(1)),
    );
    assert.deepEqual(reader.directories(), [{ type: 'directory', path: 'base', mode: 0o700 }]);
  });

  it('stores an unchanged backup at next to nothing, and a changed page once', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const large = pages(2000);
    const files: ModelFiles = new Map([
      ['a', large],
      ['b', pages(10)],
    ]);
    const first = await storeFiles(repository, files, { backupId: testBackupId(1) });
    const second = await storeFiles(repository, files, {
      ...{ backupId: testBackupId(2), previousBackupId: testBackupId(1) },
    });
    assert.equal(second.totals.newBytes, 0);
    assert.ok(second.totals.storedBytes < 3000, `${second.totals.storedBytes} bytes`);
    assert.ok(second.totals.storedBytes < first.totals.storedBytes / 1000);
    const changed = new Map(files).set('a', Buffer.from(large));
    changed.get('a')?.fill(7, 1234 * page, 1235 * page);
    const third = await storeFiles(repository, changed, {
      ...{ backupId: testBackupId(3), previousBackupId: testBackupId(2) },
    });
    assert.equal(third.totals.newBytes, page);
    assertSameFiles(await restore(repository, 2), files);
    assertSameFiles(await restore(repository, 3), changed);
    const before = (storage as MemoryStorage).objects.size;
    // Deleting the first keeps what the others need: no chain.
    const lease = { assertLease: async () => undefined, signal: never };
    await repository.deleteBackup(testInstanceId, testBackupId(1), lease);
    assert.ok((storage as MemoryStorage).objects.size < before);
    assertSameFiles(await restore(repository, 2), files);
    assertSameFiles(await restore(repository, 3), changed);
    await repository.deleteBackup(testInstanceId, testBackupId(3), lease);
    await repository.deleteBackup(testInstanceId, testBackupId(2), lease);
    const left = [...(storage as MemoryStorage).objects.keys()].filter((name) =>
      name.includes('backups'),
    );
    assert.ok(
      left.every((name) => name.includes(testBackupId(1))),
      left.join(),
    );
  });

  it('holds for any history of changes, however the bytes arrive', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    let number = 100;
    const pageSizes = fc.constantFrom(512, 4096, 8192, 16384);
    const step = fc.record({
      path: fc.constantFrom('a', 'b/c', 'd'),
      action: fc.constantFrom('page', 'grow', 'cut', 'remove', 'zero', 'shift'),
      where: fc.nat({ max: 1_000_000 }),
      seed: fc.nat({ max: 255 }),
    });
    const history = fc.array(fc.array(step, { maxLength: 4 }), { minLength: 1, maxLength: 4 });
    const property = fc.asyncProperty(
      ...([history, pageSizes, fc.integer({ min: 1, max: 70_000 })] as const),
      async (rounds, pageSizeBytes, chunk) => {
        const files: ModelFiles = new Map([['a', Buffer.alloc(50_000, 1)]]);
        let previousBackupId = null;
        for (const round of rounds) {
          for (const { path, action, where, seed } of round)
            mutate(files, path, action, where, seed);
          const backupId = testBackupId(number++);
          const chunkBytes = (): number => chunk;
          await storeFiles(repository, files, {
            ...{ backupId, previousBackupId, pageSizeBytes, chunkBytes },
          });
          previousBackupId = backupId;
          const reader = await repository.openReader(testInstanceId, backupId, never);
          assertSameFiles(await extractAll(reader), files);
        }
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });

  it('compares nothing across a changed page size', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const files: ModelFiles = new Map([['a', pages(64)]]);
    await storeFiles(repository, files, { backupId: testBackupId(1), pageSizeBytes: 8192 });
    const rest = { previousBackupId: testBackupId(1), pageSizeBytes: 16384 };
    await storeFiles(repository, files, { backupId: testBackupId(2), ...rest });
    assertSameFiles(await restore(repository, 2), files);
  });

  it('leaves nothing behind when a backup is given up', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    {
      await using writer = await repository.openWriter({
        ...{ instanceId: testInstanceId, backupId: testBackupId(1), previousBackupId: null },
        ...{ now: new Date(0), signal: never, log: silentLogger },
      });
      await pushFiles(writer, new Map([['a', pages(9000)]]));
    }
    const names = [...(storage as MemoryStorage).objects.keys()];
    assert.deepEqual(
      names.filter((name) => name.includes('backups')),
      [],
    );
    assert.equal(await repository.findBackup(testInstanceId, testBackupId(1), never), null);
  });

  it('lets one attempt commit, and prevents a commit without a lease', async () => {
    const { repository } = await openTestRepository();
    await using _ = repository;
    const files: ModelFiles = new Map([['a', pages(5)]]);
    const lost = new Error('the lease is lost');
    await assert.rejects(async () => {
      await using writer = await repository.openWriter({
        ...{ instanceId: testInstanceId, backupId: testBackupId(1), previousBackupId: null },
        ...{ now: new Date(0), signal: never, log: silentLogger },
      });
      await pushFiles(writer, files);
      await writer.commit({ ...testFacts(), beforeCommit: () => Promise.reject(lost) });
    }, lost);
    assert.equal(await repository.findBackup(testInstanceId, testBackupId(1), never), null);
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(1) }), (e) =>
      isErrorKind(e, 'conflict'),
    );
    assertSameFiles(await restore(repository, 1), files);
  });

  it('reports a full disk and other storage failures, and the next backup works', async () => {
    const storage = new MemoryStorage();
    const { repository } = await openTestRepository(storage);
    await using _ = repository;
    const files: ModelFiles = new Map([['a', pages(300)]]);
    const open = storage.openWriter.bind(storage);
    let failing = true;
    storage.openWriter = async (name, signal) => {
      const writer = await open(name, signal);
      const full = async (): Promise<void> => {
        throw new Error('no space left');
      };
      return failing && name.includes('packs') ? { ...writer, write: full } : writer;
    };
    await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(1) }), /no space/);
    assert.equal(await repository.findBackup(testInstanceId, testBackupId(1), never), null);
    failing = false;
    await storeFiles(repository, files, { backupId: testBackupId(2) });
    assertSameFiles(await restore(repository, 2), files);
  });

  it('does without a previous backup that is damaged', async () => {
    const { repository, storage } = await openTestRepository();
    await using _ = repository;
    const files: ModelFiles = new Map([['a', pages(300)]]);
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    const { objects } = storage as MemoryStorage;
    const pack = [...objects.keys()].find((name) => name.includes('/packs/')) ?? '';
    objects.delete(pack);
    const next = { backupId: testBackupId(2), previousBackupId: testBackupId(1) };
    const { totals } = await storeFiles(repository, files, next);
    assert.equal(totals.newBytes, 300 * page);
    assertSameFiles(await restore(repository, 2), files);
  });
});

function mutate(
  files: ModelFiles,
  path: string,
  action: string,
  where: number,
  seed: number,
): void {
  const old = files.get(path) ?? Buffer.alloc(0);
  const at = old.byteLength === 0 ? 0 : where % old.byteLength;
  const copy = Buffer.from(old);
  if (action === 'page') files.set(path, copy.fill(seed, at, Math.min(at + 700, copy.length)));
  if (action === 'grow') files.set(path, Buffer.concat([copy, Buffer.alloc(where % 90_000, seed)]));
  if (action === 'cut') files.set(path, copy.subarray(0, at));
  if (action === 'remove') files.delete(path);
  if (action === 'zero') files.set(path, copy.fill(0, at));
  if (action === 'shift') files.set(path, Buffer.concat([Buffer.from([seed]), copy]));
}

describe('a damaged repository', () => {
  async function stored(): Promise<{
    storage: MemoryStorage;
    masterKey: MasterKey;
    repository: Repository;
  }> {
    const storage = new MemoryStorage();
    const opened = await openTestRepository(storage);
    const files: ModelFiles = new Map([
      ['a', pages(300)],
      ['b', Buffer.from('small')],
    ]);
    await storeFiles(opened.repository, files, { backupId: testBackupId(1) });
    return { ...opened, storage };
  }

  it('never restores a wrong byte: any flipped bit is found, and the object is named', async () => {
    const { storage, repository } = await stored();
    await using _ = repository;
    for (const part of ['/packs/', '/maps/', '/manifest']) {
      const name = [...storage.objects.keys()].find((candidate) => candidate.includes(part)) ?? '';
      const whole = storage.objects.get(name) ?? Buffer.alloc(0);
      const places = [
        0,
        9,
        13,
        60,
        70,
        Math.floor(whole.length / 2),
        whole.length - 30,
        whole.length - 3,
      ];
      for (const place of places) {
        const damaged = Buffer.from(whole);
        damaged[place] = (damaged[place] ?? 0) ^ 1;
        storage.objects.set(name, damaged);
        // A key id that was altered names a key that does not exist: that object is named then.
        await assert.rejects(
          restore(repository, 1),
          (error) => {
            const kinds =
              isErrorKind(error, 'repository-damaged') || isErrorKind(error, 'not-found');
            return kinds && (error.message.includes(name) || error.message.includes('keys/'));
          },
          `${name} at ${place}`,
        );
      }
      storage.objects.set(name, whole);
    }
    await restore(repository, 1);
  });

  it('names a pack, map or manifest that is missing or cut short', async () => {
    const { storage, repository } = await stored();
    await using _ = repository;
    for (const [name, whole] of [...storage.objects]) {
      if (!name.includes('/backups/')) continue;
      storage.objects.set(name, whole.subarray(0, whole.length - 10));
      await assert.rejects(
        restore(repository, 1),
        (error) => isErrorKind(error, 'repository-damaged') && error.message.includes(name),
      );
      storage.objects.delete(name);
      await assert.rejects(
        restore(repository, 1),
        (error) => error instanceof Error && error.message.includes(name),
      );
      storage.objects.set(name, whole);
    }
  });

  it('does not take one object for another', async () => {
    const { storage, repository } = await stored();
    await using _ = repository;
    await storeFiles(repository, new Map([['a', pages(300)]]), { backupId: testBackupId(2) });
    const packs = [...storage.objects.keys()].filter((name) => name.includes('/packs/'));
    const [first = '', second = ''] = packs;
    const a = storage.objects.get(first) ?? Buffer.alloc(0);
    const b = storage.objects.get(second) ?? Buffer.alloc(0);
    storage.objects.set(first, b).set(second, a);
    await assert.rejects(restore(repository, 1), (e) => isErrorKind(e, 'repository-damaged'));
  });

  it('refuses a wrong key, another owner and a newer format', async () => {
    const { storage, masterKey } = await stored();
    const rest = {
      storage,
      expectedId: null,
      random: systemRandom,
      now: new Date(0),
      signal: never,
    };
    await assert.rejects(
      openRepository({ ...rest, masterKey: MasterKey.generate(), ownerId: 'test-owner' }),
      (error) => isErrorKind(error, 'invalid') && error.hint?.includes(masterKey.id) === true,
    );
    await assert.rejects(openRepository({ ...rest, masterKey, ownerId: 'someone-else' }), (error) =>
      isErrorKind(error, 'conflict'),
    );
    const marker = storage.objects.get('repository.json')?.toString() ?? '';
    storage.objects.set(
      'repository.json',
      Buffer.from(marker.replace('"format": 1', '"format": 2')),
    );
    await assert.rejects(
      openRepository({ ...rest, masterKey, ownerId: null }),
      (error) => isErrorKind(error, 'repository-damaged') && error.message.includes('format 2'),
    );
  });

  it('takes neither another repository nor none for the one that is expected', async () => {
    const { masterKey, storage } = await stored();
    const rest = { masterKey, random: systemRandom, now: new Date(0), signal: never };
    const expected = { ...rest, ownerId: 'test-owner', expectedId: 'f00d' };
    await assert.rejects(
      openRepository({ ...expected, storage }),
      (error) => isErrorKind(error, 'storage-unavailable') && error.message.includes('not f00d'),
    );
    const unmounted = new MemoryStorage();
    await assert.rejects(openRepository({ ...expected, storage: unmounted }), (error) =>
      isErrorKind(error, 'storage-unavailable'),
    );
    assert.equal(unmounted.objects.size, 0, 'a repository was begun in the wrong place');
  });

  it('keeps no readable trace of the data', async () => {
    const { storage, repository } = await openTestRepository();
    await using _ = repository;
    const text = Buffer.alloc(page, 'the secret of the customer ');
    await storeFiles(repository, new Map([['a', text]]), { backupId: testBackupId(1) });
    for (const [name, bytes] of (storage as MemoryStorage).objects) {
      assert.equal(bytes.includes('secret of the customer'), false, name);
    }
  });
});
