// A second copy: complete or not there, never mistaken for the repository, and enough to restore.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { openRepository } from '../src/repository/open-repository.ts';
import { LocalStorage } from '../src/storage/local.ts';
import {
  assertNoHalf,
  assertRestores,
  backUp,
  copyAll,
  copyOf,
  everything,
  first,
  kindIs,
  manifestsOf,
  NamedMemory,
  openSource,
  packOf,
  second,
  third,
  withScene,
} from './fixtures/copies.ts';
import { never, testInstanceId } from './fixtures/repositories.ts';
import { mountSmallDisk, skipWithoutRoot } from './fixtures/small-disk.ts';
import { FaultyStorage, faultMethods } from './model/faulty-storage.ts';

describe('a copy of the repository', () => {
  it('restores byte for byte with the key alone, and a second copy has nothing to do', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await backUp(scene.repository, second, 2);
      const seen: number[] = [];
      const report = await copyAll(scene, {
        onProgress: ({ doneBytes, totalBytes }) => {
          assert.ok(doneBytes <= totalBytes);
          seen.push(doneBytes);
        },
      });
      assert.deepEqual(report.copied, [second, first]);
      assert.deepEqual([report.failed, report.skipped, report.removed], [[], [], []]);
      const bytes = [...scene.target.objects].reduce(
        (sum, [name, object]) => sum + (name.startsWith('instances/') ? object.byteLength : 0),
        0,
      );
      assert.equal(report.bytes, bytes);
      assert.ok((seen.at(-1) ?? 0) > 800_000);
      await assertRestores(scene, [
        [first, 1],
        [second, 2],
      ]);
      const again = await copyAll(scene);
      assert.deepEqual([again.copied, again.present, again.objects, again.bytes], [[], 2, 0, 0]);
      await backUp(scene.repository, third, 3);
      const more = await copyAll(scene);
      assert.deepEqual([more.copied, more.present], [[third], 2]);
      await assertRestores(scene, [
        [first, 1],
        [second, 2],
        [third, 3],
      ]);
    });
  });

  it('goes from folder to folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-copy-'));
    try {
      const source = await LocalStorage.open(join(folder, 'source'), systemRandom);
      const target = await LocalStorage.open(join(folder, 'target'), systemRandom);
      const masterKey = MasterKey.generate();
      await using repository = await openSource(source, masterKey);
      await backUp(repository, first, 1);
      await copyAll({ source, target, masterKey });
      await backUp(repository, second, 2);
      await copyAll({ source, target, masterKey });
      await rm(join(folder, 'source'), { recursive: true });
      await assertRestores({ target, masterKey }, [
        [first, 1],
        [second, 2],
      ]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('is never written to as if it were the repository, unless it was promoted', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await copyAll(scene);
      const { target: storage, masterKey } = scene;
      const open = (ownerId: string | null) =>
        openRepository({
          ...{ storage, masterKey, ownerId, expectedId: null, random: systemRandom },
          ...{ now: new Date(0), signal: never },
        });
      for (const owner of ['catalog', 'other']) {
        await assert.rejects(open(owner), kindIs('conflict', /is the copy of a repository/));
      }
      await using copy = await open(null);
      assert.equal(copy.id, scene.repository.id);
      await copy.takeOver('catalog', { isAllowed: true, now: new Date(0), signal: never });
      await using promoted = await open('catalog');
      assert.equal(promoted.id, scene.repository.id);
      await assert.rejects(copyAll(scene), kindIs('conflict', /was promoted/));
    });
  });

  it('is refused where another repository is, or the repository itself', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      const { source, masterKey } = scene;
      await assert.rejects(
        copyAll({ source, target: source, masterKey }),
        kindIs('conflict', /is the repository itself/),
      );
      const alias = new NamedMemory('alias');
      for (const [name, bytes] of source.objects) alias.objects.set(name, bytes);
      const before = new Map(alias.objects);
      const ofAlias = { source, target: alias, masterKey };
      await assert.rejects(copyAll(ofAlias), kindIs('conflict', /is the repository itself/));
      assert.deepEqual(alias.objects, before);
      const other = new NamedMemory('other');
      await using _ = await openSource(other, masterKey);
      await assert.rejects(
        copyAll({ source, target: other, masterKey }),
        kindIs('conflict', /holds repository .*, not /),
      );
      const headless = new NamedMemory('headless');
      headless.objects.set('keys/x.json', Buffer.from('{}'));
      await assert.rejects(
        copyAll({ source, target: headless, masterKey }),
        kindIs('conflict', /but no repository.json/),
      );
      assert.equal(headless.objects.size, 1);
    });
  });

  it('is not begun anew where it should be', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      const copy = await copyOf(scene, false);
      const expected = kindIs('storage-unavailable', /does not hold the copy/);
      await assert.rejects(copy.copyInstance(testInstanceId, everything), expected);
      await assert.rejects(copy.listCopies(null, never), expected);
      assert.equal(scene.target.objects.size, 0);
      assert.deepEqual(await (await copyOf(scene)).listCopies(null, never), []);
    });
  });
});

