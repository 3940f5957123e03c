// A backup that takes several attempts: what an attempt has finished is not stored again, and
// wherever an attempt dies, the backup restores in the end (rule 1).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import type { CommittedBackup, Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  extractAll,
  never,
  openTestRepository,
  pushFiles,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';
import { until } from './fixtures/until.ts';
import type { FaultMethod } from './model/faulty-storage.ts';
import { FaultyStorage } from './model/faulty-storage.ts';
import { Seeded } from './model/seeded.ts';

const backupId = testBackupId(2);
const previousBackupId = testBackupId(1);
const pageSizeBytes = 512;
const mebibyte = 1024 * 1024;
const fileCount = 4;
/** A checkpoint after each batch in which a part has ended. */
const objectSizes = { packBytes: mebibyte, mapsBytes: 64 * 1024, checkpointBytes: mebibyte };
const isCheckpoint = (name: string): boolean => name.includes('/checkpoints/');

class Scene {
  readonly objects = new MemoryStorage();
  readonly masterKey = MasterKey.generate();

  get names(): string[] {
    const folder = `/${backupId}/`;
    return [...this.objects.objects.keys()].filter((name) => name.includes(folder)).sort();
  }

  get isCommitted(): boolean {
    return this.names.some((name) => name.endsWith('/manifest'));
  }

  /** A process of its own: opens the repository, and dies with it. */
  async run<T>(work: (repository: Repository) => Promise<T>, storage = this.faulty()): Promise<T> {
    const opened = await openTestRepository(storage, this.masterKey, { objectSizes });
    try {
      return await work(opened.repository);
    } finally {
      await opened.repository[Symbol.asyncDispose]();
    }
  }

  faulty(): FaultyStorage {
    return new FaultyStorage(this.objects);
  }

  async attempt(files: ModelFiles, previous = false, storage = this.faulty()) {
    const options = { backupId, previousBackupId: previous ? previousBackupId : null };
    return await this.run(
      (repository) => storeFiles(repository, files, { ...options, pageSizeBytes }),
      storage,
    );
  }

  /** A process that dies at the given call; true when it came so far. */
  async dieAt(method: FaultMethod, call: number, files: ModelFiles): Promise<boolean> {
    const storage = this.faulty();
    storage.arm({ kind: 'crash', method, call });
    await this.attempt(files, true, storage).catch((error: unknown) => {
      if (!storage.hasFired) throw error;
    });
    return storage.hasFired;
  }

  /** An attempt that is given up once it has written a checkpoint of all that it has stored. */
  async giveUp(
    files: ModelFiles,
    end: {
      readonly discard?: () => Promise<void>;
      readonly meanwhile?: () => void;
      /** Of these files nothing new is stored. */
      readonly known?: readonly string[];
    } = {},
  ): Promise<void> {
    await this.run(async (repository) => {
      await using writer = await repository.openWriter({
        ...{ instanceId: testInstanceId, backupId, previousBackupId },
        ...{ now: new Date(0), signal: never, log: silentLogger },
      });
      let expected = this.names.filter(isCheckpoint).length;
      for (const file of files) {
        await pushFiles(writer, new Map([file]), { pageSizeBytes });
        if (!end.known?.includes(file[0])) expected++;
        await until('the file is in a checkpoint', () => {
          return this.names.filter(isCheckpoint).length === expected;
        });
      }
      end.meanwhile?.();
      if (end.discard) await writer.discard({ assertLease: end.discard });
    });
  }

  async assertRestores(files: ModelFiles): Promise<void> {
    await this.run(async (repository) => {
      const reader = await repository.openReader(testInstanceId, backupId, never);
      const found = await extractAll(reader);
      assert.deepEqual([...found.keys()].sort(), [...files.keys()].sort());
      for (const [path, bytes] of files) assert.ok(found.get(path)?.equals(bytes), path);
    });
  }
}

/** Files of one batch and one part each, so that parts end often. */
function makeFiles(): ModelFiles {
  const entries = Array.from(
    { length: fileCount },
    (_, i) => [`base/${i}`, randomBytes(mebibyte)] as const,
  );
  return new Map(entries);
}

/** The server goes on between attempts. */
function changeFiles(files: ModelFiles, seeded: Seeded): ModelFiles {
  const changed: ModelFiles = new Map();
  for (const [path, bytes] of files) {
    const copy = Buffer.from(bytes.subarray(0, bytes.length - seeded.below(3) * pageSizeBytes));
    for (let i = 0; i < 20; i++) {
      const at = seeded.below(2000) * pageSizeBytes;
      if (seeded.isOneIn(3)) copy.fill(0, at, at + pageSizeBytes);
      else copy.fill(seeded.below(256), at, at + pageSizeBytes);
    }
    changed.set(path, copy);
  }
  return changed;
}

async function newBytes(attempt: Promise<CommittedBackup>): Promise<number> {
  return (await attempt).totals.newBytes;
}

