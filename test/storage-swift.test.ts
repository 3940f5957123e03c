// The storage contract on a real S3 store that refuses conditional creates: Swift. What the claims
// do that stand in for them.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { isErrorKind } from '../src/model/errors.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { openFreshS3, openS3, useCredentials } from './fixtures/s3-storages.ts';
import { until } from './fixtures/until.ts';
import { storageSuite, writeObject } from './suites/storage-suite.ts';

const never = new AbortController().signal;
const pace = { settleMs: 300, pollMs: 20, waitMs: 20_000 };
let store: ObjectStore;
before(async () => {
  store = await startObjectStore('swift');
  useCredentials(store.environment);
  await store.makeBucket('plain');
});
after(() => store[Symbol.asyncDispose]());

storageSuite('S3 on Swift', () => openFreshS3(store, 'plain', { pace }));

it('is known to refuse conditional creates', async () => {
  const storage = await openFreshS3(store, 'plain');
  assert.equal((await storage.examine(never)).conditionalCreate, 'refused');
});

it('creates once over many rounds of racing processes, and leaves no claim', async () => {
  const url = store.urlOf('plain', 'rounds');
  // Each with a client of its own, as processes have.
  const racers = await Promise.all([0, 1, 2, 3].map(() => openS3(url, { pace })));
  for (let round = 0; round < 8; round++) {
    const name = `round-${round}`;
    const outcomes = await Promise.all(
      racers.map((storage, i) => storage.createExclusive(name, Buffer.from(`${i}`), never)),
    );
    const winners = outcomes.flatMap((outcome, i) => (outcome === 'created' ? [`${i}`] : []));
    const [storage] = racers;
    assert.ok(storage);
    assert.deepEqual(winners, [(await storage.read(name, null, never)).toString()]);
    assert.deepEqual(await Array.fromAsync(storage.requests.list('tmp/', never)), []);
  }
});

it('refuses to create beside the claim of another, and says so', async () => {
  const storage = await openFreshS3(store, 'plain', { pace: { ...pace, waitMs: 2_000 } });
  const bytes = Buffer.from('bytes');
  assert.equal(await storage.createExclusive('first', bytes, never), 'created');
  // A claim like ours, in the place where the one for `second` will be, of a process that died.
  const seen = Promise.withResolvers<string>();
  const put = storage.requests.put.bind(storage.requests);
  storage.requests.put = async (name, content, signal) => {
    if (name.startsWith('tmp/claims/')) seen.resolve(name);
    await put(name, content, signal);
  };
  const creating = storage.createExclusive('second', bytes, never);
  const folder = (await seen.promise).split('/').slice(0, 3).join('/');
  await put(`${folder}/${'0'.repeat(32)}`, bytes, never);
  await assert.rejects(
    creating,
    (e) => isErrorKind(e, 'conflict') && /another Cairn/.test(e.message) && e.hint !== null,
  );
  await assert.rejects(storage.stat('second', never), (e) => isErrorKind(e, 'not-found'));
  await writeObject(storage, 'third', bytes);
});

it('withdraws its claim when the caller gives up', async () => {
  const storage = await openFreshS3(store, 'plain', { pace: { ...pace, settleMs: 60_000 } });
  await storage.conditionalCreate(never);
  const stopping = new AbortController();
  const creating = storage.createExclusive('a', Buffer.from('a'), stopping.signal);
  const claims = async (): Promise<number> =>
    (await Array.fromAsync(storage.requests.list('tmp/claims/', never))).length;
  await until('the claim is there', async () => (await claims()) === 1);
  stopping.abort(new Error('enough'));
  await assert.rejects(creating, /enough/);
  assert.equal(await claims(), 0);
});