describe('what is wrong at the source', () => {
  for (const damage of ['lost', 'changed', 'cut'] as const) {
    it(`a ${damage} pack costs its backups, by name, and no other`, async () => {
      await withScene(async (scene) => {
        await backUp(scene.repository, first, 1);
        await backUp(scene.repository, second, 2);
        const name = packOf(scene.source, second);
        const bytes = Buffer.from(scene.source.objects.get(name) ?? assert.fail());
        bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
        if (damage === 'lost') scene.source.objects.delete(name);
        if (damage === 'changed') scene.source.objects.set(name, bytes);
        if (damage === 'cut') scene.source.objects.set(name, bytes.subarray(0, 5000));
        const report = await copyAll(scene);
        assert.deepEqual(report.copied, [first]);
        const [failed] = report.failed;
        assert.equal(failed?.backupId, second);
        assert.ok(failed.error.message.includes(name), failed.error.message);
        assert.ok(!scene.target.objects.has(name));
        assert.deepEqual(manifestsOf(scene.target).length, 1);
        await assertRestores(scene, [[first, 1]]);
      });
    });
  }

  it('a damaged manifest costs its backup only', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await backUp(scene.repository, second, 2);
      const name = manifestsOf(scene.source).find((each) => each.includes(second)) ?? '';
      const bytes = Buffer.from(scene.source.objects.get(name) ?? assert.fail());
      // In its file table: the header can still be read.
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 300) ^ 1, bytes.length - 300);
      scene.source.objects.set(name, bytes);
      const report = await copyAll(scene, { removeGone: true });
      assert.deepEqual([report.copied, report.failed[0]?.backupId], [[first], second]);
      assert.ok(!scene.target.objects.has(name));
    });
  });

  it('a backup that is deleted meanwhile is skipped', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await backUp(scene.repository, second, 2);
      let deleted = false;
      const report = await copyAll(scene, {
        onProgress: () => {
          // The first look at the older one: the newer is done.
          if (deleted || manifestsOf(scene.target).length === 0) return;
          deleted = true;
          for (const name of [...scene.source.objects.keys()]) {
            if (name.includes(first)) scene.source.objects.delete(name);
          }
        },
      });
      assert.ok(deleted);
      assert.deepEqual([report.copied, report.failed], [[second], []]);
      assert.ok(!manifestsOf(scene.target).some((name) => name.includes(first)));
      await assertRestores(scene, [[second, 2]]);
    });
  });
});

