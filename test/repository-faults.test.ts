// Faults around the repository: threads that die, storage that hangs, fills up or is exchanged,
// keys that vanish. Nothing is completed that cannot be restored, and nothing is left open.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrorKind } from '../src/model/errors.ts';
import { silentLogger } from '../src/platform/logger.ts';
import type { RepositoryWriter } from '../src/repository/repository.ts';
import type { ThreadTask } from '../src/repository/thread-pool.ts';
import { ThreadPool } from '../src/repository/thread-pool.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles, TestRepository } from './fixtures/repositories.ts';
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

const files: ModelFiles = new Map([['a', randomBytes(2_000_000)]]);
const lease = { assertLease: async (): Promise<void> => undefined, signal: never };

async function openMemory(): Promise<Omit<TestRepository, 'storage'> & { storage: MemoryStorage }> {
  const storage = new MemoryStorage();
  return { ...(await openTestRepository(storage)), storage };
}

async function openWriter(
  { repository }: Pick<TestRepository, 'repository'>,
  signal = never,
): Promise<RepositoryWriter> {
  return await repository.openWriter({
    ...{ instanceId: testInstanceId, backupId: testBackupId(1), previousBackupId: null },
    ...{ now: new Date(0), signal, log: silentLogger },
  });
}

function isDamage(error: unknown): boolean {
  return isErrorKind(error, 'repository-damaged');
}

describe('a page thread that dies', () => {
  it('fails every task, and only when no thread can write any more', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-thread-'));
    const path = join(folder, 'file');
    const file = await open(path, 'wx');
    await using pool = new ThreadPool(2, new URL('./fixtures/dying-thread.ts', import.meta.url));
    const rest = { key: new Uint8Array(32), frame: 0, name: 'pack' };
    const frames = [{ writes: [{ descriptor: file.fd }] }] as never;
    const write: ThreadTask = { kind: 'write', sealed: new Uint8Array(1), frames, ...rest };
    const buffer = new ArrayBuffer(8);
    const seal: ThreadTask = { kind: 'seal', buffer, lengthBytes: 8, level: 3, ...rest };
    const tasks = await Promise.allSettled([pool.run(write, []), pool.run(seal, [])]);
    assert.deepEqual(
      tasks.map((task) => task.status === 'rejected' && isErrorKind(task.reason, 'bug')),
      [true, true],
    );
    const { size } = await stat(path);
    await delay(500);
    assert.equal((await stat(path)).size, size, 'written after the task had failed');
    assert.ok(pool.hasFailed);
    await assert.rejects(pool.run(seal, []), /a page thread died: out of memory/);
    await file.close();
    await rm(folder, { recursive: true });
  });
});

describe('what makes a backup readable', () => {
  it('is looked for before the commit: no key, no backup', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    const { storage } = opened;
    await storeFiles(repository, files, { backupId: testBackupId(2) });
    const name = `keys/${testInstanceId}.1.json`;
    const key = storage.objects.get(name) ?? Buffer.alloc(0);
    storage.objects.delete(name);
    // The process has the key in memory still: for it alone the backup would be readable.
    await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(1) }), /keys/);
    assert.equal(await repository.findBackup(testInstanceId, testBackupId(1), never), null);
    storage.objects.set(name, key);
    await storeFiles(repository, files, { backupId: testBackupId(1) });
  });

  it('is durable before it counts, also when another process wrote it', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    const { storage } = opened;
    const flushed: string[] = [];
    const flush = storage.flush.bind(storage);
    storage.flush = async (names, signal) => {
      flushed.push(...names);
      await flush(names, signal);
    };
    await storeFiles(repository, files, { backupId: testBackupId(1) });
    const isManifest = (name: string): boolean => name.endsWith('/manifest');
    assert.ok(flushed.includes(`keys/${testInstanceId}.1.json`));
    assert.ok(!flushed.some(isManifest));
    await repository.findBackup(testInstanceId, testBackupId(1), never);
    assert.ok(flushed.some(isManifest));
  });

  it('is never made anew under a name that sealed something', async () => {
    const { storage, masterKey, repository } = await openMemory();
    await storeFiles(repository, files, { backupId: testBackupId(2) });
    await repository[Symbol.asyncDispose]();
    const name = `keys/${testInstanceId}.1.json`;
    storage.objects.delete(name);
    const again = await openTestRepository(storage, masterKey);
    await using _ = again.repository;
    await assert.rejects(openWriter(again), isDamage);
    assert.equal(storage.objects.has(name), false);
  });

  it('is not in a folder that another volume was mounted over', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    const { objects } = opened.storage;
    await storeFiles(repository, files, { backupId: testBackupId(2) });
    const volume = new Map(objects);
    const isAway = (error: unknown): boolean => isErrorKind(error, 'storage-unavailable');
    objects.clear();
    await assert.rejects(openWriter(opened), isAway);
    await assert.rejects(repository.deleteBackup(testInstanceId, testBackupId(2), lease), isAway);
    assert.equal(objects.size, 0);
    for (const [name, bytes] of volume) objects.set(name, bytes);
    await using writer = await openWriter(opened);
    await pushFiles(writer, files);
    objects.delete('repository.json');
    await assert.rejects(writer.commit(testFacts()), isAway);
  });
});

