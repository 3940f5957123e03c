// A check names every damage and the backups that it hurts, and is silent about everything else.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { CairnError } from '../src/model/errors.ts';
import type { BackupId, InstanceId } from '../src/model/ids.ts';
import { MasterKey } from '../src/platform/master-key.ts';
import { samplePacks } from '../src/repository/check-data.ts';
import type { CheckReport, ReadData, Repository } from '../src/repository/repository.ts';
import { MemoryStorage } from '../src/storage/memory.ts';
import type { ModelFiles } from './fixtures/repositories.ts';
import {
  never,
  openTestRepository,
  storeFiles,
  testBackupId,
  testInstanceId,
} from './fixtures/repositories.ts';

const everything: ReadData = { percent: 100, seed: 'test' };
const lease = { assertLease: async () => undefined, signal: never };

type Scene = {
  readonly storage: MemoryStorage;
  readonly repository: Repository;
  check(readData?: ReadData | null): Promise<CheckReport>;
  object(number: number, part: string): string;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Three backups: the second shares most pages with the first, the third shares nothing. */
async function openScene(): Promise<Scene> {
  const storage = new MemoryStorage();
  const { repository } = await openTestRepository(storage);
  const files: ModelFiles = new Map([
    ['base/1', randomBytes(400_000)],
    ['base/holes', Buffer.alloc(100_000)],
    ['empty', Buffer.alloc(0)],
    ['tail', randomBytes(12_345)],
  ]);
  await storeFiles(repository, files, { backupId: testBackupId(1) });
  files.set('base/2', randomBytes(50_000));
  const previousBackupId = testBackupId(1);
  await storeFiles(repository, files, { backupId: testBackupId(2), previousBackupId });
  await storeFiles(repository, new Map([['other', randomBytes(30_000)]]), {
    backupId: testBackupId(3),
  });
  return {
    ...{ storage, repository },
    check: (readData = null) =>
      repository.check({
        ...{ instanceIds: [testInstanceId], readData, onProgress: () => undefined },
        signal: never,
      }),
    object(number, part) {
      const name = [...storage.objects.keys()].find(
        (each) => each.includes(testBackupId(number)) && each.includes(part),
      );
      return name ?? assert.fail(`backup ${number} has no ${part}`);
    },
    [Symbol.asyncDispose]: async () => await repository[Symbol.asyncDispose](),
  };
}

function flip({ objects }: MemoryStorage, name: string, at: (size: number) => number): void {
  const bytes = Buffer.from(objects.get(name) ?? assert.fail(name));
  const index = at(bytes.byteLength);
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
  objects.set(name, bytes);
}

type Expected = { object: string; kind?: string; what: RegExp; backups: readonly number[] };

function assertFound(report: CheckReport, expected: readonly Expected[]): void {
  const shown = JSON.stringify(report.findings, null, 1);
  assert.equal(report.findings.length, expected.length, shown);
  for (const { object, kind = 'damaged', what, backups } of expected) {
    const found = report.findings.find((finding) => finding.object === object);
    assert.ok(found, `${object} is not among ${shown}`);
    assert.equal(found.kind, kind);
    assert.match(found.message, what);
    assert.ok(found.message.includes(object), found.message);
    assert.deepEqual(found.backupIds, backups.map(testBackupId));
  }
}

describe('a sound repository', () => {
  test('is silent, and says what was looked at', async () => {
    await using scene = await openScene();
    const { findings, counts, foreign, storedIds } = await scene.check(everything);
    assert.deepEqual([findings, foreign], [[], []]);
    assert.equal(storedIds.size, 3);
    const packs = [...scene.storage.objects].filter(([name]) => name.includes('/packs/'));
    assert.equal(counts.backups, 3);
    assert.equal(counts.packs, packs.length);
    assert.equal(counts.packsRead, packs.length);
    assert.equal(counts.keys, 1);
    assert.equal(
      counts.packBytes,
      packs.reduce((sum, [, bytes]) => sum + bytes.byteLength, 0),
    );
    // 400,000 B are 49 pages, 12,345 B are 2, 50,000 B are 7, 30,000 B are 4; holes are not stored.
    assert.equal(counts.pagesCompared, 49 + 2 + 7 + 4);
    assert.equal(counts.unneeded, 0);
  });

  test('reads no pack unless asked to', async () => {
    await using scene = await openScene();
    const { counts } = await scene.check();
    assert.deepEqual([counts.packsRead, counts.bytesRead], [0, 0]);
    assert.ok(counts.mapParts >= 5);
  });

  test('reads a sample that the seed decides', () => {
    const names = Array.from({ length: 1000 }, (_, n) => `pack-${n}`);
    const some = samplePacks(names, { percent: 7, seed: 'a' });
    assert.equal(some.size, 70);
    assert.deepEqual(samplePacks(names.toReversed(), { percent: 7, seed: 'a' }), some);
    assert.notDeepEqual(samplePacks(names, { percent: 7, seed: 'b' }), some);
    assert.equal(samplePacks(['one'], { percent: 1, seed: 'a' }).size, 1);
    assert.equal(samplePacks(names, { percent: 100, seed: 'a' }).size, 1000);
    assert.equal(samplePacks([], { percent: 50, seed: 'a' }).size, 0);
  });

  test('with objects of nobody says so, and calls them no damage', async () => {
    await using scene = await openScene();
    const strange = `instances/${testInstanceId}/backups/${testBackupId(1)}/notes.txt`;
    const left = `instances/${testInstanceId}/backups/${testBackupId(9)}/packs/x-000000`;
    scene.storage.objects.set(strange, Buffer.from('mine'));
    scene.storage.objects.set(left, Buffer.from('left over'));
    const { findings, foreign, counts } = await scene.check(everything);
    assert.deepEqual([findings, foreign], [[], [strange]]);
    assert.deepEqual([counts.unneeded, counts.unneededBytes], [1, 9]);
  });
});

describe('damage of', () => {
  test('a page of a shared pack is found when data are read, for both backups', async () => {
    await using scene = await openScene();
    const object = scene.object(1, '/packs/');
    flip(scene.storage, object, (size) => size >> 1);
    assertFound(await scene.check(), []);
    assertFound(await scene.check(everything), [
      { object, what: /does not authenticate/, backups: [1, 2] },
    ]);
  });

  test('a pack that is cut, missing, or without its end', async () => {
    for (const [what, damage] of [
      [/has 1000 bytes instead of/, (bytes: Buffer) => bytes.subarray(0, 1000)],
      [/has 0 bytes instead of/, () => Buffer.alloc(0)],
      [/missing/, () => null],
    ] as const) {
      await using scene = await openScene();
      const object = scene.object(1, '/packs/');
      const damaged = damage(Buffer.from(scene.storage.objects.get(object) ?? ''));
      if (damaged) scene.storage.objects.set(object, damaged);
      else scene.storage.objects.delete(object);
      for (const readData of [null, everything]) {
        assertFound(await scene.check(readData), [{ object, what, backups: [1, 2] }]);
      }
    }
  });

  test('the footer, header or trailer of a pack needs no reading of data', async () => {
    for (const at of [3, 14, -1, -15, -40]) {
      await using scene = await openScene();
      const object = scene.object(3, '/packs/');
      flip(scene.storage, object, (size) => (at < 0 ? size + at : at));
      const { findings } = await scene.check();
      assert.equal(findings.length, 1, `byte ${at}`);
      assert.deepEqual(findings[0]?.backupIds, [testBackupId(3)], `byte ${at}`);
    }
  });

  test('a map object', async () => {
    await using scene = await openScene();
    const object = scene.object(3, '/maps/');
    flip(scene.storage, object, (size) => size >> 1);
    assertFound(await scene.check(), [{ object, what: /does not authenticate/, backups: [3] }]);
    scene.storage.objects.delete(object);
    assertFound(await scene.check(everything), [{ object, what: /missing/, backups: [3] }]);
  });

  test('a map object of the first backup is told for every backup that uses it', async () => {
    await using scene = await openScene();
    const object = scene.object(1, '/maps/');
    scene.storage.objects.delete(object);
    const [finding, ...others] = (await scene.check()).findings;
    assert.deepEqual([finding?.object, others.length], [object, 0]);
    const { backupIds = [] } = finding ?? {};
    assert.ok(backupIds.includes(testBackupId(1)) && !backupIds.includes(testBackupId(3)));
  });

  test('a manifest, wherever it is', async () => {
    await using scene = await openScene();
    const object = scene.object(2, '/manifest');
    const whole = Buffer.from(scene.storage.objects.get(object) ?? '');
    for (let at = 0; at < whole.byteLength; at += Math.ceil(whole.byteLength / 40)) {
      scene.storage.objects.set(object, Buffer.from(whole));
      flip(scene.storage, object, () => at);
      const { findings } = await scene.check();
      const named = findings.map(({ object: name }) => name);
      // A changed key id names another key; that one is missing.
      assert.equal(findings.length, 1, `byte ${at}: ${named.join()}`);
      assert.ok(named[0] === object || named[0]?.startsWith('keys/'), `byte ${at}: ${named[0]}`);
      assert.deepEqual(findings[0]?.backupIds, [testBackupId(2)], `byte ${at}`);
    }
  });

  test('a manifest that lies in the folder of another backup', async () => {
    await using scene = await openScene();
    const object = scene.object(2, '/manifest');
    const other = scene.storage.objects.get(scene.object(3, '/manifest')) ?? Buffer.alloc(0);
    scene.storage.objects.set(object, Buffer.from(other));
    assertFound(await scene.check(), [{ object, what: /damaged/, backups: [2] }]);
  });

  test('the key, missing, broken, or wrapped by another master key', async () => {
    const object = `keys/${testInstanceId}.1.json`;
    const record = (storage: MemoryStorage) => JSON.parse(String(storage.objects.get(object)));
    const damages: Readonly<Record<string, (storage: MemoryStorage) => void>> = {
      'it is missing': ({ objects }) => void objects.delete(object),
      'it is not JSON': ({ objects }) => void objects.set(object, Buffer.from('{')),
      'it holds no wrapped key': ({ objects }) => void objects.set(object, Buffer.from('{}')),
      'does not unwrap it': (storage) => {
        const wrapped = MasterKey.generate().wrap(randomBytes(32), 'data key x').toString('base64');
        const changed = { ...record(storage), wrapped };
        storage.objects.set(object, Buffer.from(JSON.stringify(changed)));
      },
    };
    for (const [what, damage] of Object.entries(damages)) {
      await using scene = await openScene();
      damage(scene.storage);
      const what1 = new RegExp(what);
      assertFound(await scene.check(), [{ object, what: what1, backups: [1, 2, 3] }]);
    }
  });

  test('several objects at once: each is named', async () => {
    await using scene = await openScene();
    const pack = scene.object(1, '/packs/');
    const map = scene.object(3, '/maps/');
    scene.storage.objects.delete(pack);
    flip(scene.storage, map, (size) => size - 1);
    assertFound(await scene.check(everything), [
      { object: pack, what: /missing/, backups: [1, 2] },
      { object: map, what: /damaged/, backups: [3] },
    ]);
  });
});

describe('what is not known', () => {
  test('a manifest of a newer format is not called damaged', async () => {
    await using scene = await openScene();
    const object = scene.object(2, '/manifest');
    const bytes = Buffer.from(scene.storage.objects.get(object) ?? '');
    bytes.writeUInt16BE(2, 8);
    scene.storage.objects.set(object, bytes);
    const [finding, ...others] = (await scene.check()).findings;
    assert.equal(others.length, 0);
    assert.deepEqual(
      [finding?.kind, finding?.object, finding?.backupIds],
      ['unreadable', object, [testBackupId(2)]],
    );
    assert.match(finding?.hint ?? '', /update/);
  });

  test('an object that the storage does not give out is unreadable, not damaged', async () => {
    await using scene = await openScene();
    const object = scene.object(1, '/packs/');
    failReads(scene.storage, (name) => name === object);
    const report = await scene.check(everything);
    assertFound(report, [{ object, kind: 'unreadable', what: /cannot be read/, backups: [1, 2] }]);
  });

  test('storage that fails again and again ends the check', async () => {
    await using scene = await openScene();
    for (let number = 10; number < 40; number++) {
      await storeFiles(scene.repository, new Map([['f', randomBytes(9000)]]), {
        backupId: testBackupId(number),
      });
    }
    failReads(scene.storage, (name) => name.includes('/packs/'));
    await assert.rejects(scene.check(), { kind: 'storage-unavailable' });
  });

  test('a listing that breaks off ends the check', async () => {
    await using scene = await openScene();
    const list = scene.storage.list.bind(scene.storage);
    scene.storage.list = async function* (prefix, signal) {
      yield* list(prefix, signal);
      throw new CairnError('storage-unavailable', 'page 2 is away');
    };
    await assert.rejects(scene.check(), { kind: 'storage-unavailable' });
  });
});

function failReads(storage: MemoryStorage, fails: (name: string) => boolean): void {
  const read = storage.read.bind(storage);
  storage.read = async (name, range, signal) => {
    if (fails(name)) throw new CairnError('storage-unavailable', `${name} cannot be read: EIO`);
    return await read(name, range, signal);
  };
}

describe('a check beside a running service', () => {
  test('skips a backup that is deleted meanwhile, at whatever moment', async () => {
    // The deletion happens right before the n-th thing that the check asks of the storage.
    await using scene = await openScene();
    for (const target of [1, 2, 3]) {
      const steps = await atEveryStep(scene, () =>
        scene.repository.deleteBackup(testInstanceId, testBackupId(target), lease),
      );
      assert.ok(steps > 20);
    }
  });

  test('does not mind a backup that is made meanwhile', async () => {
    await using scene = await openScene();
    await atEveryStep(scene, () =>
      storeFiles(scene.repository, new Map([['late', randomBytes(20_000)]]), {
        ...{ backupId: testBackupId(4), previousBackupId: testBackupId(3) },
      }),
    );
  });
});

/** Runs checks until one is through before its turn comes; answers how many calls that one made. */
async function atEveryStep(scene: Scene, meanwhile: () => Promise<unknown>): Promise<number> {
  const { objects } = scene.storage;
  const snapshot = new Map(objects);
  for (let step = 1; ; step++) {
    const steps = await checkWhile(scene, step, meanwhile);
    objects.clear();
    for (const [name, bytes] of snapshot) objects.set(name, bytes);
    if (step > steps) return steps;
  }
}

/** Answers how many calls the check made; it must find nothing. */
async function checkWhile(
  scene: Scene,
  step: number,
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  const { storage } = scene;
  let steps = 0;
  let isBusy = false;
  const intervene = async (): Promise<void> => {
    if (isBusy || ++steps !== step) return;
    isBusy = true;
    await meanwhile();
    isBusy = false;
  };
  const { read, stat, list } = storage;
  storage.read = async (...args) => {
    await intervene();
    return await read.apply(storage, args);
  };
  storage.stat = async (...args) => {
    await intervene();
    return await stat.apply(storage, args);
  };
  storage.list = async function* (...args) {
    await intervene();
    yield* list.apply(storage, args);
  };
  try {
    const { findings } = await scene.check(everything);
    assert.deepEqual(findings, [], `step ${step}`);
    return steps;
  } finally {
    Object.assign(storage, { read, stat, list });
  }
}

test('instances are checked apart', async () => {
  await using scene = await openScene();
  scene.storage.objects.delete(scene.object(1, '/packs/'));
  const stranger = 'ffffffffffffffffffffffffffffffffin03' as InstanceId;
  const { findings, counts } = await scene.repository.check({
    ...{ instanceIds: [stranger], readData: everything, onProgress: () => undefined },
    signal: never,
  });
  assert.deepEqual([findings, counts.backups], [[], 0]);
  const ids: readonly BackupId[] = [...(await scene.check()).storedIds];
  assert.equal(ids.length, 3);
});
