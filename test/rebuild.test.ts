import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { silentLogger } from '../src/platform/logger.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import type { Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import { freshPostgresOpener, openFreshSqlite } from './fixtures/catalogs.ts';
import type { TestServer } from './fixtures/postgres-server.ts';
import { startPostgres } from './fixtures/postgres-server.ts';
import type { TestRepository } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  pushFiles,
  storeFiles,
  testBackupId,
  testFacts,
  testInstanceId,
} from './fixtures/repositories.ts';
import { rebuildSuite } from './suites/rebuild-suite.ts';

let started: TestServer | null = null;
before(async () => {
  started = await startPostgres({ version: '18' });
});
after(async () => {
  await started?.[Symbol.asyncDispose]();
});

rebuildSuite('sqlite', openFreshSqlite);
rebuildSuite(
  'postgresql',
  freshPostgresOpener(() => started ?? assert.fail('the server did not start')),
);

const files = new Map([['base/1', Buffer.alloc(30_000, 1)]]);
const isNotOurs = { kind: 'conflict', message: /belongs to another Cairn/ };
const lease = { assertLease: async () => undefined, signal: never };

async function openAs(ownerId: string | null, of: TestRepository): Promise<Repository> {
  const { storage, masterKey } = of;
  return await openRepository({
    ...{ storage, masterKey, ownerId, expectedId: null, random: systemRandom },
    ...{ now: new Date(0), signal: never, threadCount: 1 },
  });
}

describe('who takes over a repository', () => {
  const allowed = { isAllowed: true, now: new Date(0), signal: never };

  test('must say so, and does it once', async () => {
    const first = await openTestRepository(new MemoryStorage());
    const reading = await openAs(null, first);
    const refused = reading.takeOver('second', { ...allowed, isAllowed: false });
    await assert.rejects(refused, isNotOurs);
    await reading.takeOver('test-owner', { ...allowed, isAllowed: false });
    await reading.takeOver('second', allowed);
    await reading.takeOver('second', { ...allowed, isAllowed: false });
    const { objects } = first.storage as MemoryStorage;
    const owners = [...objects.keys()].filter((name) => name.startsWith('owners/'));
    assert.deepEqual(owners, ['owners/000001.json']);
    await assert.rejects(openAs('test-owner', first), isNotOurs);
    assert.equal((await openAs('second', first)).id, first.repository.id);
  });

  test('shuts out the Cairn before, whatever that is about to do', async () => {
    const first = await openTestRepository(new MemoryStorage());
    const { repository } = first;
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    await using writer = await repository.openWriter({
      ...{ instanceId: testInstanceId, backupId: testBackupId(2), previousBackupId: null },
      ...{ now: new Date(0), signal: never, log: silentLogger },
    });
    await pushFiles(writer, files);
    await (await openAs(null, first)).takeOver('second', allowed);
    const { objects } = first.storage as MemoryStorage;
    const manifests = (): string[] => [...objects.keys()].filter((name) => /manifest$/.test(name));
    const before = manifests();
    await assert.rejects(writer.commit(testFacts()), isNotOurs);
    await assert.rejects(
      repository.deleteBackup(testInstanceId, testBackupId(1), lease),
      isNotOurs,
    );
    const pack = [...objects.keys()].find((name) => /packs/.test(name)) ?? '';
    const prune = repository.removeUnneeded(testInstanceId, [{ name: pack, sizeBytes: 1 }], lease);
    await assert.rejects(prune, isNotOurs);
    await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(3) }), isNotOurs);
    assert.deepEqual(manifests(), before);
    assert.ok(objects.has(pack));
    const second = await openAs('second', first);
    await storeFiles(second, files, { backupId: testBackupId(4) });
    await second.deleteBackup(testInstanceId, testBackupId(1), lease);
  });

  test('loses against another that does so at the same moment', async () => {
    const first = await openTestRepository(new MemoryStorage());
    const { storage } = first;
    const list = storage.list.bind(storage);
    let racing = 0;
    const both = Promise.withResolvers<void>();
    // Both have looked before either writes.
    storage.list = async function* (prefix, signal) {
      yield* list(prefix, signal);
      if (prefix !== 'owners/' || racing === 2) return;
      if (++racing === 2) both.resolve();
      await both.promise;
    };
    const [one, two] = [await reader(first, list), await reader(first, list)];
    const results = await Promise.allSettled([
      one.takeOver('one', allowed),
      two.takeOver('two', allowed),
    ]);
    const failures = results.filter(({ status }) => status === 'rejected');
    assert.equal(failures.length, 1, JSON.stringify(results));
  });
});

/** Opened past the gate of the race. */
async function reader(first: TestRepository, list: MemoryStorage['list']): Promise<Repository> {
  const { storage } = first;
  const gated = storage.list;
  storage.list = list;
  const repository = await openAs(null, first);
  storage.list = gated;
  return repository;
}
