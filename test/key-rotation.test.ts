// A new data key: what comes is sealed with it, what is there stays readable.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { decodeHeader } from '../src/repository/format.ts';
import type { Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles, TestRepository } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const now = new Date(0);

async function openScene(): Promise<
  TestRepository & { storage: MemoryStorage; files: ModelFiles }
> {
  const storage = new MemoryStorage();
  const opened = await openTestRepository(storage);
  const files: ModelFiles = new Map([['base/1', randomBytes(100_000)]]);
  await storeFiles(opened.repository, files, { backupId: testBackupId(1) });
  return { ...opened, storage, files };
}

const rotate = async (repository: Repository): Promise<string> =>
  (await repository.rotateKey(testInstanceId, now, never)).keyId;

/** The keys that the objects of a backup name. */
function keysOf({ objects }: MemoryStorage, number: number): ReadonlySet<string> {
  const own = [...objects].filter(([name]) => name.includes(`/backups/${testBackupId(number)}/`));
  return new Set(own.map(([name, bytes]) => decodeHeader(bytes, name).keyId));
}

describe('a rotated data key', () => {
  test('seals what comes; what is there stays readable, also where both are needed', async () => {
    const { storage, masterKey, repository, files } = await openScene();
    assert.equal(await rotate(repository), `${testInstanceId}.2`);
    files.set('base/2', randomBytes(50_000));
    const previousBackupId = testBackupId(1);
    await storeFiles(repository, files, { backupId: testBackupId(2), previousBackupId });
    assert.deepEqual([...keysOf(storage, 1)], [`${testInstanceId}.1`]);
    assert.deepEqual([...keysOf(storage, 2)], [`${testInstanceId}.2`]);
    const other = (await openTestRepository(storage, masterKey)).repository;
    for (const reading of [repository, other]) {
      const reader = await reading.openReader(testInstanceId, testBackupId(2), never);
      assert.deepEqual(await extractAll(reader), files);
    }
    await storeFiles(other, files, { backupId: testBackupId(3) });
    assert.deepEqual([...keysOf(storage, 3)], [`${testInstanceId}.2`], 'another process knows it');
    const readData = { percent: 100, seed: '' };
    const { findings, counts } = await repository.check({
      ...{ instanceIds: [testInstanceId], readData, onProgress: () => undefined, signal: never },
    });
    assert.deepEqual([findings, counts.keys], [[], 2]);
  });

  test('comes before the first backup, many times, and after the ninth in order', async () => {
    const storage = new MemoryStorage();
    const { repository } = await openTestRepository(storage);
    for (let number = 1; number <= 11; number++) {
      assert.equal(await rotate(repository), `${testInstanceId}.${number}`);
    }
    const files: ModelFiles = new Map([['base/1', randomBytes(9000)]]);
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    assert.deepEqual([...keysOf(storage, 1)], [`${testInstanceId}.11`]);
  });

  test('is one, when several ask at the same moment', async () => {
    const { storage, masterKey, repository } = await openScene();
    const other = (await openTestRepository(storage, masterKey)).repository;
    const ids = await Promise.all([rotate(repository), rotate(other), rotate(repository)]);
    assert.ok(new Set(ids).size <= 3);
    const newest = ids.toSorted().at(-1) ?? '';
    const files: ModelFiles = new Map([['base/1', randomBytes(9000)]]);
    for (const [number, writing] of [repository, other].entries()) {
      await storeFiles(writing, files, { backupId: testBackupId(number + 5) });
      assert.deepEqual([...keysOf(storage, number + 5)], [newest]);
    }
    for (const number of [5, 6]) {
      const reader = await other.openReader(testInstanceId, testBackupId(number), never);
      assert.deepEqual(await extractAll(reader), files);
    }
  });

  test('is never made under the name of one that is lost', async () => {
    const { storage, masterKey, repository, files } = await openScene();
    await rotate(repository);
    await storeFiles(repository, files, { backupId: testBackupId(2) });
    const lost = `keys/${testInstanceId}.2.json`;
    storage.objects.delete(lost);
    const { repository: later } = await openTestRepository(storage, masterKey);
    for (const asked of [later, repository]) {
      await assert.rejects(rotate(asked), (error: Error) => error.message.includes(lost));
    }
    assert.equal(storage.objects.has(lost), false);
  });
});
