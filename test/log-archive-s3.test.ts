// Archived log in buckets: on a store that creates atomically, and on one that cannot.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import {
  firstSegment,
  isConflict,
  pieceOf,
  segmentBytes,
  segmentName,
  segmentOf,
  storePieces,
  storeStream,
  storeWhole,
  testStreamId,
} from './fixtures/log-streams.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { never, openTestRepository, testInstanceId } from './fixtures/repositories.ts';
import { openFreshS3, useCredentials } from './fixtures/s3-storages.ts';

const scene = new AsyncDisposableStack();
const stores = new Map<string, ObjectStore>();

before(async () => {
  for (const kind of ['ceph', 'swift'] as const) {
    const store = scene.use(await startObjectStore(kind));
    await store.makeBucket('log');
    stores.set(kind, store);
  }
});
after(() => scene.disposeAsync());

for (const kind of ['ceph', 'swift']) {
  it(`on ${kind} comes back, is replaced, refuses another history, and is removed`, async () => {
    const store = stores.get(kind) ?? assert.fail();
    useCredentials(store.environment);
    const storage = await openFreshS3(store, 'log');
    const { repository } = await openTestRepository(storage);
    await using _ = repository;
    const writer = await storeStream(repository, 3);
    const last = firstSegment + 2;
    await storePieces(writer, last, [1000, 2500]);
    await assert.rejects(
      writer.store(pieceOf(last, 1000, 2500), Buffer.alloc(1500, 7), never),
      isConflict,
    );
    await storePieces(writer, last, [2500, segmentBytes]);
    await storeWhole(writer, last);
    const { log } = repository;
    const read = await log.readFile(testInstanceId, testStreamId, segmentName(last), never);
    assert.ok(read.isComplete && read.bytes.equals(segmentOf(last)));
    const { pieces } = await log.surveyStream(testInstanceId, testStreamId, never);
    assert.equal(pieces.length, 3);
    const { findings } = await repository.check({
      ...{ instanceIds: [testInstanceId], readData: { percent: 100, seed: 'x' } },
      ...{ onProgress: () => undefined, signal: never },
    });
    assert.deepEqual(findings, []);
    const lease = { assertLease: async () => undefined, signal: never };
    await log.removeBefore(testInstanceId, testStreamId, null, lease);
    assert.deepEqual(await Array.fromAsync(storage.list('instances/', never)), []);
  });
}
