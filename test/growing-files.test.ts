// Files whose size nobody knows before their end: they interleave, are renamed, removed and begun
// anew. Whatever happens, the backup is what it would be had they come one after another.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { RepositoryWriter } from '../src/repository/repository.ts';
import type { PushOptions } from './fixtures/growing-files.ts';
import { pushInterleaved } from './fixtures/growing-files.ts';
import type { Push } from './fixtures/growing-scene.ts';
import { GrowingScene, growingMeta, openWriter, smallSizes } from './fixtures/growing-scene.ts';
import { testBackupId } from './fixtures/repositories.ts';
import { until } from './fixtures/until.ts';
import type { ModelFolder } from './model/model-files.ts';
import { Seeded } from './model/seeded.ts';

const [first, second, third] = [testBackupId(1), testBackupId(2), testBackupId(3)];
const seedCount = Number(process.env['CAIRN_GROWING_SEEDS'] ?? 3);

function send(folder: ModelFolder, manner: PushOptions['manner'], seed: number): Push {
  return (writer) => pushInterleaved(writer, folder, { seeded: new Seeded(seed), manner });
}

/** Every size that has a special case, holes, and now and then a file of a whole part or more. */
function makeFolder(seed: number): ModelFolder {
  const seeded = new Seeded(seed);
  const folder: ModelFolder = new Map();
  for (let number = 0; number < 10; number++) {
    const pageBytes = seeded.pick([512, 4096, 16_384, 65_536]);
    const more = seeded.pick([0, 0, 1, pageBytes - 1, seeded.below(pageBytes)]);
    const pages = seeded.below(12);
    const large = seed % 4 === 0 && number === 0 ? 512 * 8192 + (seed % 8) * 200 : null;
    const bytes = Buffer.alloc(large ?? pages * pageBytes + more);
    for (let at = 0; at < bytes.byteLength; at += 512) {
      const mark = Buffer.alloc(4);
      mark.writeUInt32LE(seeded.below(2 ** 32));
      if (!seeded.isOneIn(4)) bytes.subarray(at, at + 512).fill(mark);
    }
    if (seeded.isOneIn(4)) bytes.subarray(0, pageBytes).fill(0);
    bytes.subarray(-1).fill(1);
    folder.set(`base/${number}`, { bytes, pageBytes: large === null ? pageBytes : 512 });
  }
  return folder;
}

