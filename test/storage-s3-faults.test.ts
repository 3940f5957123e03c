// What an operator is told when an S3 store, or the line to it, goes wrong, and that no fault is
// ever taken for an answer. A real store (Ceph) behind a line that a test can break.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { after, afterEach, before, it } from 'node:test';
import { CairnError, isErrorKind } from '../src/model/errors.ts';
import type { S3Storage } from '../src/storage/s3.ts';
import type { Patience } from '../src/storage/s3-retry.ts';
import type { Fate, FaultyProxy, Passing } from './fixtures/faulty-proxy.ts';
import { refusal, startFaultyProxy } from './fixtures/faulty-proxy.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { findFreePort } from './fixtures/postgres-server.ts';
import { openS3, useCredentials } from './fixtures/s3-storages.ts';
import { writeObject } from './suites/storage-suite.ts';

const never = new AbortController().signal;
const patience: Patience = {
  attemptMs: 5_000,
  operationMs: 2_000,
  pauseMinMs: 1,
  pauseMaxMs: 20,
};
const scene = new AsyncDisposableStack();
let store: ObjectStore;
let proxy: FaultyProxy;

before(async () => {
  store = scene.use(await startObjectStore('ceph'));
  useCredentials(store.environment);
  await store.makeBucket('plain');
  proxy = scene.use(await startFaultyProxy({ target: store.endpoint }));
});
afterEach(() => {
  proxy.decide = () => 'pass';
});
after(() => scene.disposeAsync());

function freshUrl(bucket = 'plain'): string {
  return `s3://${bucket}/${randomBytes(6).toString('hex')}?endpoint=${proxy.endpoint}`;
}

async function open(url = freshUrl(), options: Partial<Patience> = {}): Promise<S3Storage> {
  return await openS3(url, { patience: { ...patience, ...options } });
}

/** The first so many of the requests that match meet the fate, the others pass. */
function meet(fate: Fate, count: number, matches: (request: Passing) => boolean): () => number {
  let met = 0;
  proxy.decide = (request) => {
    if (met >= count || !matches(request)) return 'pass';
    met++;
    return fate;
  };
  return () => met;
}

async function failureOf(work: Promise<unknown>): Promise<CairnError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CairnError, `no CairnError: ${String(error)}`);
  return error;
}

/** What every message about a store that fails has: the kind, the words, a next step, no secret. */
function assertUnavailable(error: CairnError, text: RegExp, hint: RegExp): void {
  assert.equal(error.kind, 'storage-unavailable', error.message);
  assert.match(error.message, text);
  assert.match(error.hint ?? '', hint);
  const everything = JSON.stringify([error.message, error.hint, error.details]);
  assert.ok(!everything.includes(store.secretKey));
}

const isGet = ({ method }: Passing): boolean => method === 'GET';
const isPut = ({ method }: Passing): boolean => method === 'PUT';

it('tells a missing object from a missing bucket, whatever is asked', async () => {
  const there = await open();
  assert.equal((await failureOf(there.read('absent', null, never))).kind, 'not-found');
  assert.equal((await failureOf(there.stat('absent', never))).kind, 'not-found');
  const gone = await open(freshUrl('no-such-bucket'));
  const text = /no such bucket/;
  const hint = /create the bucket/;
  assertUnavailable(await failureOf(gone.read('absent', null, never)), text, hint);
  assertUnavailable(await failureOf(gone.stat('absent', never)), text, hint);
  assertUnavailable(await failureOf(Array.fromAsync(gone.list('', never))), text, hint);
  assertUnavailable(await failureOf(writeObject(gone, 'a', Buffer.from('1'))), text, hint);
  const creating = gone.createExclusive('a', Buffer.from('1'), never);
  assertUnavailable(await failureOf(creating), text, hint);
});

it('takes a page of some other server for no answer', async () => {
  const storage = await open();
  for (const status of [200, 404]) {
    proxy.decide = () => ({ status, body: '<html><body>hello</body></html>' });
    const listing = await failureOf(Array.fromAsync(storage.list('', never)));
    assert.equal(listing.kind, 'storage-unavailable', listing.message);
    for (const look of [() => storage.stat('a', never), () => storage.read('a', null, never)]) {
      const error = await failureOf(look());
      assert.equal(error.kind, 'storage-unavailable', `${status}: ${error.message}`);
    }
  }
  proxy.decide = () => ({ status: 200, body: '' });
  const empty = await failureOf(Array.fromAsync(storage.list('', never)));
  assert.equal(empty.kind, 'storage-unavailable', 'an empty answer is no empty listing');
});