describe('the next attempt at a backup', () => {
  it('stores only what the one before has not finished', async () => {
    const scene = new Scene();
    const files = makeFiles();
    await scene.giveUp(files);
    const kept = scene.names;
    assert.ok(
      kept.some((name) => name.includes('/packs/')),
      'its packs are gone',
    );
    assert.equal(await newBytes(scene.attempt(files)), 0);
    await scene.assertRestores(files);
    assert.deepEqual(scene.names.filter(isCheckpoint), [], 'a checkpoint is left');
  });

  it('also refers to the previous backup, and to what two attempts have finished', async () => {
    const scene = new Scene();
    const files = [...makeFiles()];
    const [old = '', first = '', second = '', third = ''] = files.map(([path]) => path);
    const part = (...paths: string[]): ModelFiles =>
      new Map(files.filter(([path]) => paths.includes(path)));
    const previous = { backupId: previousBackupId, pageSizeBytes };
    await scene.run((repository) => storeFiles(repository, part(old), previous));
    await scene.giveUp(part(old, first), { known: [old] });
    await scene.giveUp(part(old, first, second), { known: [old, first] });
    const all = part(old, first, second, third);
    assert.equal(await newBytes(scene.attempt(all, true)), mebibyte);
    await scene.assertRestores(all);
  });

  it('ignores a damaged checkpoint and one whose packs are gone', async () => {
    const files = makeFiles();
    for (const which of ['/checkpoints/', '/packs/']) {
      const scene = new Scene();
      await scene.giveUp(files);
      for (const name of scene.names.filter((found) => found.includes(which))) {
        if (which === '/packs/') scene.objects.objects.delete(name);
        else scene.objects.objects.get(name)?.fill(1, 100, 120);
      }
      assert.equal(await newBytes(scene.attempt(files)), fileCount * mebibyte);
      await scene.assertRestores(files);
    }
  });

  it('does not take a checkpoint for that of another backup', async () => {
    const scene = new Scene();
    const files = makeFiles();
    await scene.giveUp(files);
    for (const name of scene.names.filter(isCheckpoint)) {
      const bytes = scene.objects.objects.get(name) ?? Buffer.alloc(0);
      const moved = name.replace(backupId, testBackupId(3));
      scene.objects.objects.set(moved, bytes);
    }
    const third = { backupId: testBackupId(3), pageSizeBytes };
    const stored = scene.run((repository) => storeFiles(repository, files, third));
    assert.equal(await newBytes(stored), fileCount * mebibyte);
  });
});

describe('an attempt that is given up', () => {
  it('keeps what a checkpoint names, and nothing else', async () => {
    const scene = new Scene();
    await scene.giveUp(makeFiles());
    const before = scene.names.length;
    // A backup of nothing names nothing: everything is left over, and goes with its commit.
    assert.ok(before > 2);
    await scene.attempt(new Map());
    assert.deepEqual(scene.names, [scene.names.find((name) => name.endsWith('/manifest'))]);
  });

  it('leaves nothing when no attempt will follow', async () => {
    const scene = new Scene();
    await scene.giveUp(makeFiles(), { discard: async () => undefined });
    assert.deepEqual(scene.names, []);
  });

  it('takes nothing away when it has lost its lease, or the backup is there', async () => {
    const scene = new Scene();
    const lost = async (): Promise<void> => {
      throw new CairnError('conflict', 'the lease has run out');
    };
    await scene.giveUp(makeFiles(), { discard: lost });
    assert.ok(scene.names.some((name) => name.includes('/packs/')));
    const manifest = `instances/${testInstanceId}/backups/${backupId}/manifest`;
    await scene.giveUp(makeFiles(), {
      discard: async () => undefined,
      meanwhile: () => scene.objects.objects.set(manifest, Buffer.from('of another attempt')),
    });
    assert.ok(scene.names.some((name) => name.includes('/packs/')));
  });
});

describe('attempts that die', () => {
  const methods = ['openWriter', 'write', 'publish', 'flush', 'createExclusive', 'list'] as const;
  for (const method of methods) {
    it(`at every ${method}: the last one restores, and leaves nothing over`, async () => {
      let count = 0;
      // Writes are many and alike.
      for (let call = 0; ; call += method === 'write' ? 3 : 1) {
        const scene = new Scene();
        const seeded = new Seeded(call);
        let files = makeFiles();
        const previous = { backupId: previousBackupId, pageSizeBytes };
        await scene.run((repository) => storeFiles(repository, files, previous));
        files = changeFiles(makeFiles(), seeded);
        if (!(await scene.dieAt(method, call, files))) break;
        count++;
        // The attempt that writes the manifest is the last one, even when it dies afterwards.
        if (!scene.isCommitted) {
          files = changeFiles(files, seeded);
          await scene.dieAt(seeded.pick(methods), seeded.below(12), files);
        }
        if (!scene.isCommitted) {
          files = changeFiles(files, seeded);
          await scene.attempt(files, true);
          assert.deepEqual(scene.names.filter(isCheckpoint), []);
        }
        await scene.assertRestores(files);
      }
      assert.ok(count > 0, 'no attempt died');
    });
  }
});