describe('files that grow', () => {
  it('are stored as they would be one after another, however their chunks come', async () => {
    for (let seed = 1; seed <= seedCount; seed++) {
      await using scene = new GrowingScene();
      const folder = makeFolder(seed);
      await scene.store(send(folder, 'wild', seed), { backupId: first });
      await scene.assertRestores(first, folder);
      await scene.assertAccounts(first);
      // The maps are the same: whatever order the next backup comes in, it shares them.
      const ids = { backupId: second, previousBackupId: first };
      const { totals } = await scene.store(send(folder, 'calm', seed + 1), ids);
      assert.equal(totals.newBytes, 0);
      assert.deepEqual(scene.objectsOf(second), []);
      await scene.store(send(folder, 'wild', seed + 2), {
        ...{ backupId: third, previousBackupId: second },
      });
      for (const id of [second, third]) await scene.assertRestores(id, folder);
      for (const id of [second, third]) await scene.assertAccounts(id);
      await scene.assertWhole();
    }
  });

  it('restore after attempts that died anywhere', async () => {
    for (let seed = 1; seed <= seedCount; seed++) {
      await using scene = new GrowingScene();
      const seeded = new Seeded(seed);
      const ids = { backupId: second, previousBackupId: first };
      await scene.store(send(makeFolder(1), 'calm', seed), { backupId: first });
      let folder: ModelFolder = new Map();
      for (let attempt = 0; !scene.has(second); attempt++) {
        // The server goes on: some files are as before, some come under the name of another.
        folder = new Map([...makeFolder(1), ...[...makeFolder(2 + attempt)].slice(seed % 8)]);
        const push = send(folder, 'wild', seed + attempt);
        if (attempt === 2) await scene.store(push, ids);
        else await scene.storeAndDie(push, ids, seeded);
      }
      await scene.assertRestores(second, folder);
      await scene.assertAccounts(second);
      await scene.assertWhole();
    }
  });

  it('are taken over by the next attempt up to their last whole part', async () => {
    await using scene = new GrowingScene();
    const bytes = randomBytes(512 * (8192 + 300));
    const repository = await scene.open();
    await using writer = await openWriter(repository, { backupId: first });
    const file = writer.beginGrowing({ ...growingMeta, path: 'ib_logfile0' });
    await file.write(bytes.subarray(0, 512 * 8192 + 1000));
    writer.beginGrowing({ ...growingMeta, path: 'other' });
    await until('the first part is in a checkpoint', () =>
      scene.objectsOf(first).some((name) => name.includes('/checkpoints/')),
    );
    await writer[Symbol.asyncDispose]();
    const folder = new Map([['ib_logfile0', { bytes, pageBytes: 512 }]]);
    const { totals } = await scene.store(send(folder, 'calm', 1), { backupId: first });
    assert.equal(totals.newBytes, 512 * 300);
    await scene.assertRestores(first, folder);
    await scene.assertWhole();
  });

  it('are not stored when they go before anybody has looked at them', async () => {
    await using scene = new GrowingScene();
    const bytes = randomBytes(700);
    const push = async (writer: RepositoryWriter): Promise<void> => {
      const gone = writer.beginGrowing({ ...growingMeta, path: 'a' });
      await gone.write(randomBytes(5000));
      gone.abandon();
      const file = writer.beginGrowing({ ...growingMeta, path: 'a' });
      await file.write(bytes);
      file.end();
    };
    const { totals } = await scene.store(push, { backupId: first });
    assert.equal(totals.newBytes, 700);
    await scene.assertRestores(first, new Map([['a', { bytes, pageBytes: 512 }]]));
  });

  it('leave nothing of what was removed, abandoned or replaced', async () => {
    await using scene = new GrowingScene();
    const kept = randomBytes(700);
    const { totals } = await scene.store(
      async (writer) => {
        for (const path of ['removed', 'replaced', 'abandoned']) {
          const file = writer.beginGrowing({ ...growingMeta, path });
          await file.write(randomBytes(2_000_000));
          if (path === 'abandoned') file.abandon();
          else file.end();
        }
        await until('the maps of two of them are stored', () => {
          return scene.objectsOf(first).filter((name) => name.includes('/maps/')).length === 2;
        });
        const file = writer.beginGrowing({ ...growingMeta, path: 'new' });
        await file.write(kept);
        file.end();
        assert.ok(writer.removeFile('removed'));
        assert.ok(writer.renameFile('new', 'replaced'));
      },
      { backupId: first },
    );
    assert.equal(totals.logicalBytes, 700);
    assert.equal(totals.fileCount, 1);
    await scene.assertRestores(first, new Map([['replaced', { bytes: kept, pageBytes: 512 }]]));
    await scene.assertAccounts(first);
    await scene.assertWhole();
  });

  it('are in a checkpoint once at most, as what they are now', async () => {
    await using scene = new GrowingScene({ ...smallSizes, checkpointBytes: 4_700_000 });
    await using writer = await openWriter(await scene.open(), { backupId: first });
    const push = async (path: string): Promise<void> => {
      const file = writer.beginGrowing({ ...growingMeta, path });
      await file.write(randomBytes(1_500_000));
      file.end();
    };
    await push('a');
    await push('b');
    await until('the map is stored', () => {
      return scene.objectsOf(first).some((name) => name.includes('/maps/'));
    });
    writer.removeFile('a');
    await push('a');
    writer.renameFile('a', 'c');
    await push('d');
    const found = await until('there is a checkpoint', () => scene.checkpoints(first));
    const paths = found.flatMap(({ files }) => files.map(({ path }) => path));
    assert.deepEqual(paths.toSorted(), ['b', 'c']);
  });

  it('are compared with the file that they will replace', async () => {
    await using scene = new GrowingScene();
    const bytes = randomBytes(20_000);
    const table = new Map([['shop/t.ibd', { bytes, pageBytes: 512 }]]);
    await scene.store(send(table, 'calm', 1), { backupId: first });
    const { totals } = await scene.store(
      async (writer) => {
        const path = 'shop/t.new';
        const file = writer.beginGrowing({ ...growingMeta, path, comparedWith: 'shop/t.ibd' });
        await file.write(bytes);
        file.end();
      },
      { backupId: second, previousBackupId: first },
    );
    assert.equal(totals.newBytes, 0);
    await scene.assertRestores(second, new Map([['shop/t.new', { bytes, pageBytes: 512 }]]));
  });
});
