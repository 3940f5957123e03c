// Uploads in parts, what the bucket's settings do to conditional creates, and how the store is
// addressed: on Ceph, some of it behind a line that a test can break.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, it } from 'node:test';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutBucketVersioningCommand,
} from '@aws-sdk/client-s3';
import { pino } from 'pino';
import { isErrorKind } from '../src/model/errors.ts';
import { runCommand } from '../src/platform/child-process.ts';
import { partBytes } from '../src/storage/s3-writer.ts';
import type { Fate, FaultyProxy, Passing } from './fixtures/faulty-proxy.ts';
import { refusal, startFaultyProxy } from './fixtures/faulty-proxy.ts';
import type { ObjectStore } from './fixtures/object-store.ts';
import { startObjectStore } from './fixtures/object-store.ts';
import { openFreshS3, openS3, useCredentials } from './fixtures/s3-storages.ts';
import { storageSuite, writeObject } from './suites/storage-suite.ts';

const never = new AbortController().signal;
const patience = { attemptMs: 20_000, operationMs: 3_000, pauseMinMs: 1, pauseMaxMs: 20 };
const pace = { settleMs: 300, pollMs: 20, waitMs: 20_000 };
const scene = new AsyncDisposableStack();
let store: ObjectStore;
let proxy: FaultyProxy;

before(async () => {
  store = scene.use(await startObjectStore('ceph'));
  useCredentials(store.environment);
  for (const bucket of ['plain', 'versioned']) await store.makeBucket(bucket);
  await store.client.send(
    new PutBucketVersioningCommand({
      Bucket: 'versioned',
      VersioningConfiguration: { Status: 'Enabled' },
    }),
  );
  proxy = scene.use(await startFaultyProxy({ target: store.endpoint }));
});
afterEach(() => {
  proxy.decide = () => 'pass';
});
after(() => scene.disposeAsync());

const throughProxy = async () =>
  await openS3(`s3://plain/${randomBytes(6).toString('hex')}?endpoint=${proxy.endpoint}`, {
    patience,
  });
const isPart = ({ method, path }: Passing): boolean =>
  method === 'PUT' && path.includes('partNumber=');
const isComplete = ({ method, path }: Passing): boolean =>
  method === 'POST' && path.includes('uploadId=');

function toXml(facts: Readonly<Record<string, string | number>>): string {
  return Object.entries(facts)
    .map(([tag, value]) => `<${tag}>${value}</${tag}>`)
    .join('');
}

async function uploadsLeft(): Promise<number> {
  const { Uploads = [] } = await store.client.send(
    new ListMultipartUploadsCommand({ Bucket: 'plain' }),
  );
  return Uploads.length;
}

it('sends parts of 8 MiB, at most 16 at a time over all writers, each with its MD5', async () => {
  const storage = await throughProxy();
  await storage.conditionalCreate(never);
  let inFlight = 0;
  let inFlightMax = 0;
  const gate = Promise.withResolvers<void>();
  proxy.decide = async (request): Promise<Fate> => {
    if (!isPart(request)) return 'pass';
    inFlight++;
    inFlightMax = Math.max(inFlightMax, inFlight);
    // Opened by the sixteenth: were fewer let through, nothing would ever end.
    if (inFlight === 16) gate.resolve();
    await gate.promise;
    await new Promise((done) => setImmediate(done));
    inFlight--;
    return 'pass';
  };
  const from = proxy.seen.length;
  const bytes = randomBytes(9 * partBytes + 1);
  const names = ['one', 'two'];
  await Promise.all(names.map((name) => writeObject(storage, name, bytes)));
  assert.equal(inFlightMax, 16);
  for (const name of names) assert.ok((await storage.read(name, null, never)).equals(bytes));
  const parts = proxy.seen.slice(from).filter(isPart);
  assert.equal(parts.length, 20);
  for (const { body, headers } of parts) {
    assert.ok(body.byteLength === partBytes || body.byteLength === 1);
    const sum = (name: string, encoding: 'base64' | 'hex'): string =>
      createHash(name).update(body).digest(encoding);
    assert.equal(headers['content-md5'], sum('md5', 'base64'));
    assert.equal(headers['x-amz-content-sha256'], sum('sha256', 'hex'));
  }
});