it('names wrong, unknown and missing credentials', async () => {
  const { secretKey, accessKey } = store;
  const list = async (): Promise<CairnError> => {
    const storage = await open();
    return await failureOf(Array.fromAsync(storage.list('', never)));
  };
  const text = /refuses the credentials/;
  try {
    useCredentials({ AWS_SECRET_ACCESS_KEY: 'wrong' });
    assertUnavailable(await list(), text, /AWS_SECRET_ACCESS_KEY/);
    useCredentials({ AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: secretKey });
    assertUnavailable(await list(), text, /AWS_ACCESS_KEY_ID/);
    delete process.env['AWS_ACCESS_KEY_ID'];
    const nowhere = {
      AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
      AWS_CONFIG_FILE: '/nonexistent',
    };
    useCredentials(nowhere);
    assertUnavailable(await list(), /no credentials/, /AWS_ACCESS_KEY_ID/);
  } finally {
    useCredentials({ AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey });
  }
});

it('names access denied, and does not call it absent', async () => {
  const storage = await open();
  proxy.decide = () => refusal(403, 'AccessDenied');
  assertUnavailable(await failureOf(storage.read('a', null, never)), /denied/, /storage\.md/);
  assertUnavailable(await failureOf(storage.stat('a', never)), /denied/, /storage\.md/);
});

it('names a clock that is wrong, also where an answer has no body', async () => {
  const storage = await open();
  const headers = { Date: new Date(Date.now() - 3_600_000).toUTCString() };
  proxy.decide = () => ({ ...refusal(403, 'RequestTimeTooSkewed'), headers });
  assertUnavailable(await failureOf(storage.read('a', null, never)), /clock/, /set the clock/);
  proxy.decide = () => ({ status: 403, body: '', headers });
  assertUnavailable(await failureOf(storage.stat('a', never)), /clock/, /set the clock/);
});

it('follows the clock of the store where it is told of it', async () => {
  const storage = await open();
  const { config } = storage.requests.parts.connection.client;
  // As on a machine whose clock is an hour ahead.
  config.systemClockOffset = 3_600_000;
  await writeObject(storage, 'a', Buffer.from('hello'));
  assert.ok(Math.abs(config.systemClockOffset) < 60_000);
  assert.equal((await storage.read('a', null, never)).toString(), 'hello');
});

it('ends in bounded time at an endpoint that accepts and never answers', async () => {
  await using silent = await startSilentServer();
  const url = `s3://plain/x?endpoint=${silent.endpoint}`;
  const short = await openS3(url, { patience: { ...patience, attemptMs: 100, operationMs: 400 } });
  const beganMs = performance.now();
  const text = /does not answer in time/;
  assertUnavailable(await failureOf(short.stat('a', never)), text, /endpoint/);
  assert.ok(performance.now() - beganMs < 3_000);
  const long = await openS3(url, { patience: { ...patience, attemptMs: 60_000 } });
  const limited = failureOf(long.stat('a', AbortSignal.timeout(100)));
  assertUnavailable(await limited, text, /endpoint/);
});

it('says that nothing listens there', async () => {
  const url = `s3://plain/x?endpoint=http://127.0.0.1:${await findFreePort()}`;
  const storage = await openS3(url, { patience: { ...patience, operationMs: 100 } });
  const error = await failureOf(storage.stat('a', never));
  assertUnavailable(error, /nothing listens there/, /the store runs/);
});

it('tries again when the store asks to slow down, and says so when it never stops', async () => {
  const storage = await open();
  await writeObject(storage, 'a', Buffer.from('hello'));
  const met = meet(refusal(503, 'SlowDown'), 3, isGet);
  assert.equal((await storage.read('a', null, never)).toString(), 'hello');
  assert.equal(met(), 3);
  proxy.decide = () => refusal(503, 'SlowDown');
  const error = await failureOf(storage.read('a', null, never));
  assertUnavailable(error, /slow down/, /limits/);
});