describe('a storage that fails', () => {
  for (const kind of ['packs', 'maps'] as const) {
    it(`is told to forget the ${kind} that it could not take whole`, async () => {
      const opened = await openMemory();
      await using repository = opened.repository;
      const { storage } = opened;
      const begun = storage.openWriter.bind(storage);
      const halfWritten = new Set<string>();
      storage.openWriter = async (name, signal) => {
        const writer = await begun(name, signal);
        halfWritten.add(name);
        const forget = (): void => void halfWritten.delete(name);
        return {
          write: async (bytes) => {
            const isEnd = Buffer.from(bytes).includes('CAIRNEND');
            if (isEnd && name.includes(`/${kind}/`)) throw new Error('no space left');
            await writer.write(bytes);
          },
          publish: () => writer.publish().then(forget),
          abort: () => writer.abort().then(forget),
        };
      };
      await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(1) }), /space/);
      assert.deepEqual([...halfWritten], []);
      assert.ok(![...storage.objects.keys()].some((name) => name.includes('backups')));
    });
  }

  it('may write the manifest after it has lost the answer, and finds its packs then', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    const { storage } = opened;
    const create = storage.createExclusive.bind(storage);
    let late: () => Promise<unknown> = () => Promise.resolve();
    storage.createExclusive = async (name, bytes, signal) => {
      if (!name.endsWith('/manifest')) return await create(name, bytes, signal);
      late = () => create(name, bytes, signal);
      throw new Error('no answer in time');
    };
    await assert.rejects(storeFiles(repository, files, { backupId: testBackupId(1) }), /no answer/);
    await late();
    const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
    assert.deepEqual(await extractAll(reader), files);
  });

  it('does not keep an aborted backup waiting', async () => {
    const opened = await openMemory();
    await using _ = opened.repository;
    const { storage } = opened;
    const begun = storage.openWriter.bind(storage);
    const hanging = Promise.withResolvers<void>();
    storage.openWriter = async (name, signal) => ({
      ...(await begun(name, signal)),
      write: () => hanging.promise,
    });
    const cancel = new AbortController();
    const writer = await openWriter(opened, cancel.signal);
    const pushing = pushFiles(writer, new Map([['a', randomBytes(40_000_000)]]));
    const reason = new Error('cancelled on request');
    setTimeout(() => cancel.abort(reason), 200);
    const late = delay(5_000, 'late', { ref: false });
    await assert.rejects(Promise.race([pushing, late]), reason);
    hanging.resolve();
    await writer[Symbol.asyncDispose]();
  });
});

describe('an extraction', () => {
  it('leaves no file open when it fails half-way', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    const { storage } = opened;
    const many: ModelFiles = new Map();
    for (let i = 0; i < 40; i++) many.set(`f${i}`, randomBytes(70_000));
    await storeFiles(repository, many, { backupId: testBackupId(1) });
    const pack = [...storage.objects.keys()].find((name) => name.includes('/packs/')) ?? '';
    const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
    await extractAll(reader);
    const openBefore = readdirSync('/proc/self/fd').length;
    storage.objects.get(pack)?.fill(0, 1_500_000, 1_600_000);
    await assert.rejects(extractAll(reader), isDamage);
    assert.equal(readdirSync('/proc/self/fd').length, openBefore);
  });

  it('hands out no program that runs as its owner', async () => {
    const opened = await openMemory();
    await using repository = opened.repository;
    await using writer = await openWriter(opened);
    const meta = { mode: 0o6755, modifiedAt: new Date(0), sizeBytes: 0, pageSizeBytes: 8192 };
    writer.beginFile({ path: 'program', ...meta });
    writer.endFile();
    await writer.commit(testFacts());
    const reader = await repository.openReader(testInstanceId, testBackupId(1), never);
    const folder = await mkdtemp(join(tmpdir(), 'cairn-mode-'));
    const targetPath = join(folder, 'program');
    const items = [{ path: 'program', targetPath }];
    await reader.extract(items, { onProgress: () => undefined, signal: never });
    assert.equal((await stat(targetPath)).mode & 0o7777, 0o755);
    await rm(folder, { recursive: true });
  });
});