it('sends what fits into one part as one PUT that creates, with its MD5', async () => {
  const storage = await throughProxy();
  await storage.conditionalCreate(never);
  const from = proxy.seen.length;
  const bytes = randomBytes(partBytes);
  await writeObject(storage, 'small', bytes);
  const puts = proxy.seen.slice(from).filter(({ method }) => method === 'PUT');
  assert.equal(puts.length, 1);
  assert.equal(puts[0]?.headers['if-none-match'], '*');
  const md5 = createHash('md5').update(bytes).digest('base64');
  assert.equal(puts[0]?.headers['content-md5'], md5);
});

it('forgets an upload that failed or was given up, and shows nothing of it', async () => {
  const storage = await throughProxy();
  const bytes = randomBytes(2 * partBytes + 1);
  proxy.decide = (request) => (isPart(request) ? refusal(403, 'AccessDenied') : 'pass');
  await assert.rejects(writeObject(storage, 'denied', bytes), (e) =>
    isErrorKind(e, 'storage-unavailable'),
  );
  proxy.decide = () => 'pass';
  const stopping = new AbortController();
  const writer = await storage.openWriter('given-up', stopping.signal);
  await writer.write(bytes);
  assert.equal(await uploadsLeft(), 1);
  stopping.abort(new Error('enough'));
  await assert.rejects(writer.publish(), /enough/);
  await writer.abort();
  assert.equal(await uploadsLeft(), 0);
  assert.deepEqual(await Array.fromAsync(storage.list('', never)), []);
});

it('forgets what a dead process left a week ago, and nothing else', async () => {
  const storage = await throughProxy();
  const begin = async (Key: string): Promise<string> => {
    const command = new CreateMultipartUploadCommand({ Bucket: 'plain', Key });
    return (await store.client.send(command)).UploadId ?? '';
  };
  const { prefix } = storage.requests.parts.address;
  const uploads: string[] = [];
  const probes: string[] = [];
  for (const [name, days] of Object.entries({ old: 8, young: 6 })) {
    const key = `${prefix}${name}`;
    // Only the store's clock counts, and it cannot be turned: the listing is what is aged.
    const at = new Date(Date.now() - days * 24 * 3_600_000).toISOString();
    const facts = { Key: key, UploadId: await begin(key), Initiated: at };
    uploads.push(`<Upload>${toXml(facts)}</Upload>`);
    const probe = `tmp/probe-${name}`;
    await storage.requests.put(probe, Buffer.from('x'), never);
    const object = { Key: `${prefix}${probe}`, LastModified: at, Size: 1 };
    probes.push(`<Contents>${toXml(object)}</Contents>`);
  }
  const page = `${toXml({ Name: 'plain', IsTruncated: 'false' })}${probes.join('')}`;
  proxy.decide = ({ method, path }) => {
    if (method !== 'GET') return 'pass';
    if (/[?&]uploads/.test(path)) {
      const body = `<ListMultipartUploadsResult>${uploads.join('')}</ListMultipartUploadsResult>`;
      return { status: 200, body };
    }
    if (!path.includes('list-type=2')) return 'pass';
    return { status: 200, body: `<ListBucketResult>${page}</ListBucketResult>` };
  };
  await writeObject(storage, 'a', Buffer.from('1'));
  const { Uploads = [] } = await store.client.send(
    new ListMultipartUploadsCommand({ Bucket: 'plain', Prefix: prefix }),
  );
  assert.deepEqual(
    Uploads.map(({ Key }) => Key),
    [`${prefix}young`],
  );
  proxy.decide = () => 'pass';
  const left = await Array.fromAsync(storage.requests.list('tmp/', never));
  assert.deepEqual(
    left.map(({ name }) => name),
    ['tmp/probe-young'],
  );
});