it('reads again what was cut short, and never hands out half', async () => {
  const storage = await open(freshUrl(), { operationMs: 500 });
  const bytes = randomBytes(300_000);
  await writeObject(storage, 'a', bytes);
  const met = meet('cut-answer', 2, isGet);
  assert.ok((await storage.read('a', null, never)).equals(bytes));
  assert.equal(met(), 2);
  proxy.decide = () => 'cut-answer';
  const range = { offsetBytes: 1000, lengthBytes: 100_000 };
  for (const asked of [null, range]) {
    const error = await failureOf(storage.read('a', asked, never));
    assert.equal(error.kind, 'storage-unavailable', error.message);
  }
});

it('lists completely over pages, and a page that fails is an error', async () => {
  const url = freshUrl();
  const patient = await open(url, { operationMs: 60_000, attemptMs: 60_000 });
  const storage = await open(url, { attemptMs: 10_000 });
  const bytes = Buffer.from('x');
  const names = Array.from({ length: 50 }, (_, i) => `many/n${String(i).padStart(4, '0')}`);
  for (let at = 0; at < names.length; at += 16) {
    const some = names.slice(at, at + 16);
    await Promise.all(some.map((name) => patient.requests.put(name, bytes, never)));
  }
  const found = await Array.fromAsync(storage.list('many/', never));
  assert.deepEqual(found.map(({ name }) => name).sort(), names);
  const isSecondPage = ({ path }: Passing): boolean => path.includes('continuation-token');
  for (const answer of [refusal(500, 'InternalError'), refusal(403, 'AccessDenied')]) {
    meet(answer, 1_000, isSecondPage);
    const error = await failureOf(Array.fromAsync(storage.list('many/', never)));
    assert.equal(error.kind, 'storage-unavailable', error.message);
  }
  const once = meet(refusal(500, 'InternalError'), 1, isSecondPage);
  assert.equal((await Array.fromAsync(storage.list('many/', never))).length, names.length);
  assert.equal(once(), 1);
});

it('sees a listing that goes in a circle or does not say how it goes on', async () => {
  const storage = await open();
  const page = (token: string): Fate => {
    const facts = `<Name>plain</Name><IsTruncated>true</IsTruncated>${token}`;
    return { status: 200, body: `<ListBucketResult>${facts}</ListBucketResult>` };
  };
  for (const token of ['<NextContinuationToken>t</NextContinuationToken>', '']) {
    proxy.decide = () => page(token);
    const error = await failureOf(Array.fromAsync(storage.list('', never)));
    assert.equal(error.kind, 'storage-unavailable', error.message);
    assert.match(error.message, /does not understand/);
  }
});

it('knows its own object when the answer to a create was lost', async () => {
  const storage = await open();
  await storage.conditionalCreate(never);
  const lost = meet('lose-answer', 1, isPut);
  assert.equal(await storage.createExclusive('mine', Buffer.from('mine'), never), 'created');
  assert.equal(lost(), 1);
  assert.equal((await storage.read('mine', null, never)).toString(), 'mine');
  // An error is no proof either that nothing was written: here it was, by us or by another.
  const writeAndFail = (name: string, text: string, fate: Fate): void => {
    proxy.decide = async (request) => {
      if (!isPut(request)) return 'pass';
      proxy.decide = () => 'pass';
      await storage.requests.put(name, Buffer.from(text), never);
      return fate;
    };
  };
  writeAndFail('busy', 'ours', refusal(503, 'SlowDown'));
  assert.equal(await storage.createExclusive('busy', Buffer.from('ours'), never), 'created');
  writeAndFail('theirs', 'theirs', refusal(500, 'InternalError'));
  assert.equal(await storage.createExclusive('theirs', Buffer.from('ours'), never), 'exists');
  assert.equal((await storage.read('theirs', null, never)).toString(), 'theirs');
});

it('stops at once when the caller gives up, with the caller’s reason', async () => {
  const storage = await open(freshUrl(), { operationMs: 60_000 });
  proxy.decide = () => 'silence';
  const stopping = new AbortController();
  const reading = storage.read('a', null, stopping.signal);
  setTimeout(() => stopping.abort(new CairnError('cancelled', 'enough')), 50);
  await assert.rejects(reading, (error) => isErrorKind(error, 'cancelled'));
});

type SilentServer = AsyncDisposable & { readonly endpoint: string };

async function startSilentServer(): Promise<SilentServer> {
  const lines = new Set<{ destroy(): unknown }>();
  const server = createServer((line) => lines.add(line));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const line of lines) line.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
