// From a folder to a bucket and back: the copy is the same wherever it lies.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { MasterKey } from '../src/platform/master-key.ts';
import { systemRandom } from '../src/platform/random.ts';
import { LocalStorage } from '../src/storage/local.ts';
import type { S3Storage } from '../src/storage/s3.ts';
import {
  assertRestores,
  backUp,
  copyAll,
  copyOf,
  everything,
  first,
  openSource,
  second,
} from './fixtures/copies.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { never, testInstanceId } from './fixtures/repositories.ts';
import { openFreshS3, useCredentials } from './fixtures/s3-storages.ts';

const scene = new AsyncDisposableStack();
let store: ObjectStore;
let bucket: S3Storage;
let folder: string;

before(async () => {
  store = scene.use(await startObjectStore('ceph'));
  await store.makeBucket('copies');
  useCredentials(store.environment);
  bucket = await openFreshS3(store, 'copies');
  folder = await mkdtemp(join(tmpdir(), 'cairn-copy-s3-'));
  scene.defer(() => rm(folder, { recursive: true, force: true }));
});
after(() => scene.disposeAsync());

suite('a copy in a bucket', () => {
  test('restores, follows the source, and is the source of another copy', async () => {
    const masterKey = MasterKey.generate();
    const source = await LocalStorage.open(join(folder, 'source'), systemRandom);
    await using repository = await openSource(source, masterKey);
    await backUp(repository, first, 1);
    const toBucket = { source, target: bucket, masterKey };
    assert.deepEqual((await copyAll(toBucket)).copied, [first]);
    await backUp(repository, second, 2);
    assert.deepEqual((await copyAll(toBucket)).copied, [second]);
    const copy = await copyOf(toBucket);
    const { gaps } = await copy.compareInstance(testInstanceId, everything, never);
    assert.deepEqual(gaps, []);
    await assertRestores(toBucket, [
      [first, 1],
      [second, 2],
    ]);
    await repository.deleteBackup(testInstanceId, first, {
      ...{ assertLease: async () => undefined, signal: never },
    });
    assert.deepEqual((await copyAll(toBucket, { removeGone: true })).removed, [first]);
    const back = await LocalStorage.open(join(folder, 'back'), systemRandom);
    const fromBucket = { source: bucket, target: back, masterKey };
    assert.deepEqual((await copyAll(fromBucket)).copied, [second]);
    await assertRestores(fromBucket, [[second, 2]]);
  });
});