it('believes only what it sees after an upload is said to be complete', async () => {
  const storage = await throughProxy();
  const bytes = randomBytes(partBytes + 1);
  // Done, but nobody heard of it: the second try meets an upload that is gone.
  let tries = 0;
  proxy.decide = (request) => {
    if (!isComplete(request)) return 'pass';
    tries++;
    return tries === 1 ? 'lose-answer' : refusal(404, 'NoSuchUpload');
  };
  await writeObject(storage, 'unheard', bytes);
  assert.equal(tries, 2);
  assert.ok((await storage.read('unheard', null, never)).equals(bytes));
  // Said to be done, and nothing is there.
  const result = '<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>';
  proxy.decide = (request) => (isComplete(request) ? { status: 200, body: result } : 'pass');
  await assert.rejects(
    writeObject(storage, 'claimed', bytes),
    (e) => isErrorKind(e, 'storage-unavailable') && /not what was sent/.test(e.message),
  );
  // An error in an answer of 200.
  proxy.decide = (request) =>
    isComplete(request) ? { ...refusal(200, 'AccessDenied'), status: 200 } : 'pass';
  await assert.rejects(writeObject(storage, 'refused', bytes), (e) =>
    isErrorKind(e, 'storage-unavailable'),
  );
});

it('refuses a taken name for an upload in parts, and keeps the first', async () => {
  const storage = await throughProxy();
  await writeObject(storage, 'once', Buffer.from('first'));
  await assert.rejects(writeObject(storage, 'once', randomBytes(partBytes + 1)), (e) =>
    isErrorKind(e, 'conflict'),
  );
  assert.equal((await storage.read('once', null, never)).toString(), 'first');
});

it('tells apart what stores do with conditional creates, and warns', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
  const versioned = await openFreshS3(store, 'versioned', { log });
  assert.equal((await versioned.examine(never)).conditionalCreate, 'overwrites');
  assert.match(lines.join(), /no conditional create/);
  lines.length = 0;
  const plain = await openFreshS3(store, 'plain', { log });
  const traits = await plain.examine(never);
  assert.equal(traits.conditionalCreate, 'atomic');
  assert.ok(Math.abs(traits.skewMs ?? Number.NaN) < 5_000);
  assert.deepEqual(lines, []);
  assert.deepEqual(await Array.fromAsync(plain.requests.list('', never)), [], 'probes are gone');
});

it('trusts the certificates that it is told to, and no others', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cairn-tls-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'ca.pem')];
    const subject = ['-subj', '/CN=store', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject];
    const made = await runCommand('openssl', [...args, '-keyout', key, '-out', cert], {
      timeoutMs: 30_000,
    });
    assert.equal(made.exitCode, 0, made.stderr);
    const tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
    await using line = await startFaultyProxy({ target: store.endpoint, tls });
    const url = `s3://plain/tls?endpoint=${line.endpoint}`;
    const told = await openS3(`${url}&ca=${cert}`, { patience });
    await writeObject(told, randomBytes(4).toString('hex'), Buffer.from('over TLS'));
    const untold = await openS3(url, { patience });
    await assert.rejects(
      untold.stat('a', never),
      (e) => isErrorKind(e, 'storage-unavailable') && /certificate/.test(e.message),
    );
    await assert.rejects(openS3(`${url}&ca=${dir}/none.pem`), (e) => isErrorKind(e, 'invalid'));
  } finally {
    await rm(dir, { recursive: true });
  }
});

it('addresses a bucket by path or by host name', async () => {
  const seen: { readonly hostname: string; readonly path: string }[] = [];
  for (const pathStyle of [true, false]) {
    const url = `s3://plain/p?endpoint=http://store.example:81&path_style=${pathStyle}`;
    const { client } = (await openS3(url)).requests.parts.connection;
    client.middlewareStack.add(
      () => async (args) => {
        seen.push(args.request as { hostname: string; path: string });
        throw new Error('seen');
      },
      { step: 'finalizeRequest', name: 'look', priority: 'low' },
    );
    await assert.rejects(client.send(new ListMultipartUploadsCommand({ Bucket: 'plain' })), /seen/);
  }
  const [byPath, byHost] = seen;
  assert.deepEqual([byPath?.hostname, byPath?.path], ['store.example', '/plain/']);
  assert.deepEqual([byHost?.hostname, byHost?.path], ['plain.store.example', '/']);
});

storageSuite('S3 on Ceph that overwrites', () => openFreshS3(store, 'versioned', { pace }));