describe('what is wrong at the target', () => {
  it('an object of another size is named, and stays', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await copyAll(scene);
      const name = packOf(scene.target, first);
      const cut = (scene.target.objects.get(name) ?? assert.fail()).subarray(0, 100);
      scene.target.objects.set(name, cut);
      const [failed] = (await copyAll(scene)).failed;
      assert.equal(failed?.error.details['object'], name);
      assert.match(failed.error.message, /has 100 bytes instead of \d+; delete it there/);
      assert.equal(scene.target.objects.get(name), cut);
      scene.target.objects.delete(name);
      const healed = await copyAll(scene);
      assert.deepEqual([healed.present, healed.objects, healed.failed], [1, 1, []]);
      await assertRestores(scene, [[first, 1]]);
    });
  });

  it('a lost key comes back, another one under its name is told of', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      await copyAll(scene);
      const key = [...scene.target.objects.keys()].find((name) => name.startsWith('keys/')) ?? '';
      scene.target.objects.delete(key);
      await copyAll(scene);
      await assertRestores(scene, [[first, 1]]);
      const other = new NamedMemory('other');
      await using repository = await openSource(other, scene.masterKey);
      await backUp(repository, first, 1);
      scene.target.objects.set(key, other.objects.get(key) ?? assert.fail());
      await assert.rejects(copyAll(scene), kindIs('repository-damaged', /another key/));
    });
  });

  it('whatever call fails, no half backup is there, and the next copy completes it', async () => {
    await withScene(async ({ source, masterKey, repository }) => {
      await backUp(repository, first, 1);
      await backUp(repository, second, 2);
      for (const method of faultMethods) {
        const target = new NamedMemory('target');
        for (const kind of ['error', 'lost-answer', 'crash'] as const) {
          for (const call of [0, 1, 2, 3, 5, 8]) {
            target.objects.clear();
            const faulty = new FaultyStorage(target);
            Object.defineProperty(faulty, 'location', { value: target.location });
            faulty.arm({ method, call, kind });
            await copyAll({ source, target: faulty, masterKey }).catch(() => undefined);
            await faulty.disarm();
            await assertNoHalf({ source, target, masterKey });
            const { failed } = await copyAll({ source, target, masterKey });
            assert.deepEqual(failed, [], `${kind} at ${method} ${call}`);
            const copy = await copyOf({ source, target, masterKey });
            const compared = await copy.compareInstance(testInstanceId, everything, never);
            assert.deepEqual([compared.backups, compared.gaps], [2, []]);
          }
        }
        await assertRestores({ target, masterKey }, [
          [first, 1],
          [second, 2],
        ]);
      }
    });
  });

  it('a lost lease prevents the commit', async () => {
    await withScene(async (scene) => {
      await backUp(scene.repository, first, 1);
      const lost = new CairnError('conflict', 'lease lost');
      const assertLease = () => Promise.reject(lost);
      await assert.rejects(copyAll(scene, { assertLease }), lost);
      assert.deepEqual(manifestsOf(scene.target), []);
    });
  });
});

describe('a folder as a copy', () => {
  it('runs full, has no half backup then, and goes on with more room', {
    skip: skipWithoutRoot,
  }, async () => {
    await using disk = await mountSmallDisk(1);
    const target = await LocalStorage.open(disk.path, systemRandom);
    const source = new NamedMemory('source');
    const masterKey = MasterKey.generate();
    await using repository = await openSource(source, masterKey);
    await backUp(repository, first, 1);
    await backUp(repository, second, 2);
    await assert.rejects(
      copyAll({ source, target, masterKey }),
      kindIs('storage-full', /no space left/),
    );
    const names = (await Array.fromAsync(target.list('', never))).map(({ name }) => name);
    const copied = [first, second].filter((id) =>
      names.some((name) => name.includes(id) && name.endsWith('/manifest')),
    );
    await assertNoHalf({ source, target, masterKey });
    await disk.resize(20);
    const report = await copyAll({ source, target, masterKey });
    assert.deepEqual([report.copied.length, report.present], [2 - copied.length, copied.length]);
    await assertRestores({ target, masterKey }, [
      [first, 1],
      [second, 2],
    ]);
  });

  it('does not take a half-written object for one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cairn-copy-'));
    try {
      const target = await LocalStorage.open(folder, systemRandom);
      const source = new NamedMemory('source');
      const masterKey = MasterKey.generate();
      await using repository = await openSource(source, masterKey);
      await backUp(repository, first, 1);
      // As a killed process leaves it.
      await writeFile(join(folder, 'tmp', 'x-dead'), 'half');
      await copyAll({ source, target, masterKey });
      await assertRestores({ target, masterKey }, [[first, 1]]);
      const marker = JSON.parse(await readFile(join(folder, 'repository.json'), 'utf8'));
      assert.equal(marker.owner, `copy-of-${repository.id}`);
      assert.equal(marker.repository_id, repository.id);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
